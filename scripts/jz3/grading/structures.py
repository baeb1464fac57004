r"""Answers with parts: sets, lists of solutions, unions, points, intervals, matrices, ratios.

All functions take `plain` text (see `quantities.plain`).
"""

import re
from typing import NamedTuple

from .quantities import quantity

_MATRIX = re.compile(r"\\begin\{([pbBvV]?matrix|array)\}(?:\{[clr|]*\})?(.*?)\\end\{\1\}", re.S)
_ROW = r"\[[^\[\]]*\]"
_PRINTED = re.compile(rf"(?:Matrix\s*\(\s*)?\[\s*({_ROW}(?:\s*,\s*{_ROW})*)\s*\]\s*\)?")
_CLOSING = {"(": ")", "[": "]"}
_RELATION = re.compile(r"(<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z]))")
_SIDES = {"<": ("(", ")"), r"\le": ("[", "]"), ">": (")", "("), r"\ge": ("]", "[")}
_TURNED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
_UNKNOWN = re.compile(r"[A-Za-z]|\\(?:theta|alpha|beta)")


class Structure(NamedTuple):
    """What kind of whole it is, and its parts as text.

    Kinds: set (a list of solutions too), union, ratio, matrix and determinant with their sizes,
    `()` (a point), and for pairs that may be intervals their two brackets.
    """

    kind: str
    parts: list[str]


def split_top(text: str, separator: str) -> list[str]:
    """Split at a separator (a regular expression) outside all brackets."""
    parts, depth, start = [], 0, 0
    for mark in re.finditer(rf"[(\[{{]|[)\]}}]|{separator}", text):
        sign = mark[0]
        if sign in ("(", "[", "{"):
            depth += 1
        elif sign in (")", "]", "}"):
            depth -= 1
        elif depth <= 0:
            parts.append(text[start : mark.start()])
            start = mark.end()
    return [part.strip() for part in [*parts, text[start:]]]


def enclosed(text: str) -> tuple[str, str, str] | None:
    r"""Opening and closing bracket of a text that one pair encloses, and what is inside.

    The pair may be of two kinds, as in a half-open interval; a set's is `\{`.
    """
    if text.startswith(r"\{") and text.endswith(r"\}"):
        inside = text[2:-2]
        return (r"\{", r"\}", inside) if r"\}" not in inside.split(r"\{")[0] else None
    if len(text) < 2 or text[0] not in "([" or text[-1] not in ")]":
        return None
    depth = 0
    for index, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0 and index < len(text) - 1:
            return None
    return text[0], text[-1], text[1:-1]


def interval(text: str) -> tuple[str, str] | None:
    r"""Variable and interval of an inequality in one variable (`-1 < x \le 2`); else None.

    Inequalities joined by "or" are a union.
    """
    if not _RELATION.search(text):
        return None
    pieces = re.split(r"\s+or\s+|\s*\\text\s*\{\s*or\s*\}\s*", text)
    if len(pieces) > 1:
        intervals = [one for piece in pieces if (one := interval(piece))]
        if len(intervals) < len(pieces) or len({name for name, _ in intervals}) > 1:
            return None
        return intervals[0][0], r"\cup ".join(one for _, one in intervals)
    parts = [part.strip() for part in _RELATION.split(text)]
    if len(parts) == 3:
        return _half_line(*parts)
    return _segment(*parts) if len(parts) == 5 else None


def _half_line(left: str, relation: str, right: str) -> tuple[str, str] | None:
    if _UNKNOWN.fullmatch(right) and not _UNKNOWN.fullmatch(left):
        left, relation, right = right, _TURNED[relation], left
    if not _UNKNOWN.fullmatch(left):
        return None
    bound = _SIDES[relation][1]
    if relation in ("<", r"\le"):
        return left, rf"(-\infty,{right}{bound}"
    return left, rf"{bound}{right},\infty)"


def _segment(low: str, first: str, name: str, second: str, high: str) -> tuple[str, str] | None:
    if not _UNKNOWN.fullmatch(name):
        return None
    if first in (">", r"\ge"):
        low, first, second, high = high, _TURNED[second], _TURNED[first], low
    if first in ("<", r"\le") and second in ("<", r"\le"):
        return name, f"{_SIDES[first][0]}{low},{high}{_SIDES[second][1]}"
    return None


# ---------------------------------------------------------------- one reader per way of writing


def matrix(text: str) -> Structure | None:
    """A matrix or determinant of LaTeX, its cells row by row."""
    written = _MATRIX.fullmatch(text)
    if not written:
        return None
    rows = [re.split(r"(?<!\\)&", row) for row in re.split(r"\\\\", written[2]) if row.strip()]
    name = "determinant" if written[1] in ("vmatrix", "Vmatrix") else "matrix"
    cells = [cell.strip() for row in rows for cell in row]
    return Structure(f"{name} {len(rows)}x{len(rows[0]) if rows else 0}", cells)


def printed_matrix(text: str) -> Structure | None:
    """A matrix as a program prints it, `[[1, 2], [3, 4]]` or `Matrix([...])`."""
    written = _PRINTED.fullmatch(text)
    if not written:
        return None
    rows = [split_top(row[1:-1], ",") for row in re.findall(_ROW, written[1])]
    if len({len(row) for row in rows}) > 1:
        return None
    return Structure(f"matrix {len(rows)}x{len(rows[0])}", [cell for row in rows for cell in row])


def union(text: str) -> Structure | None:
    r"""Sets joined by `\cup`."""
    parts = split_top(text, r"\\cup(?![A-Za-z])")
    return Structure("union", parts) if len(parts) > 1 else None


def ratio(text: str) -> Structure | None:
    """Three numbers or more with colons between them, scaled to a first one of 1."""
    parts = split_top(text, ":")
    if len(parts) < 3:
        return None
    values = [number.value for part in parts if (number := quantity(part))]
    if len(values) < len(parts):
        return None
    return Structure("ratio", [str(value / (values[0] or 1)) for value in values])


def bracketed(text: str) -> Structure | None:
    """A set in braces, or what may be an interval or a point."""
    if not (whole := enclosed(text)):
        return None
    left, right, inside = whole
    parts = [part for part in split_top(inside, ",") if part]
    if left == r"\{":
        return Structure("set", list(dict.fromkeys(parts)))
    if len(parts) == 2:
        return Structure(left + right, parts)
    if len(parts) > 2 and right == _CLOSING[left]:
        return Structure("()", parts)
    return None


def solutions(text: str) -> Structure | None:
    r"""Values with commas, semicolons, "and", "or" between them; `\pm` stands for two."""
    text = re.sub(r"\\text\s*\{\s*,?\s*(and|or)\s*\}", r" \1 ", text)
    parts: list[str] = []
    for part in split_top(text, r",\s*(?:and|or)\s|,|\s(?:and|or)\s|;"):
        signed = re.split(r"\s*\\pm(?![A-Za-z])\s*", part)
        if len(signed) == 2:
            parts += [f"{signed[0]}+{signed[1]}".lstrip("+"), f"{signed[0]}-{signed[1]}"]
        elif part:
            parts.append(part)
    return Structure("set", parts) if len(parts) > 1 else None


READERS = (matrix, printed_matrix, union, ratio, bracketed, solutions)


def structure(text: str) -> Structure | None:
    """What the first of `READERS` that can read the text makes of it; None: no parts."""
    return next((whole for reader in READERS if (whole := reader(text))), None)
