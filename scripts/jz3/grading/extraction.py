r"""Find the final answer in what a model wrote.

Order (section 4.1 of the paper's evaluation, as released): the last non-empty box; what
follows the last "answer is"; in a solution with executed programs the last number of the last
output; the last number of the text. Programs are not searched, their outputs are. In a text that
was cut off the last number is only where it stopped, and does not count (ours).
"""

import re

from ..boxes import last_boxed
from .quantities import compact, plain, unwrap

_FENCE = re.compile(r"^[ \t]*```[ \t]*(\w*)[ \t]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.M | re.S)
_STATED = re.compile(r"\b(?:answer|choice)(?:\s+is|\s*:)\s*:?(?!\s*$)", re.I)
_VALUE = (
    r"(?:(?<![\w.)\]}])-\s?|(?<=[=(\s]-)|)"
    r"(?:\\?\$\s?)?"
    r"(?:\\[dt]?frac\s*\{\s*-?\d+\s*\}\s*\{\s*-?\d+\s*\}"
    r"|\d+\s+\d+/\d+(?![\d/])"
    r"|(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d+(?!\w))?(?:\s*/\s*\d+(?:\.\d+)?)?"
    r"|\.\d+)"
    r"(?:\s*\\?%)?"
)
_NUMBER = re.compile(_VALUE)
_FAILED = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt|Timeout)\b[^\n]*\Z", re.M)
_LETTER = re.compile(r"\(?\s*([A-Za-z])\s*(?:[).:]\s*.*)?", re.S)


def last_number(text: str) -> str:
    """The last number of a text with its sign, fraction, thousands and percent sign; else ""."""
    numbers = _NUMBER.findall(text)
    return numbers[-1].strip() if numbers else ""


def outputs(text: str) -> list[str]:
    """Contents of the ```output blocks of a solution."""
    return [body.strip() for name, body in _FENCE.findall(text) if name == "output"]


def prose(text: str) -> str:
    """The text without its fenced programs; outputs are kept as plain lines."""
    return _FENCE.sub(lambda block: block[2] if block[1] in ("output", "") else "\n", text)


def _stated(text: str) -> str:
    """What follows the last "answer is": its formula between dollar signs, number, or clause."""
    statements = list(_STATED.finditer(text))
    if not statements:
        return ""
    rest = text[statements[-1].end() :].strip().split("\n\n")[0]
    clause = re.split(r"(?<=[^\d\\])[.!?](?=\s|$)|(?<=\d)\.(?=\s|$)|\n", rest, maxsplit=1)[0]
    clause = clause.strip().strip("*").strip()
    formula = re.findall(r"(?<!\\)\$([^$]+)(?<!\\)\$|\\\((.+?)\\\)", clause)
    if formula and not re.match(r"-?\$\s?\d[\d,.]*(?:\s|$)", clause):
        return "".join(formula[-1]).strip()
    sentence = len(clause.split()) > 3 and re.search(r"(?<![A-Za-z\\])[A-Za-z]{3,}", clause)
    if re.match(_VALUE, clause) and not re.search(r"\s=\s", clause):
        return clause
    if "\\" in clause or not sentence:
        return clause
    return last_number(clause) or clause


def _letter(text: str, count: int) -> str:
    """The option letter that a short answer consists of or starts with; else ""."""
    option = _LETTER.fullmatch(unwrap(text))
    letter = option[1].upper() if option else ""
    return letter if letter and ord(letter) - ord("A") < count else ""


def bare_choice(choice: str) -> str:
    """A choice without the letter it may be listed under ("A) 5" -> "5")."""
    return re.sub(r"^\s*\(?[A-Z]\s*[):.]\s*", "", choice).strip()


def _choice(text: str, choices: list[str]) -> str:
    """Letter of the choice that a text settles on; "" if none can be made out.

    The English article "a" is no choice: a letter counts where it stands alone as an answer, in
    brackets, or after a word such as "option".
    """
    bare = [compact(plain(bare_choice(choice))).casefold() for choice in choices]
    for candidate in (last_boxed(text), _stated(text)):
        if candidate:
            letter = _letter(candidate, len(choices))
            if letter:
                return letter
            named = re.match(r"(?:option|choice|letter)?\s*\(?([A-Z])\b", unwrap(candidate))
            content = compact(plain(candidate)).casefold()
            if content in bare:
                return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[bare.index(content)]
            if named and named[1] != "A" and ord(named[1]) - ord("A") < len(choices):
                return named[1]
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[max(len(choices) - 1, 0)]
    signs = (
        rf"\(([A-{last}])\)|(?:^|\n)\s*\(?([A-{last}])[).:]?\s*$"
        rf"|\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer(?: is)?:?)\s+\(?([A-{last}])\b"
        rf"|\b([B-{last}])(?=[\s.,;:)]|$)"
    )
    letters = re.findall(signs, text)
    return "".join(letters[-1]) if letters else ""


def extract_answer(
    text: str, choices: list[str] | tuple[str, ...] = (), finished: bool = True
) -> str:
    r"""The final answer that `text` gives, as written; "" if there is none.

    With `choices` (of a multiple-choice problem) it is the letter of one of them. finished: the
    model came to its end, rather than to the longest length.
    """
    words = prose(text)
    if choices:
        return _choice(words, list(choices))
    if boxed := last_boxed(words):
        return boxed
    last = last_number(words) if finished else ""
    ran = [output for output in outputs(text) if not _FAILED.search(output)]
    if not ran:
        return _stated(words) or last
    after = prose(text[text.rfind("```output") :].split("```", 2)[-1])
    return _stated(after) or last_number(ran[-1]) or last
