"""The configuration's schema, for editors, and its page, for readers: made from the types.

python -m jz3.workflow.schema     (in scripts/; `make docs` writes both)
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from .experiment import Experiment
from .keys import Part, about, bare, inside, members, options

SCHEMA = Path("rules/schemas/config.schema.json")
PAGE = Path("docs/configuration.md")

_OURS = ("unit", "conduct", "names", "split")  # of `keys.key`, beside what JSON Schema has
_LIMITS = (
    (annotated_types.Ge, "ge", "at least"),
    (annotated_types.Gt, "gt", "above"),
    (annotated_types.Le, "le", "at most"),
    (annotated_types.Lt, "lt", "below"),
)
_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean"}


def schema() -> str:
    """The JSON Schema of a complete configuration, as text."""
    made = _tidy(Experiment.model_json_schema())
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of the workflow",
        "description": "A complete configuration; an overlay holds a part of it. Nothing has a"
        " default in the code. Made from scripts/jz3/workflow/experiment.py by `make docs`.",
    }
    return json.dumps(head | {k: v for k, v in made.items() if k not in head}, indent=1) + "\n"


def _tidy(value: Any, named: bool = False) -> Any:
    """Without generated titles and nulls (a key that is not set is left out); ours as x-..."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    if named:  # by names that are the configuration's, not JSON Schema's
        return {name: _tidy(item) for name, item in value.items()}
    value = dict(value)
    choices = value.get("anyOf", [])
    if {"type": "null"} in choices:
        [choice] = [one for one in choices if one != {"type": "null"}]
        value = {**choice, **{k: v for k, v in value.items() if k != "anyOf"}}
    tidy = {}
    for word, item in value.items():
        if word == "title" or (word == "default" and item is None):
            continue
        tidy[f"x-{word}" if word in _OURS else word] = _tidy(
            item, word in ("properties", "$defs", "patternProperties")
        )
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    return tidy


# ---------------------------------------------------------------- the page


def page() -> str:
    """The types as a Markdown page: one line per key, in the order of the types."""
    lines = [
        "# Configuration",
        "",
        "Made from `scripts/jz3/workflow/experiment.py` by `make docs`. `<name>` stands for a name",
        "of your choice. Nothing has a default in the code: `config.yaml` and `config.paper.yaml`",
        "hold every key, an overlay holds what differs.",
        "",
        "What is marked *conduct* says how a run goes; no byte of a product depends on it, and",
        "changing it makes nothing again. Everything else belongs to what products are: changing",
        "it makes again what depends on it.",
        "",
        "| key | type | what it is |",
        "|---|---|---|",
    ]
    lines += [f"| `{place}` | {kind} | {text} |" for place, kind, text in _rows(Experiment, "")]
    return "\n".join(lines) + "\n"


def _rows(annotation: Any, place: str, conduct: bool = False) -> Iterator[tuple[str, str, str]]:
    """Place, type and description of every key of a part, or of all its kinds."""
    kinds = list(members(annotation))
    for tag, kind in kinds:
        for name, field in kind.model_fields.items():
            having = [other for _, other in kinds if name in other.model_fields]
            if kind is not having[0]:
                continue
            of_all = len(having) == len(kinds)
            at = f"{place}.{name}" if place else name
            marked = conduct or bool(about(field).get("conduct"))
            text = field.description or ""
            if not of_all:
                tags = [other for other, part in kinds if part in having]
                first = text[0] if text[1:2].isupper() else text[0].lower()
                text = f"{' or '.join(tags) or tag}: {first}{text[1:]}"
            words = [str(word) for part in having for word in options(part.model_fields[name])]
            described = f"one of {', '.join(dict.fromkeys(words))}" if words else _type(field)
            text = text.replace("|", "\\|") + (" *Conduct.*" if marked else "")
            yield at, described, text
            yield from _within(field.annotation, at, marked)


def _within(annotation: Any, place: str, conduct: bool) -> Iterator[tuple[str, str, str]]:
    """The keys inside a key: of a part, or of the entries of a map or list."""
    if any(True for _ in members(annotation)):
        yield from _rows(annotation, place, conduct)
    elif (inner := inside(annotation)) is not None and any(True for _ in members(inner)):
        step = "[]" if get_origin(_set(annotation)) is tuple else ".<name>"
        yield from _rows(inner, place + step, conduct)


def _set(annotation: Any) -> Any:
    """The type of a key where it is set: without None."""
    found = [bare(one) for one in get_args(bare(annotation)) if one is not type(None)]
    return found[0] if type(None) in get_args(bare(annotation)) else bare(annotation)


def _type(field: FieldInfo) -> str:
    """A key's type, range and unit in words."""
    kind = _set(field.annotation)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) is tuple:
        item = _set(get_args(kind)[0])
        words = "list" + (
            f" of {', '.join(map(str, get_args(item)))}" if get_origin(item) is Literal else ""
        )
    elif get_origin(kind) is dict:
        words = "entries by name"
    elif isinstance(kind, type) and issubclass(kind, Part):
        words = "object"
    else:
        words = _TYPES[kind]
    limits = [
        f"{said} {getattr(limit, word):g}"
        for limit in field.metadata
        for kind_of_limit, word, said in _LIMITS
        if isinstance(limit, kind_of_limit)
    ]
    if any(isinstance(limit, annotated_types.MinLen) for limit in field.metadata):
        limits.append("not empty")
    unit = about(field).get("unit")
    return ", ".join([words, *limits, *([f"in {unit}"] if unit else [])])


def main() -> None:
    """Write both files."""
    SCHEMA.write_text(schema(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
