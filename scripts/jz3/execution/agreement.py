"""Does a program print the answer that is stated? Decided by the strict grader.

What was printed and what is stated are read into one notation (`printed`) and compared as a
model's answer is compared with gold. A decimal also agrees with what it is rounded from.
"""

import math
import re
from fractions import Fraction

from ..grading import numeric
from ..grading.quantities import plain, quantity, split_unit
from ..grading.strict import strict
from ..grading.structures import structure
from .printed import latex

_CLOSE = 1e-9  # relative error of floating-point arithmetic
_DECIMAL = re.compile(r"[-+]?\d*\.(\d+)(?:[eE]([-+]?\d+))?")
_LABELS = (r"\s=\s|(?<=\w)=(?=[^=])", r":\s", r"\b(?:is|are|was|were|equals|has|have)\b:?")
_UNIT = re.compile(
    r"(?:\\[,;:! ]|[\s~])*(?:(?:\\cdot\s*)?\\(?:text|mathrm|mbox)\s*\{[^{}]*\}|\\Omega)+$"
)


def agrees(output: str, answer: str) -> bool:
    """Whether a stated answer is what the program printed last.

    The last line counts, or what follows the one "=", ":" or "is" in it. Never a number out of
    its sentence: "No solution for x > 3" is not 3.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines or not answer.strip():
        return False
    return any(_same(reading, answer) for reading in _readings(lines[-1], output))


def _readings(line: str, output: str) -> list[str]:
    found = [line]
    if len(output) < 600 and output.strip() != line:
        found.append(re.sub(r"\]\s*\[", "], [", output))  # an array over several lines
    for label in _LABELS:
        parts = re.split(label, line)
        if len(parts) == 2 and "," not in parts[0]:
            found.append(parts[1].strip())
    bare = [reading.rstrip(".") for reading in found]
    single = [
        reading[1:-1] for reading in bare if re.fullmatch(r"[\[{(][^\[\](){},:]+[\]})]", reading)
    ]
    return list(dict.fromkeys([*bare, *single]))


def _same(printed: str, stated: str) -> bool:
    if not printed:
        return False
    read, wanted = latex(printed), stated.strip().strip("$")
    if "," not in wanted:  # thousands are no tuple
        wanted = latex(wanted)
    if rounded(printed, wanted):
        return True
    return strict(read, wanted) or strict(wanted, read)


def number(text: str) -> Fraction | float | None:
    """The real value of a `plain` or printed number, exact where it is written exactly."""
    written = plain(text)
    if found := quantity(written):
        return None if found.value is None else Fraction(found.value)
    value = numeric.value(written)
    variable = re.search(r"(?<![\\A-Za-z])[A-Za-z]", written)
    return value.real if value is not None and not variable and abs(value.imag) < 1e-12 else None


def rounded(printed: str, stated: str) -> bool:
    """Whether two numbers differ by floating-point error, or one is the other rounded.

    A stated decimal may have fewer digits than the printed number; a printed decimal stands for a
    fraction or a root, never for a longer decimal. Whole numbers are not rounded ones.
    """
    ours = number(latex(printed))
    if split_unit(plain(printed))[1]:
        return False  # units are the grader's
    for written in dict.fromkeys((_UNIT.sub("", stated), split_unit(plain(stated))[0])):
        theirs = number(written)
        if not (ours is None or theirs is None) and _near(printed, ours, written, theirs):
            return True
    return False


def _near(printed: str, ours: Fraction | float, stated: str, theirs: Fraction | float) -> bool:
    if ours == theirs:
        return True
    if all(isinstance(n, Fraction) and n.denominator == 1 for n in (ours, theirs)):
        return False
    decimal, theirs_decimal = _DECIMAL.fullmatch(printed.strip()), _DECIMAL.fullmatch(plain(stated))
    if not (decimal or theirs_decimal):
        return False
    difference = abs(float(ours) - float(theirs))
    if math.isclose(float(ours), float(theirs), rel_tol=_CLOSE):
        return True
    shortest = theirs_decimal or decimal
    assert shortest
    digits = len(shortest[1]) - int(shortest[2] or 0)
    enough = 1 if theirs_decimal else 2
    return digits >= enough and float(ours) != 0 and difference <= 0.5 * 10.0**-digits * (1 + 1e-9)


def kind(text: str) -> str:
    """What a value is: number | truth | structure's name | expression | words | "" (nothing)."""
    written = plain(latex(text))
    if not written or "\n" in text.strip():
        return ""
    if written in ("True", "False"):
        return "truth"
    if re.fullmatch(r"\d+\s*:\s*\d+", written):
        return "ratio"
    if quantity(written):
        return "number"
    if (whole := structure(written)) is not None:
        return whole.kind
    if number(written) is not None:
        return "number"
    if re.search(r"[A-Za-z]{3,}", re.sub(r"\\[A-Za-z]+", "", written)):
        return "words"
    return "expression"
