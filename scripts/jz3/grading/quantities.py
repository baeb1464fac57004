"""Answers as text: one plain spelling for LaTeX, Unicode and Python notation, and exact quantities.

Everything here is string work and rational arithmetic: no evaluation, no symbolic mathematics.
"""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from ..boxes import closing
from .notation import rewritten
from .units import LETTERS, factor, known_unit, same_unit

_SYMBOLS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ",
    "÷": "/", "⁄": "/", "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ", "°": r"^\circ ", "²": "^2",
    "³": "^3", "’": "'", "‘": "'", "“": '"', "”": '"', "¢": r"\text{ cents}", "≈": r"\approx ",
    "∅": r"\emptyset ", "ℝ": r"\mathbb{R} ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ",
    "√": r"\sqrt ",
}  # fmt: skip
_DIGITS = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,12})?")
_SPACES = re.compile(r"(?<!\\)\\[!,;:> ]|~|\\q?quad(?![a-z])|\\displaystyle(?![a-z])|\s+")
_TEXT = re.compile(r"\\(?:mbox|hbox|textbf|textit|textrm|mathrm|mathbf|mathit|operatorname)\s*\{")
_FUNCTIONS = (
    "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|max|min|gcd|lcm"
    "|pi|det|mod"
)
FUNCTIONS = frozenset(_FUNCTIONS.split("|"))


def _wrap(text: str, command: str, opening: str) -> str:
    r"""Rewrite `command(...)` as `\command{...}`, at every matched bracket."""
    pattern = re.compile(rf"\\?(?<![A-Za-z]){command}\s*{re.escape(opening)}")
    match = pattern.search(text)
    while match:
        end = closing(text, match.end() - 1)
        if end < 0:
            break
        inner = text[match.end() : end]
        text = f"{text[: match.start()]}\\{command}{{{inner}}}{text[end + 1 :]}"
        match = pattern.search(text, match.start() + len(command) + 2)
    return text


def unwrap(text: str) -> str:
    r"""Take off what encloses it all: dollar signs, `\( \)`, `\boxed{}`, `\text{}`, braces."""
    while True:
        before = text = text.strip()
        for left, right in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**")):
            if len(text) > len(left + right) and text.startswith(left) and text.endswith(right):
                inner = text[len(left) : -len(right)]
                if left not in inner and not inner.endswith("\\"):
                    text = inner
        opened = re.match(r"(?:\\(?:boxed|fbox|text))?\s*\{", text)
        if opened and closing(text, opened.end() - 1) == len(text) - 1:
            text = text[opened.end() : -1]
        if text == before:
            return text


@lru_cache(maxsize=1 << 16)  # gold answers come again with every model and sample
def plain(text: str) -> str:
    r"""One spelling of an answer: LaTeX without layout, `\frac{a}{b}` and `\sqrt{a}` braced.

    Python's notation (`sqrt(2)`, `x**2`, `pi`) and Unicode signs become LaTeX. Case is kept.
    """
    if _DIGITS.fullmatch(text):
        return text
    text = rewritten(text)
    for sign in set(text):
        if sign in _SYMBOLS:
            text = text.replace(sign, _SYMBOLS[sign])
        elif unicodedata.decomposition(sign).startswith("<fraction>"):
            top, bottom = unicodedata.normalize("NFKC", sign).split("⁄")
            text = text.replace(sign, rf"\frac{{{top}}}{{{bottom or 1}}}")
    text = "".join(
        c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf"
    )
    text = re.sub(r",\s*\\!\s*|\{,\}", ",", text)
    text = re.sub(r"\\(?:left|right|big|Big|bigg|Bigg)[lr]?(?![A-Za-z])", "", text)
    text = _TEXT.sub(lambda _: r"\text{", text)
    text = _SPACES.sub(" ", text)
    text = text.replace(r"\lbrace", r"\{").replace(r"\rbrace", r"\}")
    text = text.replace(r"\langle", "(").replace(r"\rangle", ")")
    text = re.sub(r"\\(le|ge|ne)(?:q|qslant)(?![A-Za-z])", r"\\\1", text)
    text = text.replace("<=", r"\le ").replace(">=", r"\ge ").replace("!=", r"\ne ")
    text = re.sub(r"\\varnothing|\\\{\s*\\\}", r"\\emptyset ", text)
    text = re.sub(r"\{([^{}]*)\\choose([^{}]*)\}", r"\\binom{\1}{\2}", text)
    text = re.sub(r"\\[dtc]frac", r"\\frac", text)
    text = re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{", text)
    text = re.sub(r"(\\frac\s*\{[^{}]*\})\s*(\d)", r"\1{\2}", text)
    text = re.sub(r"\\sqrt\s*(\d|[A-Za-z](?![A-Za-z]))", r"\\sqrt{\1}", text)
    text = _wrap(text, "sqrt", "(")
    text = text.replace("**", "^")
    text = re.sub(r"\^\s*\(?(-?\d{2,}|-\d)\)?", r"^{\1}", text)
    # min and max without brackets are minutes and words
    text = re.sub(
        rf"(?<![A-Za-z\\])(?!(?:min|max)(?!\s*[({{_\\]))({_FUNCTIONS})(?![A-Za-z])", r"\\\1", text
    )
    text = re.sub(r"(?<![A-Za-z])oo(?![A-Za-z])", r"\\infty", text)
    text = unwrap(text)
    text = re.sub(r"^(?:\\approx|\\sim|approximately|about|=|:)\s*", "", text)
    return unwrap(text.strip().removesuffix(".").strip())


def compact(text: str) -> str:
    r"""`text` without spaces (but between digits), `\text{}` and LaTeX's optional braces."""
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\^\{(\w)\}", r"^\1", re.sub(r"_\{(\w)\}", r"_\1", text))
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)


NUMBER_WORDS = {
    word: value
    for value, word in enumerate(
        (
            *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
            *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen"),
            *("seventeen", "eighteen", "nineteen"),
        )
    )
} | {
    word: 10 * value
    for value, word in enumerate(
        ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2
    )
}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


def spoken_number(text: str) -> int | None:
    """The integer that a text of number words only names ("one hundred and five"); else None."""
    words = [word for word in text.lower().replace("-", " ").split() if word != "and"]
    total, group, seen = 0, 0, False
    for word in words:
        if word in NUMBER_WORDS:
            group, seen = group + NUMBER_WORDS[word], True
        elif word == "hundred":
            group, seen = (group or 1) * 100, True
        elif word in SCALES and seen:
            total, group = total + group * SCALES[word], 0
        else:
            return None
    return total + group if seen else None


# ---------------------------------------------------------------- value and unit


_UNIT_IN_TEXT = re.compile(r"\s*\\text\s*\{([^{}]*)\}\s*((?:\^\s*\{?\d\}?)?)$")
_UNIT_BARE = re.compile(
    r"(?<=[\d}.])(?:\s*-\s*|\s*)(\(?[A-Za-z][A-Za-z.'\-]*(?: (?:of |per )?[A-Za-z.'\-]+){0,4}\)?)"
    r"\s*((?:\^\s*\{?\d\}?)?)$"
)
_UNIT_FORMULA = re.compile(r"(?<=[\d}.)])\s*([^\W\d_°][\w/^{}. ·*-]*|°[CF])$")
_CURRENCY = re.compile(
    r"(-?)\s*(€|£|₹|¥|\\?\$|\\pounds|\\(?:euro|yen)(?![a-z])|(?:USD|EUR|GBP|INR|Rs\.?|US\\?\$)(?![A-Za-z]))"
    r"\s*(?=[-\d.\\])"
)
_CURRENCY_BEHIND = re.compile(r"(?<=[\d}])\s*(€|£|₹|¥|\\pounds|\\euro|\\?\$)$")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)$")


def split_unit(text: str) -> tuple[str, str]:
    r"""Split `plain` text into the value and its unit: words at the end, `$`, `\%`, degrees.

    A single letter counts as a unit only inside `\text{}`: elsewhere it is a variable.
    """
    text = text.strip()
    if money := _CURRENCY.match(text):
        value, unit = split_unit(money[1] + text[money.end() :])
        scale = f" {unit}" if unit in SCALES else ""
        return value + scale, _currency(money[2])
    if money := _CURRENCY_BEHIND.search(text):
        return text[: money.start()].strip(), _currency(money[1])
    for pattern, unit in (
        (r"\s*(?:\\?%|percent)$", "%"),
        (r"\s*\^\s*\{?\s*\\circ\s*\}?(?:\s*\\?(?:text)?\{?[CF]\}?)?$", "degrees"),
    ):
        match = re.search(pattern, text)
        if unit == "degrees" and re.search(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])", text):
            continue  # of an angle inside
        if match and match.start():
            return text[: match.start()].strip(), unit
    match = _ORDINAL.search(text)
    if match:
        return text[: match.start()], "ordinal"
    match = _UNIT_IN_TEXT.search(text)
    if match and match.start() and re.search(r"[A-Za-z]", match[1]):
        if " and " in match[1]:
            return text, ""
        unit = match[1].strip() + match[2].replace(" ", "")
        return text[: match.start()].strip(), "%" if unit == "percent" else unit
    match = _UNIT_FORMULA.search(text)
    letter = match and re.fullmatch(r"[A-Za-z](?:\s*\^.*)?", match[1])  # may be a variable
    if match and not letter and known_unit(match[1]):
        return text[: match.start()].strip(), match[1].strip()
    match = _UNIT_BARE.search(text)
    if match:
        words = [word.strip("().'-") for word in re.split(r"[ -]", match[1])]
        whole = (match[1] + match[2]).strip()
        sensible = all(word not in FUNCTIONS for word in words) and "and" not in words
        wordy = known_unit(whole) or all(len(word) > 2 or word in ("of", "") for word in words)
        if len(words[0]) > 1 and "or" not in words and sensible and wordy:
            return text[: match.start()].strip(), whole
    return text, ""


def _currency(sign: str) -> str:
    """The sign of a currency as one of `units`."""
    name = sign.strip("\\").rstrip(".").lower()
    return {"pounds": "£", "us$": "$"}.get(name, name)


def without_letter(text: str) -> tuple[str, str]:
    """A number in front of a one-letter unit, and that unit (with its power); ("", "") if none.

    Only where a number is expected: elsewhere `3m` is three times m.
    """
    found = re.fullmatch(
        rf"(.*[\d}}])\s*(?:\\cdot)?\s*([{LETTERS}]\s*(?:\^\s*\{{?[23]\}}?)?)", text
    )
    return (found[1].strip(), found[2]) if found else ("", "")


# ---------------------------------------------------------------- numbers

_PLAIN_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)(?:\.\d*)?|\.\d+"
_REPEATING = re.compile(r"(\d*)\.(\d*)\\overline\s*\{(\d+)\}")
_NUMBER = re.compile(rf"({_PLAIN_NUMBER})(?:[eE]([+-]?\d{{1,3}}))?")
_POWER = re.compile(
    rf"(?:({_PLAIN_NUMBER})\s*(?:\\times|\\cdot|\*|x)\s*)?10\s*\^\s*\{{?\s*([+-]?\d{{1,3}})\s*\}}?"
)
_RATIO = re.compile(
    rf"\\frac\s*\{{\s*(-?\s*(?:{_PLAIN_NUMBER}))\s*\}}\s*\{{\s*(-?\s*(?:{_PLAIN_NUMBER}))\s*\}}"
    rf"|({_PLAIN_NUMBER})\s*/\s*(-?(?:{_PLAIN_NUMBER}))"
)
_MIXED = re.compile(
    r"(\d+)(?:\s*(?:and)?\s*\\frac\s*\{(\d+)\}\s*\{(\d+)\}|\s+(?:and\s+)?(\d+)/(\d+))"
)
_LONGEST = 200  # characters of a written number; longer ones are left to string equality


@dataclass(frozen=True)
class Quantity:
    """An exact value, its unit as written ("" if none), and its significant digits.

    `digits` is 0 unless the value was written with a decimal point.
    """

    value: Fraction
    unit: str = ""
    digits: int = 0


def _exact(text: str) -> Fraction:
    text = re.sub(r"[,\s]", "", text)
    return Fraction(text + "0" if text.endswith(".") else text)


_PART = re.compile(
    rf"\s*(?:,|and|\\text\s*\{{\s*and\s*\}}|\+)?\s*({_PLAIN_NUMBER}|\\frac\{{\d+\}}\{{\d+\}})\s*"
    r"(?:\\text\s*\{\s*([A-Za-z]+)[\s.]*\}|([A-Za-z]+)\.?|(''|'|\"|°|\^\{?\\circ\}?))"
)
_MARKS = {"'": "arcminute", "''": "arcsecond", '"': "arcsecond"}


def _compound(text: str) -> "Quantity | None":
    """Two quantities or more of one dimension: `1 hour 30 minutes`, `5 feet 3 inches`."""
    parts: list[Quantity] = []
    place = 0
    while place < len(text):
        part = _PART.match(text, place)
        if not part:
            return None
        name = part[2] or part[3] or _MARKS.get(part[4] or "", "degree" if part[4] else "")
        value = quantity(part[1])
        if value is None or not known_unit(name):
            return None
        parts.append(Quantity(value.value, name))
        place = part.end()
    if len(parts) < 2 or not all(same_unit(part.unit, parts[0].unit) for part in parts):
        return None
    last = parts[-1].unit
    total = sum((part.value * factor(part.unit, last) for part in parts), Fraction(0))
    return Quantity(total, last)


def quantity(text: str) -> Quantity | None:
    """Read `plain` text as one number with an optional unit; None if it is anything else."""
    if not text or len(text) > _LONGEST:
        return None
    if together := _compound(text):
        return together
    text, unit = split_unit(text)
    value, scale = split_unit(text) if unit not in SCALES else (text, unit)
    if scale in SCALES:
        inner = quantity(value)
        if inner and not inner.unit:
            unit = "" if unit == scale else unit
            return Quantity(inner.value * SCALES[scale], unit, inner.digits)
    sign = -1 if text.startswith("-") else 1
    text = re.sub(r"^[+-]\s*", "", text)
    if text[:1].isalpha():
        spoken = spoken_number(f"{text} {unit}" if unit in SCALES else text)
        return None if spoken is None else Quantity(Fraction(sign * spoken), unit)
    match = _NUMBER.fullmatch(text)
    if match:
        digits = len(match[1].replace(",", "").replace(".", "").lstrip("0")) if "." in text else 0
        return Quantity(sign * _exact(match[1]) * Fraction(10) ** int(match[2] or 0), unit, digits)
    match = _REPEATING.fullmatch(text)
    if match:
        whole, fixed, period = match.groups()
        ninths = Fraction(int(period), 10 ** len(period) - 1) / 10 ** len(fixed)
        return Quantity(sign * (_exact(f"{whole or 0}.{fixed or 0}") + ninths), unit)
    match = _POWER.fullmatch(text)
    if match:
        return Quantity(sign * _exact(match[1] or "1") * Fraction(10) ** int(match[2]), unit)
    match = _RATIO.fullmatch(text)
    if match:
        bottom = _exact(match[2] or match[4])
        return Quantity(sign * _exact(match[1] or match[3]) / bottom, unit) if bottom else None
    match = _MIXED.fullmatch(text)
    if match:
        parts = int(match[3] or match[5])
        if not parts:
            return None
        part = Fraction(int(match[2] or match[4]), parts)
        return Quantity(sign * (int(match[1]) + part), unit)
    return None


def same_number(predicted: Fraction, gold: Fraction, digits: int) -> bool:
    """Equal, or as close as a decimal can come.

    A gold integer must be met exactly, up to a float's noise: a decimal of 12 or more significant
    digits that is no whole number is a program's print-out and may be off by 1e-9 of the value.
    Any other gold value forgives 1e-6 of the value, so that 0.333333 is 1/3 and 0.33 is not.
    """
    if predicted == gold:
        return True
    if gold.denominator == 1:
        printed = digits >= 12 and predicted.denominator != 1
        return printed and abs(predicted - gold) <= abs(gold) * Fraction(1, 10**9)
    return abs(predicted - gold) <= abs(gold) * Fraction(1, 10**6)


def same_quantity(predicted: Quantity, gold: Quantity) -> bool:
    """Whether two quantities agree.

    A unit on one side only is ignored (the question names it), and so are words that are no
    unit of measurement; two such units must be of one dimension and are converted. A percentage
    meets a bare number as `n` or as `n/100`.
    """
    if ("%" in (predicted.unit, gold.unit)) and predicted.unit != gold.unit:
        if predicted.unit and gold.unit:
            return False
        shares = (Fraction(1), Fraction(1, 100))
        return any(
            same_number(
                predicted.value * (share if predicted.unit else 1),
                gold.value * (share if gold.unit else 1),
                predicted.digits,
            )
            for share in shares
        )
    alike = same_unit(predicted.unit, gold.unit)
    if alike is False:
        return False
    value = predicted.value * (factor(predicted.unit, gold.unit) if alike else 1)
    return same_number(value, gold.value, predicted.digits)
