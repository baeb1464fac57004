r"""Find the final answer in what a model wrote.

Order (section 4.1 of the paper's evaluation, as released): the last box; what follows the last
"answer is"; in a solution with executed programs the last output; the end of the text. Programs
are not searched, their outputs are. In a text that was cut off, where it stopped is no answer.

Ours beside that: thoughts do not count, nor what a model went on with after it had answered; boxes
that stand together are one answer; the end of a text is read as a sentence, of which the value that
it comes to counts, not its last number whatever that is.
"""

import re

from .. import boxes
from ..text import without_thoughts
from .quantities import compact, plain, unwrap

_SENTENCE = 1000  # characters of a sentence
_MOST_VALUES = 100  # boxes that are one answer together
_LONGEST = 20_000  # characters from the end that are searched for statements and numbers
_FENCE = re.compile(r"^[ \t]*```[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.M | re.S)
_TAG = re.compile(
    r"</?(?:b|i|u|em|strong|span|p|sub|sup|code|div|br|font|mark|answer)\b[^<>\n]{0,60}>", re.I
)
# Where a model goes on with something else.
_NEXT = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]*)?(?:\*\*)?(?:new |next |another )?"
    r"(?:question|problem|exercise|instruction|user|human"
    r"|q)(?:[ \t]*\d{0,3})?[ \t]*(?:\*\*)?[ \t]*(?::|$|\n)"
    r"|<\|(?:im_end|im_start|endoftext|eot_id|end_of_text|end|user)[^|]{0,20}\|>|</s>|\[INST\]"
    r"|<end_of_turn>",
    re.I | re.M,
)
_PHRASES = (
    r"(?:answer|choice)s?(?:\s+(?:is|are|was|should\s+be|must\s+be|equals?|comes?\s+out\s+(?:to|as)|would\s+be"
    r"|will\s+be)|\s*[:=]|\s*(?:\*\*)?\s*:)"
    r"|antwort(?:\s+(?:ist|lautet)|\s*:)|答案(?:是|为|為|:|:)?|答(?::|:)|ответ(?:\s*[:—–-]|\s+равен)?"
    r"|(?:la\s+)?r[ée]ponse(?:\s+(?:finale\s+)?(?:est)|\s*:)|(?:la\s+)?respuesta(?:\s+(?:final\s+)?(?:es)|\s*:)"
    r"|(?:a\s+)?resposta(?:\s+(?:final\s+)?(?:é|e)|\s*:)|risposta(?:\s+(?:finale\s+)?(?:è|e)|\s*:)"
    r"|答えは?|正解は?|답(?:은|:)?|cevap\s*:?"
)
_STATED = re.compile(
    rf"(?:\b|(?<=\W))(?:{_PHRASES})\s*(?:therefore|thus|then|simply|just|exactly|indeed|:|\*\*)*\s*"
    r"(?!\s*$)", re.I,
)  # fmt: skip
_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S[^\n]*)$", re.M)
_VALUE = (
    r"(?:(?<![\w.)\]}])[-−]\s?|(?<=[=(\s])[-−]|)"
    r"(?:\\?[$€£₹¥]\s?)?"
    r"(?:\\[dt]?frac\s*\{\s*-?\d+\s*\}\s*\{\s*-?\d+\s*\}"
    r"|\d+\s+\d+/\d+(?![\d/])"
    r"|(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d+(?!\w))?(?:\s*/\s*\d+(?:\.\d+)?)?"
    r"|\.\d+)"
    r"(?:\s*\\?%)?"
)
_NUMBER = re.compile(_VALUE)
_FAILED = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt|Timeout)\b[^\n]*\Z", re.M)
_LETTER = re.compile(r"\(?\s*([A-Za-z])\s*(?:[).:]\s*.*)?", re.S)
_FORMULA = re.compile(
    r"(?<!\\)\$\$?([^$\n]{1,400})(?<!\\)\$\$?|\\\(([^\n]{1,400}?)\\\)|\\\[((?:(?!\\\]).){1,600})\\\]",
    re.S,
)
_SQUARED_UNIT = re.compile(
    r"(\\(?:text|mathrm|mbox)\s*\{[^{}]{0,40}\}|(?<![A-Za-z\\])(?:[cmdk]?m|ft|feet|in|inch(?:es)?|yd|yards?|mi|miles?"
    r"|meters?|metres?|units?|s|sec))\s*\^?\s*\{?\s*[23]\s*\}?(?![\d\w])"
)
_ASIDE = re.compile(
    r",?\s+(?:since|because|as\s+(?:we|the|it|there)|where|given\s+that|so\s+that|which\s+(?:is|was|makes|gives|means)"
    r"|compared\s+(?:to|with)|instead\s+of|rather\s+than|out\s+of|more\s+than|less\s+than|fewer\s+than)\b"
    r"|,\s*(?:\w+\s+)?[$€£]?\d[\d,.]*\s+(?:more|less|fewer|times|\w+\s+(?:more|less|fewer))\b"
    r"|\s+(?:in|since|by|until|during)\s+(?:the\s+year\s+)?(?:19|20)\d\d\b",
    re.I,
)
_FIRST = re.compile(
    r"^\W*([-−]?[$€£]?\d[\d,.]*\d|[-−]?[$€£]?\d)\s+(?:is|are|was)\s+(?:the\s+)?(?:\w+\s+){0,2}"
    r"(?:answer|total|result|sum|number|difference|product|value|probability|area|cost)\b", re.I,
)  # fmt: skip
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*|__([^_\n]{1,80})__")
_JOINED = re.compile(
    r"[\s,;$\\()\[\]*.]*(?:(?:and|or|und|et|y|\\text\s*\{\s*(?:and|or)\s*\}|\\quad|\\qquad)?[\s,;$\\()\[\]*]*)",
    re.I,
)


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


def _final(text: str) -> str:
    """The text up to where the model goes on with something else after an answer."""
    answered = re.search(r"\\boxed|\\fbox|####|answer", text, re.I)
    if not answered:
        first = _NEXT.search(text, 1)
        return text[: first.start()] if first and text[: first.start()].strip() else text
    following = _NEXT.search(text, answered.end())
    return text[: following.start()] if following else text


# ---------------------------------------------------------------- boxes


def _boxed(text: str, finished: bool) -> str:
    """The last box that holds something, with those that stand beside it; "" if there is none.

    A box in a box is a part of it. A brace that is missing at the very end of the text is forgiven.
    """
    found = boxes.find(text)
    outer: list[boxes.Box] = []
    for box in found:
        if not outer or box.start >= outer[-1].end or outer[-1].content is None:
            outer.append(box)
    held = [box for box in outer if box.content]
    if not held:
        cut = [box for box in outer if box.content is None]
        return _unfinished(text[cut[-1].start :]) if cut else ""
    if outer[-1].content is None and finished and outer[-1].start > held[-1].end:
        return _unfinished(text[outer[-1].start :])
    last = [held[-1]]
    for box in reversed(held[-_MOST_VALUES:-1]):
        between = text[box.end : last[0].start]
        if len(between) > 60 or not _JOINED.fullmatch(between):
            break
        last.insert(0, box)
    contents = list(dict.fromkeys(_inner(box.content or "") for box in last))
    return ", ".join(contents)


def _unfinished(text: str) -> str:
    """What a box holds whose brace is missing, if the text ends with it."""
    inside = re.sub(r"^\\(?:boxed|fbox)\s*\{?", "", text).strip()
    inside = re.sub(r"[\s$.]+$", "", inside)
    return inside if 0 < len(inside) <= 100 and "\n" not in inside else ""


def _inner(content: str) -> str:
    """The content of a box without boxes in it, and of a sentence in it the answer."""
    while inner := [box for box in boxes.find(content) if box.content is not None]:
        last = inner[-1]
        around = content[: last.start] + content[last.end :]
        if not re.search(r"[\d+*/^=]|\\(?!text)[A-Za-z]", around):
            return _inner(last.content or "")  # only words around it
        content = content[: last.start] + (last.content or "") + content[last.end :]
    sentence = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", content)
    if _STATED.search(sentence):
        return _stated(sentence) or content
    return content.strip()


# ---------------------------------------------------------------- statements


def _stated(text: str) -> str:
    """What follows the last "answer is": its formula between dollar signs, number, or clause."""
    statements = list(_STATED.finditer(text))
    if not statements:
        return ""
    rest = text[statements[-1].end() :].strip().lstrip("*:_ ").split("\n\n")[0]
    clause = re.split(
        r"(?<=[^\d\\])[.!?。](?=\s|$|[^\d\s])|(?<=\d)\.(?=\s|$)|[。!]|\n", rest, maxsplit=1
    )[0]
    clause = clause.strip().strip("*").strip()
    if re.match(r"(?:\\?\$\s?)?\d[\d,.]*\s+(?:since|because|,)", clause):
        clause = _ASIDE.split(clause)[0]
    formulas = [
        one
        for match in _FORMULA.finditer(clause)
        if (one := next(filter(None, match.groups()), ""))
    ]
    if formulas and not re.match(r"-?\$\s?\d[\d,.]*(?:\s|$)", clause):
        return str(formulas[-1]).strip() if len(formulas) == 1 else _together(clause, formulas)
    sentence = len(clause.split()) > 3 and re.search(r"(?<![A-Za-z\\])[A-Za-z]{3,}", clause)
    if re.match(_VALUE, clause) and not re.search(r"\s=\s", clause):
        return clause
    if "\\" in clause or not sentence:
        return clause
    return _of_sentence(clause) or clause


def _together(clause: str, formulas: list[str]) -> str:
    """Formulas that only commas and "and" part are one answer; else the last of them."""
    between = _FORMULA.split(clause)
    apart = between[4::4][:-1]
    if all(_JOINED.fullmatch(piece or "") for piece in apart):
        return ", ".join(formula.strip() for formula in formulas)
    return formulas[-1].strip()


_CORRECTED = re.compile(
    r"\b(?:wait|oops|correction|actually|i\s+(?:made|see)\s+an?\s+(?:mistake|error)|let\s+me\s+"
    r"(?:re\w+|correct)|my\s+mistake|that(?:'s|\s+is)\s+(?:wrong|not\s+right|incorrect))\b",
    re.I,
)


def _corrected(text: str, finished: bool) -> str:
    """What a text comes to that takes back the last answer it stated."""
    statements = list(_STATED.finditer(text))
    if not statements or not finished:
        return ""
    second_thoughts = _CORRECTED.search(text, statements[-1].end())
    return _ending(text[second_thoughts.end() :]) if second_thoughts else ""


# ---------------------------------------------------------------- the end of a text


def _ending(text: str) -> str:
    """The value that the last sentence with one comes to."""
    lines = [line for line in text.strip().split("\n") if line.strip()]
    for line in reversed(lines[-6:]):
        sentences = re.split(r"(?<=[^\d\s][.!?])\s+(?=[A-Z\\$*])|(?<=\d[.!?])\s+(?=[A-Z])", line)
        for sentence in reversed(sentences):
            if found := _of_sentence(sentence):
                return found
    return ""


def _of_sentence(sentence: str) -> str:
    """The value of a sentence: in bold, behind its last equals sign, or its last number."""
    sentence = sentence.strip()[-_SENTENCE:]
    if first := _FIRST.match(sentence):
        return first[1]
    bold = [m[1] or m[2] for m in _BOLD.finditer(sentence)]
    if bold and (found := _number_in(bold[-1])):
        return found
    formulas = list(_FORMULA.finditer(sentence))
    at_end = formulas and not sentence[formulas[-1].end() :].strip(" .!*:;,_\"'")
    if at_end and (found := _of_formula(next(filter(None, formulas[-1].groups())))):
        return found
    return _number_in(_main(sentence))


def _main(sentence: str) -> str:
    """The main clause, as long as it still has a number."""
    for aside in _ASIDE.finditer(sentence):
        before = sentence[: aside.start()]
        if _NUMBER.search(before):
            return before
    return sentence


def _of_formula(formula: str) -> str:
    """The right side of a formula; of one without sides all of it, if it is a value."""
    formula = re.split(r"\\approx|≈|\\simeq", formula.strip())[0].strip() or formula
    sides = re.split(r"(?<![<>!\\])=(?!=)", formula)
    side = sides[-1].strip().strip(".").strip()
    if len(sides) > 1 and side:
        return side
    return side if re.search(r"\d", side) and not re.search(r"[<>]|\\le|\\ge", side) else ""


def _number_in(text: str) -> str:
    exact = re.split(
        r"\\approx|≈|\\simeq|,?\s+(?:or\s+)?(?:about|approximately|roughly)\s+(?=\d)", text
    )
    text = exact[0] if len(exact) > 1 and _NUMBER.search(exact[0]) else text
    text = _SQUARED_UNIT.sub(r"\1 ", text)
    text = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", "", text)
    return last_number(text)


# ---------------------------------------------------------------- choices


def _letter(text: str, count: int) -> str:
    """The option letter that a short answer consists of or starts with; else ""."""
    option = _LETTER.fullmatch(unwrap(text))
    letter = option[1].upper() if option else ""
    return letter if letter and ord(letter) - ord("A") < count else ""


def bare_choice(choice: str) -> str:
    """A choice without the letter it may be listed under ("A) 5" -> "5")."""
    return re.sub(r"^\s*\(?[A-Z]\s*[):.]\s*", "", choice).strip()


def _choice(text: str, choices: list[str], boxed: str) -> str:
    """Letter of the choice that a text settles on; "" if none can be made out.

    The English article "a" is no choice: a letter counts where it stands alone as an answer, in
    brackets, or after a word such as "option".
    """
    bare = [compact(plain(bare_choice(choice))).casefold() for choice in choices]
    for candidate in (boxed, _stated(text)):
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
        rf"\(([A-{last}])\)|(?:^|\n)[ \t]*\(?([A-{last}])[).:]?[ \t]*$"
        rf"|\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer(?: is)?:?)\s+\(?([A-{last}])\b"
        rf"|\b([B-{last}])(?=[\s.,;:)]|$)"
    )
    letters = re.findall(signs, text)
    return "".join(letters[-1]) if letters else ""


# ---------------------------------------------------------------- all of it


def extract_answer(
    text: str, choices: list[str] | tuple[str, ...] = (), finished: bool = True
) -> str:
    r"""The final answer that `text` gives, as written; "" if there is none.

    With `choices` (of a multiple-choice problem) it is the letter of one of them. finished: the
    model came to its end, rather than to the longest length.
    """
    text = _final(without_thoughts(text))
    words = _TAG.sub("", prose(text))
    tail = words[-_LONGEST:]
    boxed = _boxed(words, finished)
    if choices:
        return _choice(tail, list(choices), boxed)
    if boxed:
        return boxed
    if hashes := _HASHES.findall(tail):
        return str(hashes[-1]).strip()
    last = _ending(tail) if finished else ""
    ran = [output for output in outputs(text) if not _FAILED.search(output)]
    if not ran:
        return _corrected(tail, finished) or _stated(tail) or last
    after = prose(text[text.rfind("```output") :].split("```", 2)[-1])
    return _stated(after) or _of_output(ran[-1]) or last


_PRINTED = frozenset(
    [
        "sqrt",
        "pi",
        "exp",
        "log",
        "sin",
        "cos",
        "tan",
        "Matrix",
        "Fraction",
        "Rational",
        "FiniteSet",
        "Interval",
        "open",
        "Lopen",
        "Ropen",
        "oo",
        "inf",
        "Eq",
        "True",
        "False",
        "None",
    ]
)


def _of_output(output: str) -> str:
    """What an output says: its last line where that is a value as a whole, else its last number."""
    lines = output.strip().split("\n")
    value = lines[-1].rsplit("=", 1)[-1].rsplit(": ", 1)[-1].strip()
    if value and set(re.findall(r"[A-Za-z]{2,}", value)) <= _PRINTED:
        return value
    return last_number(output)
