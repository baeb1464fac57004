"""Influence scores by source and by level: how many, how high, and who is among the best."""

from pathlib import Path
from random import Random
from statistics import fmean

import numpy as np
import pandas as pd

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


def summarise(name: str, scores: pd.DataFrame, confidence: float, seed: int) -> pd.DataFrame:
    """`COLUMNS` of one influence run, by source and by level, groups from the highest mean down.

    scores: columns of `records.SCORES`.
    """
    ranked = scores.sort_values(["total", "problem_id"], ascending=[False, True])
    ranked = ranked.assign(best=np.arange(len(ranked)) < max(1, round(BEST * len(ranked))))
    parts = []
    for key in ("source", "level"):
        groups = [
            {"influence": name, "by": key, "group": str(group)}
            | _group(part, confidence, rng(seed, "influence", name, key, str(group)))
            for group, part in ranked.groupby(key)
        ]
        parts.append(pd.DataFrame(groups).sort_values(["mean", "group"], ascending=[False, True]))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _group(part: pd.DataFrame, confidence: float, random: Random) -> dict[str, float]:
    """Numbers of one group."""
    totals, n, best = part["total"], len(part), int(part["best"].sum())
    means = bootstrap_means(totals.tolist(), random)
    mean_low, mean_high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = wilson(best, n, confidence)
    return {
        "problems": n, "mean": fmean(totals), "mean_low": mean_low, "mean_high": mean_high,
        "median": totals.median(), "tenth": totals.quantile(0.1),
        "ninetieth": totals.quantile(0.9), "best": best, "share": best / n, "low": low,
        "high": high,
    }  # fmt: skip


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV text, seven digits each."""
    numbers = table.select_dtypes("float")
    return text_table.to_csv(table.assign(**numbers.map("{:.7g}".format)))


def read_csv(path: str | Path) -> pd.DataFrame:
    """A table that `to_csv` wrote. Raises UserError if the file is none."""
    return text_table.read_csv(path, COLUMNS, words=("influence", "by", "group"))


def _score(value: float) -> str:
    return f"{value:+#.3g}".replace("-", "\N{MINUS SIGN}")


def layout(table: pd.DataFrame, confidence: float) -> Grid:
    """The table for readers."""
    header = ["influence", "by", "group", "problems", "mean", "median", "10 %", "90 %"]
    header.append("in the best tenth, %")
    lines = []
    for row in table.to_dict("records"):
        several = row["problems"] > 1  # of one problem there is nothing to resample
        interval = f"\n[{_score(row['mean_low'])}, {_score(row['mean_high'])}]" if several else ""
        share, low, high = (f"{100 * row[key]:.1f}" for key in ("share", "low", "high"))
        lines.append([
            row["influence"], row["by"], row["group"], f"{row['problems']:,}",
            _score(row["mean"]) + interval,
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


def turns(table: pd.DataFrame) -> tuple[int, ...]:
    """Row numbers at which another run, or another way to group, begins."""
    keys = table[["influence", "by"]]
    new = keys.ne(keys.shift()).any(axis=1)
    return tuple(int(place) for place in np.flatnonzero(new)[1:])
