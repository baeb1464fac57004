"""Mistakes in one line each: where, what is wrong, what was probably meant.

pydantic finds what does not fit the types; here its errors become sentences for people.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ..io import UserError, did_you_mean
from .keys import Part, inside, members, options

_EXPECTED = {
    "int_type": "integer",
    "float_type": "number",
    "string_type": "string",
    "bool_type": "boolean",
    "tuple_type": "array",
    "list_type": "array",
    "dict_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
}
_HINTS = {
    ("integer", str): " Write it without quotes, and 1e-4 as 1.0e-4.",
    ("number", str): " Write it without quotes, and 1e-4 as 1.0e-4.",
    ("boolean", str): " Write true or false, without quotes.",
    ("string", int): " Put it in quotes.",
    ("string", float): " Put it in quotes.",
    ("array", str): " Write it as a list, in [brackets].",
}


def mistakes_of_shape(part: type[Part], value: Any) -> list[str]:
    """Every way in which `value` is no such part, one readable line each."""
    try:
        part.model_validate(value)
    except ValidationError as error:
        lines = (_line(part, one) for one in error.errors(include_url=False) if not _follows(one))
        return list(dict.fromkeys(lines))
    return []


def _follows(error: Any) -> bool:
    """Whether it only follows from another one: a list counts as short where an item is wrong."""
    return error["type"] == "too_short" and len(error["input"]) > 0


def accepts(part: type[Part]) -> Callable[[Any], None]:
    """A check of a program's recipe: raises UserError with all mistakes in one line."""

    def check(recipe: Any) -> None:
        if lines := mistakes_of_shape(part, recipe):
            raise UserError(f"--recipe: {' '.join(lines)}")

    return check


@dataclass
class _Spot:
    """Where an error is: its dotted place, and the types around it."""

    place: str  # of the key
    above: str  # of what holds the key
    key: str
    owner: type[Part] | None  # what holds the key
    kinds: tuple[type[Part], ...]  # what the owner may be instead
    field: FieldInfo | None
    type: Any  # of the value there


def _spot(part: type[Part], way: tuple[int | str, ...]) -> _Spot:
    """Follow an error's way from the outermost type; tags of unions are no part of the place."""
    current: Any = part
    steps: list[str] = []
    owner, field = None, None
    kinds: tuple[type[Part], ...] = ()
    for step in way:
        found = dict(members(current))
        if len(found) > 1 and step in found:
            current, kinds = found[str(step)], tuple(found.values())
            continue
        kind = next(iter(found.values()), None)
        if kind is not None:
            owner, field = kind, kind.model_fields.get(str(step))
            current = field.annotation if field else None
            kinds = kinds if kind in kinds else ()
        else:
            current = inside(current)
            owner, field = None, None
        steps.append(str(step))
    return _Spot(
        ".".join(steps),
        ".".join(steps[:-1]),
        steps[-1] if steps else "",
        owner,
        kinds,
        field,
        current,
    )


def _line(part: type[Part], error: Any) -> str:
    kind, value, told = error["type"], error["input"], error.get("ctx", {})
    way = error["loc"]
    if way and way[-1] == "[key]":  # a name that the user chose
        spot = _spot(part, way[:-1])
        at = f"{spot.above}: " if spot.above else ""
        if kind == "literal_error":
            return at + _no_choice(value, _quoted(told["expected"]))
        return f'{at}"{value}" is not a name (lower case, digits, underscores).'
    spot = _spot(part, way)
    at = f"{spot.place}: " if spot.place else ""
    if kind in ("missing", "extra_forbidden"):
        return _of_key(kind, spot)
    if kind == "union_tag_invalid":
        [word] = _quoted(told["discriminator"])
        return f"{spot.place}.{word}: " + _no_choice(told["tag"], _quoted(told["expected_tags"]))
    if kind == "union_tag_not_found":
        if not isinstance(value, dict):
            return at + _wrong_type("object", value)
        [word] = _quoted(told["discriminator"])
        tag = next(tag for tag, kind in members(spot.type) if word in kind.model_fields)
        return _of_key("missing", _spot(part, (*way, tag, word)))
    if kind == "literal_error":
        return at + _no_choice(value, _quoted(told["expected"]))
    if kind in _EXPECTED:
        return at + _wrong_type(_EXPECTED[kind], value)
    return at + _out_of_range(kind, value, told, error["msg"])


def _of_key(kind: str, spot: _Spot) -> str:
    """A key that is missing, or that nobody knows here."""
    owner = spot.owner or Part
    if kind == "missing":
        chooses = spot.field is not None and len(options(spot.field)) == 1  # the kind itself
        text = Part.MISSING if chooses else owner.MISSING
        description = (spot.field and spot.field.description) or ""
    elif owner.UNUSED and any(spot.key in other.model_fields for other in spot.kinds):
        text, description = owner.UNUSED, ""
    else:
        return f"{spot.place}: unknown key.{did_you_mean(spot.key, owner.model_fields)}"
    tag = next((tag for tag, _ in members(owner)), "")
    line = text.format(place=spot.above, key=spot.key, description=description, kind=tag)
    return line.removeprefix(".").rstrip()


def _no_choice(value: Any, choices: list[str]) -> str:
    hint = did_you_mean(str(value), choices)
    return f'"{value}" is not one of {", ".join(choices)}.{hint}'


def _quoted(text: str) -> list[str]:
    return re.findall("'([^']*)'", text)


def _wrong_type(expected: str, value: Any) -> str:
    hint = _HINTS.get((expected, type(value)), "")
    if expected in ("integer", "number") and not _numeric(value):
        hint = ""
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    return f"expected {expected}, found {_type_name(value)} ({shown}).{hint}"


def _type_name(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "nothing" if value is None else names.get(type(value), "object")


def _numeric(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, str)


def _out_of_range(kind: str, value: Any, told: dict[str, Any], message: str) -> str:
    if kind == "greater_than_equal":
        return f"{value} is less than the minimum of {told['ge']:g}."
    if kind == "less_than_equal":
        return f"{value} is greater than the maximum of {told['le']:g}."
    if kind == "greater_than":
        return f"{value} is too small; it must be above {told['gt']:g}."
    if kind == "less_than":
        return f"{value} is too large; it must be below {told['lt']:g}."
    if kind in ("too_short", "string_too_short"):
        return "empty; give at least one." if kind == "too_short" else "empty; give a text."
    if kind == "string_pattern_mismatch":
        return f'"{value}" does not have the form {told["pattern"]}.'
    if kind == "finite_number":
        return f"{value} is no finite number."
    return message
