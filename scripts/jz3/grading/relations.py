r"""Inequalities and sets of reals, compared by which numbers they hold.

`x > 3`, `2x > 6`, `(3, \infty)`, `\{x \mid x > 3\}` and `|x| < 1` are tried at every number that
either side names, just beside it, and between and beyond them. Sides that differ anywhere are not
the same; sides that agree everywhere are, since what they say changes at no other place.
"""

import re
from itertools import pairwise

from .numeric import value_at
from .structures import enclosed, split_top

_RELATION = re.compile(r"(\\le(?![A-Za-z])|\\ge(?![A-Za-z])|\\ne(?![A-Za-z])|<|>)")
_TESTS = {
    "<": lambda a, b: a < b, ">": lambda a, b: a > b, r"\le": lambda a, b: a <= b,
    r"\ge": lambda a, b: a >= b, r"\ne": lambda a, b: a != b,
}  # fmt: skip
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_OR = re.compile(r"\s+or\s+|\\text\s*\{\s*,?\s*or\s*\}|\\lor(?![A-Za-z])|\\vee(?![A-Za-z])|;")
_AND = re.compile(r"\s+and\s+|\\text\s*\{\s*,?\s*and\s*\}|\\land(?![A-Za-z])|\\wedge(?![A-Za-z])")
_BUILDER = re.compile(
    r"\\\{\s*([A-Za-z])\s*(?:\\in\s*\\mathbb\s*\{?R\}?\s*)?(?::|\||\\mid(?![A-Za-z]))(.*)\\\}"
)
_MEMBER = re.compile(r"([A-Za-z])\s*\\in(?![A-Za-z])\s*(.+)")
_BESIDE = 1e-6


class _Unread(ValueError):
    pass


def _variables(text: str) -> set[str]:
    bare = re.sub(r"\\[A-Za-z]+(?:\{R\})?", " ", re.sub(r"\\text\s*\{[^{}]*\}", " ", text))
    return set(re.findall(r"[A-Za-z]", bare)) - {"e", "R"}


def _absolute(text: str) -> str:
    r"""`|x|` as `\abs{x}`, which has a value."""
    return re.sub(r"\\?\|([^|]+)\\?\|", r"\\abs{\1}", text)


def _holds(text: str, name: str, x: float) -> bool:
    """Whether the number belongs to what the text says of `name`."""
    text = text.strip()
    built = _BUILDER.fullmatch(text)
    if built:
        return _holds(built[2], built[1], x)
    if member := _MEMBER.fullmatch(text):
        return _holds(member[2], member[1], x)
    for pattern, decide in ((_OR, any), (_AND, all)):
        pieces = [piece for piece in pattern.split(text) if piece.strip()]
        if len(pieces) > 1:
            return decide(_holds(piece, name, x) for piece in pieces)
    union = split_top(text, r"\\cup(?![A-Za-z])|\bU\b")
    if len(union) > 1:
        return any(_holds(piece, name, x) for piece in union)
    parts = _RELATION.split(_absolute(text))
    if len(parts) == 1:
        return _inside(text, x)
    values = [_at(part, name, x) for part in parts[::2]]
    return all(
        _TESTS[sign](values[place], values[place + 1]) for place, sign in enumerate(parts[1::2])
    )


def _at(text: str, name: str, x: float) -> float:
    text = text.strip()
    if re.fullmatch(r"-?\s*\\infty", text):
        return float("-inf") if text.startswith("-") else float("inf")
    found = value_at(text, {name: x})
    if found is None or abs(found.imag) > 1e-9:
        raise _Unread(text)
    return found.real


def _inside(text: str, x: float) -> bool:
    """Whether the number lies in an interval, or is an element of a set."""
    whole = enclosed(text)
    if not whole:
        raise _Unread(text)
    left, right, inside = whole
    parts = split_top(inside, ",")
    if left == r"\{":
        return any(abs(_at(part, "", x) - x) < _BESIDE / 10 for part in parts if part)
    if len(parts) != 2:
        raise _Unread(text)
    low, high = (_at(part, "", x) for part in parts)
    above = x >= low if left == "[" else x > low
    return above and (x <= high if right == "]" else x < high)


def _places(*texts: str) -> list[float]:
    """Numbers that the texts name, as sums and parts of them, their neighbours, and far ones."""
    named = {0.0}
    for text in texts:
        pieces = re.split(
            r"[(),;\[\]|<>=]|\\\{|\\\}|\\(?:le|ge|ne|cup|mid|in|text|infty)(?![A-Za-z])", text
        )
        for piece in (*pieces, *_NUMBER.findall(text)):
            found = value_at(piece.strip(" {}"), {}) if piece.strip() else None
            if found is not None and abs(found.imag) < 1e-12 and abs(found.real) < 1e6:
                named.add(found.real)
    some = sorted(named)[:12]
    changed = set(some)
    for a in some:
        changed |= {-a, a * a, abs(a) ** 0.5, -(abs(a) ** 0.5)}
        for b in some:
            changed |= {a + b, a - b, -a - b, a / b if b else a, -a / b if b else a}
    ends = sorted(changed)
    beside = {end + step for end in ends for step in (-_BESIDE, 0.0, _BESIDE)}
    between = {(a + b) / 2 for a, b in pairwise(ends)}
    return sorted(beside | between | {ends[0] - 1, ends[-1] + 1, ends[0] - 1e4, ends[-1] + 1e4})


def says_which_numbers(text: str) -> bool:
    """Whether it is an inequality, or a set or union given by one, in one variable at most."""
    return bool(_RELATION.search(text) or "\\cup" in text or _MEMBER.fullmatch(text.strip()))


def same_numbers(predicted: str, gold: str) -> bool | None:
    """Whether two such texts hold the same numbers; None where one of them cannot be read.

    Intervals without a variable hold those of any; otherwise the variables must be the same.
    """
    ours, theirs = _variables(predicted), _variables(gold)
    if len(ours) > 1 or len(theirs) > 1:
        return None
    if ours and theirs and ours != theirs:
        return False
    name = next(iter(ours | theirs), "x")
    try:
        return all(
            _holds(predicted, name, x) == _holds(gold, name, x) for x in _places(predicted, gold)
        )
    except (_Unread, RecursionError, OverflowError):
        return None
