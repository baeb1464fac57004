"""Influence scores by source and by level: how many, how high, and who is among the best."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

import numpy as np

from ..io import rng
from . import text_table
from .intervals import bootstrap_means, wilson
from .text_table import Grid

# Scores have no unit: `mean` with its bootstrap interval, median and tenths are in the scores' own
# measure. best: problems of the group among the best tenth of its influence run; share, low, high:
# that as a part of the group, with its Wilson interval.
COLUMNS = (
    "influence", "by", "group", "problems", "mean", "mean_low", "mean_high", "median",
    "tenth", "ninetieth", "best", "share", "low", "high",
)  # fmt: skip
BEST = 0.1


def summarise(
    name: str, scores: Sequence[dict], confidence: float, seed: int
) -> list[dict[str, Any]]:
    """Rows of one influence run, by source and by level, groups from the highest mean down.

    scores: rows of `records.SCORES`.
    """
    ranked = sorted(scores, key=lambda row: (-row["total"], row["problem_id"]))
    best = {row["problem_id"] for row in ranked[: max(1, round(BEST * len(ranked)))]}
    rows = []
    for key in ("source", "level"):
        made = []
        for group in sorted({row[key] for row in scores}):
            part = [row for row in ranked if row[key] == group]
            values = [row["total"] for row in part]
            means = bootstrap_means(values, rng(seed, "influence", name, key, group))
            low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
            tenths = quantiles(values, n=10, method="inclusive") if len(values) > 1 else values * 9
            among = sum(row["problem_id"] in best for row in part)
            limits = wilson(among, len(part), confidence)
            made.append({
                "influence": name, "by": key, "group": group, "problems": len(part),
                "mean": fmean(values), "mean_low": float(low), "mean_high": float(high),
                "median": median(values), "tenth": tenths[0], "ninetieth": tenths[8],
                "best": among, "share": among / len(part), "low": limits[0], "high": limits[1],
            })  # fmt: skip
        rows += sorted(made, key=lambda row: (-row["mean"], row["group"]))
    return rows


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as CSV text, seven digits each."""
    shown = [
        {key: f"{v:.7g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows
    ]
    return text_table.to_csv(shown, COLUMNS)


def read_csv(path: str | Path) -> list[dict[str, str]]:
    """Rows that `to_csv` wrote. Raises UserError if the file is none."""
    return text_table.read_csv(path, COLUMNS)


def _score(text: str | float) -> str:
    return f"{float(text):+#.3g}".replace("-", "\N{MINUS SIGN}")


def layout(rows: Sequence[dict[str, Any]], confidence: float) -> Grid:
    """The table for readers."""
    header = ["influence", "by", "group", "problems", "mean", "median", "10 %", "90 %"]
    header.append("in the best tenth, %")
    lines = []
    for row in rows:
        share, low, high = (f"{100 * float(row[key]):.1f}" for key in ("share", "low", "high"))
        count = int(row["problems"])  # of one problem there is nothing to resample
        lines.append([
            str(row["influence"]), row["by"], row["group"], f"{count:,}",
            _score(row["mean"])
            + (f"\n[{_score(row['mean_low'])}, {_score(row['mean_high'])}]" * (count > 1)),
            *(_score(row[key]) for key in ("median", "tenth", "ninetieth")),
            f"{share}\n[{low}, {high}]",
        ])  # fmt: skip
    notes = [
        f"In brackets: {100 * confidence:g} % intervals: bootstrap of means, Wilson of shares.",
        "in the best tenth: part of the group that is among the highest tenth of all scores of its"
        " run; 10 % is what chance gives.",
        "Paper: unknown. Of the paper's choice by influence no value could be verified.",
    ]
    caption = (
        "Influence of the candidate problems on the target problems, by source and level. Scores"
        " have no unit; only their order counts."
    )
    return Grid("Table influence", header, lines, 3, caption, notes)


def turns(rows: Sequence[dict[str, Any]]) -> tuple[int, ...]:
    """Row numbers at which another run, or another way to group, begins."""
    keys = [(row["influence"], row["by"]) for row in rows]
    return tuple(place for place in range(1, len(keys)) if keys[place] != keys[place - 1])
