r"""The authors' grader, by the rules of their release: for comparison with the paper's numbers.

What it gets wrong is kept on purpose, since the published figures contain it: 5 is met by 500 and
0.05, (1,2] by [1,2), a+1 by m+1, x>5 by x<5; 1\frac{1}{2} is one half; only what stands before a
comma is compared of \sqrt{2},3; the article "a" is option A; of -3/4 the last number is 4. A
correct grader is `strict`. Source: the release's eval/parser.py and eval/grader.py, whose
verdicts on real answers these rules were compared with (docs/evaluation.md has the figures).
"""

import math
import re

from .quantities import NUMBER_WORDS
from .symbolic import WORKER

UNITLESS = frozenset({"carp_en", "minerva_math"})  # benchmarks whose units the authors keep

_SECONDS = 3.0
_LONGEST = 600  # characters; longer answers are compared as they are
_TOLERANCE = 1e-4
# Words that are deleted wherever they stand alone, with and without a plural s. Single letters
# stand for grams, hours, litres, ..., and hit every variable of that name. Regular expressions:
# the dots of the release's "a ." and the like stand for any character.
_UNITS = r"""
    a c d g h l m o s t [a-hqs]\s. rs\s. [ap]\s.\sm sq\s.\sm cu\s.\sm
    mm cm dm km mtr mt metre meter inch inche feet ft yard mile acre hectare east west m\ssqaure
    square cube cubic sq cu\scm cc cm\s2 sq\sm sq\sinch pi\ssq\sm π\sr\s2 Surface
    gm kg lb gal gallon litre liter lt ohm
    sec second min minute minw hr hour day month year yr noon am pm mph kmph kmh
    degree deg °\sf percent rupee rs coin profit profit\sof\srs loss gain excess pure
    rise increase decrease no\schange more less ratio per by unit number prime mark rounds way
    apple tile toy pie monkey soldier man men woman women
    st rd th ab bc are mp
"""
_UNIT = re.compile(rf"(^|\W)(?:{'|'.join(_UNITS.split())})s?($|\W)")
_SCALES = {"billion": 10**9, "million": 10**6, "thousand": 1000}
_WORDS = {**NUMBER_WORDS, "hundred": 100, **_SCALES}
_MATRIX = (r"\begin{pmatrix}", r"\end{pmatrix}")


# ---------------------------------------------------------------- extraction


def _last_boxed(text: str) -> str:
    """What follows the last "boxed", up to its matching brace (or the next dollar sign)."""
    rest = text.rsplit("boxed", 1)[1]
    if not rest.startswith("{"):
        return rest.split("$")[0].strip()
    depth = 0
    for end, sign in enumerate(rest):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return rest[1:end]
    return rest[1:]


def _letter(text: str) -> str:
    """The first letter A-E after the last "answer is" or "choice is"; else the last of the text.

    Where there is none it is the text itself, which is no letter of any gold answer.
    """
    text = text.strip("\n")
    if max(text.count("answer is"), text.count("choice is")) > 1:
        text = text.split("\n\n")[0]  # a base model that went on with questions of its own
    parts = re.split("choice is|answer is", text)
    letters: list[str] = re.findall(r"\b[A-E]\b", parts[-1].upper())
    if letters:
        return letters[0 if len(parts) > 1 else -1]
    return parts[-1].strip().strip(".:/").strip()


def extract(text: str, choices: list[str] | tuple[str, ...] = ()) -> str:
    """The authors' search for the final answer: the first rule whose marker occurs is used."""
    if choices:
        return _letter(text)
    if "final answer is $" in text and "$. I hope" in text:
        answer = text.split("final answer is $", 1)[1].split("$. I hope", 1)[0].strip()
    elif "boxed" in text:
        answer = _last_boxed(text)
    elif "he answer is" in text:
        answer = text.rsplit("he answer is", 1)[1].strip()
    elif "final answer is" in text:
        answer = text.rsplit("final answer is", 1)[1].strip()
    else:
        numbers = re.findall(r"-?\d*\.?\d+", text.replace(",", ""))
        answer = numbers[-1] if numbers else ""
    answer = re.sub(r"\n\s*", "", answer).removeprefix(":")
    return answer.removesuffix(".").removesuffix("/").strip()


# ---------------------------------------------------------------- one spelling


def _spoken(text: str) -> str:
    """The number that the number words of a text make up; the text where there are none.

    Other words do not matter: "two apples" is 2. "point" starts decimals and is 0 alone.
    """
    text_words = text.replace("-", " ").lower()
    if text_words.isdecimal():
        return str(int(text_words))
    words = [word for word in text_words.split() if word in _WORDS or word == "point"]
    if not words or any(words.count(word) > 1 for word in ("point", *_SCALES)):
        return text
    point = words.index("point") if "point" in words else len(words)
    whole, decimals = words[:point], words[point + 1 :]
    positions = [whole.index(scale) for scale in _SCALES if scale in whole]
    if positions != sorted(positions):
        return text
    total: float = 0
    start = 0
    if len(whole) == 1:
        total, start = _WORDS[whole[0]], 1
    else:
        for position in positions:
            if start == position:
                return text
            total += _hundreds(whole[start:position]) * _WORDS[whole[position]]
            start = position + 1
    if start < len(whole):
        total += _hundreds(whole[start:])
    if decimals:
        digits = [str(_WORDS[word]) for word in decimals if _WORDS[word] < 10]
        total += float(f"0.{''.join(digits)}") if len(digits) == len(decimals) else 0
    return str(total)


def _hundreds(words: list[str]) -> int:
    """A number below a thousand in words; anything longer is its first word."""
    values = [_WORDS[word] for word in words]
    if len(values) == 2:
        return values[0] * values[1] if 100 in values else sum(values)
    return values[0] * values[1] + sum(values[2:]) if len(values) in (3, 4) else values[0]


def _without_units(text: str) -> str:
    """`text` without the words of `_UNITS`, except a single one that is all there is."""
    while True:
        shorter = _UNIT.sub(r"\1\2", text)
        if not shorter or shorter == text:
            return text
        text = shorter


def _fractions(text: str) -> str:
    r"""Brace the parts of `\frac12`, and write a whole `a/b` of integers or roots as a fraction."""
    first, *rest = text.split(r"\frac")
    if any(len(part) < 2 and not part.startswith("{") for part in rest):
        braced = text
    else:
        braced = first
        for part in rest:
            if part[0] != "{":
                over = part[1] if part[1] == "{" else f"{{{part[1]}}}"
                part = f"{{{part[0]}}}{over}{part[2:]}"
            braced += rf"\frac{part}"
    parts = braced.split("/")
    if len(parts) == 2 and all(
        "sqrt" in part or re.fullmatch(r"0|-?[1-9]\d*", part) for part in parts
    ):
        return rf"\frac{{{parts[0]}}}{{{parts[1]}}}"
    return braced


def normalise(text: str, *, units: bool = True) -> str:
    """The spelling in which the authors compare answers; `units` strips words (and variables)."""
    text = text.strip().replace("\n", "").rstrip(".").replace(r"\!", "")
    text = re.sub(r"\\begin\{array\}\{.*?\}", lambda _: _MATRIX[0], text)
    text = text.replace(r"\end{array}", _MATRIX[1]).replace("bmatrix", "pmatrix")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac")
    for relation in ("ne", "le", "ge"):
        text = text.replace(rf"\{relation}q", rf"\{relation}")
    text = text.replace(r"\left", "").replace(r"\right", "").replace(r"\{", "{").replace(r"\}", "}")
    text = re.sub(r"\\text\{.*?\}$", "", text).strip() or text  # from the first \text to the end
    if units:
        text = _without_units(text)
    text = text.replace(r"^{\circ}", "").replace(r"^\circ", "")
    text = text.replace(r"\$", "").replace("$", "").replace(r"\(", "").replace(r"\)", "")
    text = re.sub(r"\\text\{(.*?)\}", r"\1", _spoken(text))
    text = re.sub(r"[xyz](?:=|\\in|\\to)", "", text)
    text = text.replace(r"\emptyset", "{}").replace(r"(-\infty,\infty)", r"\mathbb{R}")
    text = text.replace(r"\%", "").replace("%", "").replace(" .", " 0.").replace("{.", "{0.")
    text = text.replace("infinity", r"\infty")
    if r"\infty" not in text:
        text = text.replace("inf", r"\infty")
    text = re.sub(r"\\mbox\{.*?\}", "", text.replace("and", "").replace(r"\mathbf", ""))
    if "i" not in text:
        text = text.replace("j", "i")
    text = re.sub(r"(\d+)\.0*(?=\D|$)", r"\1", text)
    if text.startswith("."):
        text = f"0{text}"
    sides = text.split("=")
    if len(sides) == 2 and len(sides[0]) <= 2:
        text = sides[1]
    return _fractions(re.sub(r"\\sqrt(\w+)", r"\\sqrt{\1}", text).replace(" ", ""))


# ---------------------------------------------------------------- comparison


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _bare(predicted: str, gold: str) -> tuple[str, str]:
    """Both without brackets: square ones only around the whole, and not against round ones."""
    for (left, right), other in (("[]", "("), ("()", "[")):
        if predicted[0] == left and predicted[-1] == right and not gold.startswith(other):
            predicted, gold = predicted.strip("[]()"), gold.strip("[]()")
            break
    return re.sub(r"[{}()]", "", predicted).lower(), re.sub(r"[{}()]", "", gold).lower()


def _all_same(predicted: list[str], gold: list[str]) -> bool:
    return len(predicted) == len(gold) and all(map(_same, predicted, gold))


def _rows(text: str) -> list[str] | None:
    """Rows of a text that is one matrix; else None."""
    start, end = _MATRIX
    if not (text.startswith(start) and text.endswith(end)):
        return None
    return [row for row in text[len(start) : -len(end)].split(r"\\") if row.strip()]


def _same(predicted: str, gold: str) -> bool:
    """The authors' comparison of normalised answers: the first rule that accepts decides."""
    predicted, gold = predicted.strip(), gold.strip()
    if predicted.lower() == gold.lower():
        return True
    number, gold_number = _number(predicted), _number(gold)
    if number is not None and gold_number is not None:
        return any(
            math.isclose(number, value, rel_tol=_TOLERANCE)
            for value in (gold_number / 100, gold_number, gold_number * 100)
        )
    if not predicted or ("pmatrix" in predicted and "pmatrix" not in gold):
        return False
    bare, bare_gold = _bare(predicted, gold)
    if bare == bare_gold:
        return True
    points = [re.match(r"[(\[].+[)\]]", text) for text in (predicted, gold)]
    if all(points) and _all_same(predicted[1:-1].split(","), gold[1:-1].split(",")):
        return True
    rows, gold_rows = _rows(predicted), _rows(gold)
    if rows and gold_rows and len(rows) == len(gold_rows):
        cells = zip(rows, gold_rows, strict=True)
        if all(_all_same(row.split("&"), other.split("&")) for row, other in cells):
            return True
    ours, theirs = predicted.split("="), gold.split("=")
    accepted = False
    if len(ours) == len(theirs) == 2:
        left, right = (f"{side[0].strip()} - ({side[1].strip()})" for side in (ours, theirs))
        accepted = _symbolic(left, right) or _symbolic(f"-({left})", right)
    elif len(ours) == 2 and len(ours[0].strip()) <= 2 and len(theirs) == 1:
        accepted = _same(ours[1], gold)
    elif len(theirs) == 2 and len(theirs[0].strip()) <= 2 and len(ours) == 1:
        accepted = _same(predicted, theirs[1])
    return accepted or _symbolic(predicted, gold)


def _symbolic(predicted: str, gold: str) -> bool:
    return WORKER.equal("released", predicted, gold, _SECONDS)


def equal(predicted: str, gold: str, *, units: bool = True) -> bool:
    """Whether the authors' rules take `predicted` for `gold`.

    `units` is False for the benchmarks in `UNITLESS`. Ends within some seconds: what takes more
    than 3 s of processor time to compare counts as different, as in the release.
    """
    if not predicted.strip() or max(len(predicted), len(gold)) > _LONGEST:
        return predicted == gold != ""
    for _ in range(2):  # the release normalises what it has found, and the result once more
        predicted, gold = normalise(predicted, units=units), normalise(gold, units=units)
    return _same(predicted, gold)
