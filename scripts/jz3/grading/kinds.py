r"""Kinds of answers with a reading of their own: choices, dates, times, none, remainders, vectors.

Each reader takes `plain` text and returns a value that can be compared, or None.
"""

import re

from .quantities import NUMBER_WORDS, quantity, unwrap
from .structures import split_top

# ---------------------------------------------------------------- choices

_LETTERED = re.compile(
    r"(?:(?:the\s+)?(?:correct\s+)?(?:option|choice|answer|letter)(?:\s+is)?\s*:?\s*)?"
    r"(?:\\text\s*\{\s*\(?([A-Ja-j])\)?\s*[.:]?\s*\}|\(([A-Ja-j])\)|([A-J])(?=[).:]|$)|([a-j])(?=[).:]))"
    r"[).:]*\s*(.*)",
    re.S | re.I,
)


def choice(text: str) -> tuple[str, str] | None:
    r"""Letter A to J of a choice, and what stands behind it ("" if nothing): `\text{(D)} 40`."""
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", text).strip()
    found = _LETTERED.fullmatch(text)
    if not found:
        return None
    letter = next(group for group in found.groups()[:4] if group)
    behind = found[5].strip(" .:)")
    return letter.upper(), unwrap(behind)


# ---------------------------------------------------------------- dates and times

_MONTHS = "january february march april may june july august september october november december"
_MONTH = {name[:3]: number for number, name in enumerate(_MONTHS.split(), 1)}
_NAMES = "|".join(
    f"{name[:3]}(?:{name[3:]})?" if name != "may" else "may" for name in _MONTHS.split()
)
_WEEKDAY = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+(?:the\s+)?)?"
_DAY = r"(\d{1,2})(?:\s*(?:st|nd|rd|th))?"
_YEAR = r"(?:,?\s*(?:of\s+)?(\d{4}))?"
_DATE = re.compile(
    rf"{_WEEKDAY}(?:(?P<m1>{_NAMES})\.?\s+(?:the\s+)?{_DAY}{_YEAR}"
    rf"|(?:the\s+)?{_DAY}\s+(?:of\s+)?(?P<m2>{_NAMES})\.?{_YEAR})",
    re.I,
)
_CLOCK = re.compile(
    r"(\d{1,2})(?:\s*[:.h]\s*(\d\d))?(?:\s*[:.]\s*(\d\d))?\s*"
    r"(?:([ap])\.?\s?m\.?|(noon|midnight)|o'?clock|hours|hrs|h)?(?:\s*(?:in\s+the|at)\s+"
    r"(morning|afternoon|evening|night))?",
    re.I,
)


def date(text: str) -> tuple[int, int, int | None] | None:
    """Month, day and year (None if it is not said)."""
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text).strip(" .")
    text = re.sub(r"\^\{?\s*(st|nd|rd|th)\s*\}?", r"\1", text)
    found = _DATE.fullmatch(text)
    if not found:
        return None
    first = found["m1"] is not None
    day, year = (found[2], found[3]) if first else (found[4], found[6])
    name = found["m1"] or found["m2"]
    return _MONTH[name[:3].lower()], int(day), int(year) if year else None


def clock(text: str) -> tuple[int, int, int, bool] | None:
    """Hour, minute, second, and whether the half of the day is said (hours are 0 to 23 then)."""
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text).strip()
    found = _CLOCK.fullmatch(text)
    if text.lower() in ("noon", "midnight"):
        return (12 if text.lower() == "noon" else 0), 0, 0, True
    if not found or not (found[2] or found[4] or found[5] or found[6] or "clock" in text.lower()):
        return None
    hour, minute, second = int(found[1]), int(found[2] or 0), int(found[3] or 0)
    if hour > 24 or minute > 59 or second > 59 or (found[4] and not 1 <= hour <= 12):
        return None
    half = (found[4] or "").lower()
    spoken = (found[6] or "").lower()
    if half or spoken:
        late = half == "p" or spoken in ("afternoon", "evening", "night")
        return hour % 12 + 12 * late, minute, second, True
    if found[5]:
        return (12 if found[5].lower() == "noon" else 0), minute, second, True
    return hour % 24, minute, second, hour > 12 or hour == 0


def same_time(ours: tuple[int, int, int, bool], gold: tuple[int, int, int, bool]) -> bool:
    """Equal times; a half of the day that one side leaves out is the question's to say."""
    if ours[1:3] != gold[1:3]:
        return False
    return ours[0] == gold[0] or (ours[0] % 12 == gold[0] % 12 and not (ours[3] and gold[3]))


# ---------------------------------------------------------------- nothing, everything

_NOTHING = re.compile(
    r"(?:the\s+|there\s+(?:is|are|exists?)\s+|(?:(?:it|the equation|we)\s+)?ha(?:s|ve)\s+)?"
    r"(?:no\s+(?:such\s+)?(?:real\s+|integer\s+|valid\s+|possible\s+|positive\s+|other\s+)?"
    r"(?:solutions?|roots?|values?|answers?|numbers?|integers?|pairs?|x)(?:\s+exists?)?"
    r"|none(?:\s+exists?)?|empty\s+set|null\s+set|\\emptyset|∅|\\phi|impossible|inconsistent"
    r"|not\s+possible|nothing|cannot\s+exist|unsolvable|no\s+one|solution\s+set\s+is\s+empty)",
    re.I,
)
_UNDEFINED = re.compile(
    r"(?:the\s+limit\s+|it\s+|limit\s+)?(?:is\s+)?(?:does\s+not\s+exist|doesn'?t\s+exist|dne|d\.n\.e\.?"
    r"|undefined|not\s+defined|diverges?|divergent|indeterminate)",
    re.I,
)


def nothing(text: str) -> str | None:
    """`none` for "no solution" and its kin, `undefined` for a limit that does not exist."""
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", text)
    text = re.sub(r"\s+", " ", text.replace("'", "'")).strip(" .!$")
    if _NOTHING.fullmatch(text):
        return "none"
    return "undefined" if _UNDEFINED.fullmatch(text) else None


# ---------------------------------------------------------------- remainders

_CONGRUENT = re.compile(
    r"(?:[A-Za-z]\s*(?:\\equiv|≡|=)\s*)?(.+?)\s*[,(]?\s*(?:\\pmod|\\bmod|\\mod|\(?\s*\\?mod(?:ulo)?)"
    r"\s*\{?\s*\(?\s*(\d+)\s*\)?\s*\}?\s*\)?"
)


def remainder(text: str) -> tuple[int, int] | None:
    r"""Remainder (0 to modulus - 1) and modulus of `x \equiv 3 \pmod{7}`."""
    text = re.sub(r"\\text\s*\{\s*\(?mod\s*\}", "mod ", text)
    found = _CONGRUENT.fullmatch(text)
    value = quantity(found[1].strip()) if found else None
    if not found or not value or value.value.denominator != 1 or int(found[2]) == 0:
        return None
    return int(value.value) % int(found[2]), int(found[2])


# ---------------------------------------------------------------- vectors

_BASIS = re.compile(
    r"\\(?:mathbf|hat|vec|text|bm|boldsymbol|widehat)\s*\{?\s*\\?(?:mathbf|text|imath|jmath)?\s*\{?\s*"
    r"([ijk])\s*\}?\s*\}?|\\hat\s*\\([ij])math|([îĵ])|(k̂)"
)


def vector(text: str) -> str | None:
    r"""A vector in unit vectors, `3\mathbf{i} - 2\mathbf{j}`, as the point it leads to."""
    if not _BASIS.search(text):
        return None
    parts = {"i": "0", "j": "0", "k": "0"}
    place, deep = 0, False
    for found in _BASIS.finditer(text):
        before = text[place : found.start()].strip().removesuffix("*").strip()
        name = found[1] or found[2] or {"î": "i", "ĵ": "j"}.get(found[3] or "", "k")
        before = re.sub(r"\\cdot\s*$", "", before).strip()
        if before in ("", "+"):
            before = "1"
        elif before in ("-", "+-"):
            before = "-1"
        if parts[name] != "0" or len(split_top(before.lstrip("+-"), r"[+-]")) > 1:
            return None
        parts[name] = before.removeprefix("+").strip()
        deep = deep or name == "k"
        place = found.end()
    if text[place:].strip():
        return None
    return "(" + ",".join([parts["i"], parts["j"], *([parts["k"]] if deep else [])]) + ")"


# ---------------------------------------------------------------- values with names

_NAMED = re.compile(
    r"((?:\\?[A-Za-z]+|\\text\s*\{[^{}]*\}|m?\s*\\angle\s*[A-Z]+|\|[^|=]+\||[A-Za-z]\([^()=]*\)"
    r"|\\overline\s*\{[A-Z]+\}|[A-Z]{2,4})(?:\s*_\s*(?:\{[^{}]*\}|\w))?'*)\s*(?:=|:|\\to(?![A-Za-z]))\s*(.+)",
    re.S,
)


def named_values(text: str) -> list[tuple[str, str]] | None:
    """Names and values of `x=2, y=-3` and `x = 2 and y = -3`; None where a part has no name."""
    text = re.sub(r"\\text\s*\{\s*,?\s*(and|or)\s*\}", r" \1 ", text)
    parts = [part for part in split_top(text, r",\s*(?:and|or)\s|,|\s(?:and|or)\s|;") if part]
    found = [_NAMED.fullmatch(part) for part in parts]
    if not parts or not all(found):
        return None
    pairs = [(re.sub(r"[\s{}]", "", one[1]), one[2].strip()) for one in found if one]
    return None if any("=" in value for _, value in pairs) else pairs


def ordinal(text: str) -> int | None:
    """The number of an ordinal in words: "seventh"."""
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text).strip().lower()
    words = {
        "first": 1,
        "second": 2,
        "third": 3,
        "fifth": 5,
        "eighth": 8,
        "ninth": 9,
        "twelfth": 12,
    }
    if text in words:
        return words[text]
    stem = text.removesuffix("th")
    stem = stem[:-2] + "y" if stem.endswith("ie") else stem
    return NUMBER_WORDS.get(stem) if text.endswith("th") else None
