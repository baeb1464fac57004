"""A paper's published numbers: `resources/paper/*.csv`, accuracies in percent as printed."""

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path

from ..io import UserError, did_you_mean

AVERAGE = "average"
_FIXED = ("model", AVERAGE, "source", "note")


@dataclass(frozen=True)
class Published:
    """A paper's table: per model, per benchmark (and "average") the printed value in percent.

    A benchmark of `benchmarks` without a value was not published for that model; of any other
    benchmark the published value is unknown here.
    """

    benchmarks: tuple[str, ...]
    values: dict[str, dict[str, float]]
    sources: dict[str, str]
    notes: dict[str, str]


def read_published(path: str | Path) -> Published:
    """Read `resources/paper/*.csv`. Raises UserError with the row and column that is wrong."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            header, rows = list(reader.fieldnames or []), list(reader)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Mend `tables.<name>.paper`.") from None
    for name in _FIXED:
        if name not in header:
            raise UserError(f'{path}: column "{name}" is missing.{did_you_mean(name, header)}')
    benchmarks = tuple(name for name in header if name not in _FIXED)
    for name in benchmarks:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise UserError(
                f'{path}: unknown column "{name}"; a column is named like a benchmark of the'
                " configuration (small letters, digits, _)."
            )
    values: dict[str, dict[str, float]] = {}
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise UserError(f"{path}, line {number}: not {len(header)} columns as in the header.")
        if not row["model"] or row["model"] in values:
            raise UserError(f'{path}, line {number}: model "{row["model"]}" is empty or repeated.')
        values[row["model"]] = {
            name: _percent(row[name], f'{path}, line {number}, column "{name}"')
            for name in (*benchmarks, AVERAGE)
            if row[name]
        }
    return Published(
        benchmarks,
        values,
        {row["model"]: row["source"] for row in rows},
        {row["model"]: row["note"] for row in rows},
    )


def _percent(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise UserError(f'{place}: "{text}" is not a percentage; leave unpublished cells empty.')
    return value
