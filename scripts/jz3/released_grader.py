r"""The authors' grader, rebuilt from its description: for comparison with the paper's numbers.

Its leniencies are kept on purpose, since the published figures contain them: 5 is met by 500 and
0.05, (1,2] by [1,2), a+1 by m+1; the article "a" is option A; of -3/4 the last number is 4. A
correct grader is `grading.strict`.
"""

import math
import re

from .quantities import NUMBER_WORDS
from .symbolic import WORKER

UNITLESS = frozenset({"carp_en", "minerva_math"})  # benchmarks whose units the authors keep

_SECONDS = 3.0
_LONGEST = 600  # characters; longer answers are compared as they are
_TOLERANCE = 1e-4
# Single letters stand for grams, hours, litres, ..., and hit every variable of that name.
_UNITS = """
    a c d g h l m o s t am pm a.m. p.m. mm cm dm km ml kg mg gm lb lbs oz ft in inch inches foot
    feet yard yards mile miles meter meters metre metres centimeter centimeters kilometer
    kilometers gram grams kilogram kilograms pound pounds ounce ounces ton tons liter liters litre
    litres gallon gallons sec secs second seconds min mins minute minutes hr hrs hour hours day days
    week weeks month months year years mph kmph kmh km/h km/hr m/s cm/s dollar dollars cent cents
    rs rupee rupees usd euro euros degree degrees deg unit units square sq cubic cu percent points
    people person men women boys girls students children apples balls books ways times edges digits
    integers multiples
""".split()  # noqa: SIM905
_UNIT = re.compile(
    r"(^|\W)(?:"
    + "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
    + r")($|\W)"
)
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(NUMBER_WORDS[:13])}
_MATRIX = re.compile(r"\\begin\{pmatrix\}(.*?)\\end\{pmatrix\}", re.S)


def _last_boxed(text: str) -> str | None:
    """What follows the last "boxed", up to its matching brace (or the next dollar sign)."""
    start = text.rfind("boxed")
    if start < 0:
        return None
    rest = text[start + len("boxed") :]
    if not rest.startswith("{"):
        return rest.split("$")[0].strip()
    depth = 0
    for place, sign in enumerate(rest):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return rest[1:place]
    return rest[1:]


def extract(text: str, choices: list[str] | tuple[str, ...] = ()) -> str:
    """The authors' search for the final answer: the first rule whose marker occurs is used."""
    if choices:
        upper = text.upper().strip()
        for marker in ("ANSWER IS", "CHOICE IS"):
            if marker in upper:
                found = re.search(r"\b([A-E])\b", upper[upper.rfind(marker) + len(marker) :])
                if found:
                    return found[1]
        letters = re.findall(r"\b[A-E]\b", upper)
        return letters[-1] if letters else ""
    if "final answer is $" in text and "$. I hope" in text:
        return text.split("final answer is $", 1)[1].split("$. I hope", 1)[0].strip()
    content = _last_boxed(text)
    if content is not None:
        return content.strip()
    for marker in ("he answer is", "final answer is"):
        if marker in text:
            return text.rsplit(marker, 1)[1].strip().lstrip(":").split("\n")[0].strip().rstrip(".")
    numbers = re.findall(r"-?\d*\.?\d+", text.replace(",", ""))
    return numbers[-1] if numbers else ""


def _fractions(text: str) -> str:
    r"""Brace the parts of `\frac12` and `\sqrt3`, and write a whole `a/b` as a fraction."""
    text = re.sub(r"\\sqrt(\w)", r"\\sqrt{\1}", text)
    text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac(\d)(?=\{)", r"\\frac{\1}", text)
    text = re.sub(r"(\\frac\{[^{}]*\})(\d)", r"\1{\2}", text)
    whole = re.fullmatch(r"(-?\d+)/(-?\d+)", text)
    return rf"\frac{{{whole[1]}}}{{{whole[2]}}}" if whole else text


def normalise(text: str, *, units: bool = True) -> str:
    """The spelling in which the authors compare answers; `units` strips words (and variables)."""
    text = text.strip().replace("\n", "").rstrip(".").replace(r"\!", "")
    text = re.sub(
        r"\\(begin|end)\{(?:array|bmatrix|matrix)\}(?:\{[clr|]*\})?", r"\\\1{pmatrix}", text
    )
    text = text.replace("tfrac", "frac").replace("dfrac", "frac").replace("cfrac", "frac")
    text = re.sub(r"\\(?:left|right)(?![a-z])", "", text).replace(r"\{", "{").replace(r"\}", "}")
    text = re.sub(r"\\(le|ge|ne)q(?![a-z])", r"\\\1", text)
    text = re.sub(r"(?<=.)\\(?:text|mbox)\s*\{[^{}]*\}(?:\^\{?\d\}?)?$", "", text).strip()
    if units:
        for _ in range(2):  # a match takes both its neighbours, so the next word needs a new pass
            stripped = _UNIT.sub(r"\1\2", text)
            if stripped:
                text = stripped
    text = re.sub(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)", "", text)
    text = text.replace(r"\$", "").replace("$", "").replace(r"\(", "").replace(r"\)", "")
    text = _NUMBER_WORDS.get(text.strip().lower(), text)
    text = re.sub(r"\\(?:text|mbox|mathrm|mathbf)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"^\s*[xyz]\s*(?:=|\\in(?![a-z]))\s*", "", text)
    text = text.replace(r"\%", "").replace("%", "")
    text = re.sub(r"(^|[\s{(\[,=])\.(?=\d)", r"\g<1>0.", text)
    text = text.replace("infinity", r"\infty")
    text = re.sub(r"\\?(?<![a-zA-Z])inf(?![a-zA-Z])", r"\\infty", text)
    text = text.replace(" and ", ",").replace("'", "").replace('"', "").replace(r"\,", "")
    text = re.sub(r"(\d+)\.0*(?=\D|$)", r"\1", text)
    sides = text.split("=")
    if len(sides) == 2 and len(sides[0].strip()) <= 2:
        text = sides[1]
    text = re.sub(r"\s+", "", text).replace(r"\ ", "")
    pair = re.fullmatch(r"[{(\[]([A-Za-z0-9]+)[})\]]", text)
    return _fractions(pair[1] if pair else text)


def _number(text: str) -> float | None:
    text = text.replace(",", "").strip()
    share = text.endswith(("%", r"\%"))
    try:
        value = float(text.rstrip("%").rstrip("\\"))
    except ValueError:
        return None
    return value / 100 if share else value


def _bare(text: str) -> str:
    return re.sub(r"[{}()]", "", text.strip("[]").strip("()")).lower()


def _parts(text: str) -> list[str] | None:
    """Elements of a bracketed tuple or interval, whatever its brackets; else None."""
    if re.fullmatch(r"[(\[].+[)\]]", text) and "," in text:
        return text[1:-1].split(",")
    return None


def _cells(text: str) -> list[list[str]] | None:
    found = _MATRIX.fullmatch(text)
    if not found:
        return None
    return [row.split("&") for row in found[1].split(r"\\") if row]


def _same(predicted: str, gold: str) -> bool:
    """The authors' comparison of normalised answers: the first rule that accepts decides."""
    if predicted.lower() == gold.lower():
        return True
    ours, theirs = _number(predicted), _number(gold)
    if ours is not None and theirs is not None:
        return any(
            math.isclose(ours, value, rel_tol=_TOLERANCE)
            for value in (theirs / 100, theirs, theirs * 100)
        )
    if not predicted:
        return False
    if _bare(predicted) == _bare(gold):
        return True
    left, right = _parts(predicted), _parts(gold)
    same_length = left and right and len(left) == len(right)
    if same_length and all(_same(a, b) for a, b in zip(left, right, strict=True)):
        return True
    rows, wanted = _cells(predicted), _cells(gold)
    if rows and wanted:
        return [len(row) for row in rows] == [len(row) for row in wanted] and all(
            _same(a, b)
            for row, other in zip(rows, wanted, strict=True)
            for a, b in zip(row, other, strict=True)
        )
    equations = predicted.count("="), gold.count("=")
    if equations == (1, 1):
        (a, b), (c, d) = predicted.split("="), gold.split("=")
        difference, wanted_difference = f"({a})-({b})", f"({c})-({d})"
        return _symbolic(difference, wanted_difference) or _symbolic(
            f"-({difference})", wanted_difference
        )
    if equations == (1, 0) and len(predicted.split("=")[0].strip()) <= 2:
        return _same(predicted.split("=")[1], gold)
    if equations == (0, 1) and len(gold.split("=")[0].strip()) <= 2:
        return _same(predicted, gold.split("=")[1])
    return _symbolic(predicted, gold)


def _symbolic(predicted: str, gold: str) -> bool:
    if not predicted or not gold:
        return False
    if "," in predicted + gold:  # lists are compared in order only
        return False
    return WORKER.equal("released", predicted, gold, _SECONDS)


def equal(predicted: str, gold: str, *, units: bool = True) -> bool:
    """Whether the authors' rules take `predicted` for `gold`.

    `units` is False for the benchmarks in `UNITLESS`. Ends within some seconds: what takes more
    than 3 s of processor time to compare counts as different, as in the release.
    """
    if not predicted.strip() or max(len(predicted), len(gold)) > _LONGEST:
        return predicted == gold != ""
    return _same(normalise(predicted, units=units), normalise(gold, units=units))
