"""What the influence scores say, for a reader: what they choose, and the texts at both ends.

`summary` counts; `rules/report/influence_card.j2` makes a page of it, or a part of the report. A
score means little by itself; what "influential" means
on some run shows in how strongly length rises to the top, how far the choice is from chance, and in
the texts at both ends (and, by source and level, in the table `influence`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from .. import io, records
from ..corpus import sampling
from ..influence import selection
from ..tables.text_table import Grid
from ..text import shorten

EXTREMES = 10  # highest and lowest passages
SHOWN = 280  # characters of a text in a table; the summary has all
SHARE = 0.1  # of the passages, where no distillation says how many are picked


def summary(
    name: str,
    scores: Sequence[dict[str, Any]],
    picked: int,
    seed: int,
    texts: Callable[[Sequence[dict[str, Any]]], dict[str, dict[str, str]]],
) -> dict[str, Any]:
    """Counts and extremes of one entry of `influence`.

    scores: rows of `records.SCORES`; picked: how many passages are chosen by them (0: a tenth);
    texts: gives the texts of some of these rows (`texts_of`). Each passage counts with its best
    candidate.
    """
    # a row has a column per subtask beside those of its type
    rows = cast("Sequence[records.Score]", scores)
    best = cast("list[dict[str, Any]]", selection.best_candidates(rows, len(rows)))
    count = min(picked or max(1, round(SHARE * len(best))), len(best))
    top = best[:count]
    drawn = sorted(best, key=lambda row: io.rng(seed, "overlap", row["passage_id"]).random())
    subtasks = [key.removeprefix("score_") for key in best[0] if key.startswith("score_")]
    high = min(EXTREMES, (len(best) + 1) // 2)
    ends = {"highest": best[:high], "lowest": best[high:][-EXTREMES:]}
    shown = texts([row for rows in ends.values() for row in rows])
    return {
        "name": name,
        "passages": len(best),
        "picked": count,
        "subtasks": subtasks,
        "overlap": {
            "random": overlap(top, drawn[:count]),
            "expected": count * count / len(best),
            **{
                f"best for {task} alone": overlap(
                    top, sorted(best, key=lambda row: -row[f"score_{task}"])[:count]
                )
                for task in subtasks
            },
        },
        "correlation_with_length": rank_correlation(
            [row["total"] for row in best], [row["tokens"] for row in best]
        ),
        "ends": {
            end: [
                {key: row[key] for key in ("total", "source", "level", "tokens", "passage_id")}
                | shown.get(row["problem_id"], {"question": "", "solution": "", "passage": ""})
                for row in rows
            ]
            for end, rows in ends.items()
        },
    }


def texts_of(
    candidates: str | Path, passages: str | Path, rows: Sequence[dict[str, Any]]
) -> dict[str, dict[str, str]]:
    """question, solution and passage of scored problems, by problem_id, from their two tables."""
    sources = sampling.passages_of(passages, {row["passage_id"] for row in rows})
    wanted = {row["problem_id"] for row in rows}
    columns = ["problem_id", "passage_id", "question", "solution"]
    return {
        row["problem_id"]: {
            "question": row["question"],
            "solution": row["solution"],
            "passage": sources[row["passage_id"]]["text"] if row["passage_id"] in sources else "",
        }
        for piece in io.scan_table(candidates, records.PROBLEMS, columns)
        for row in piece.to_pylist()
        if row["problem_id"] in wanted
    }


def overlap(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> int:
    """Passages that are in both."""
    return len({row["passage_id"] for row in first} & {row["passage_id"] for row in second})


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's; None where one side is constant."""
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)


# ---------------------------------------------------------------- for readers


def tables(card: dict[str, Any]) -> dict[str, Any]:
    """The tables of a summary: "overlap", and under "ends" one per end that has passages."""
    counts = card["overlap"]
    others = [key for key in counts if key not in ("random", "expected")]
    overlaps = [["random", f"{counts['random']:,} ({counts['expected']:,.1f} expected)"]]
    overlaps += [[name, f"{counts[name]:,}"] for name in others]
    header = ["score", "source", "level", "passage", "problem written from it"]
    return {
        "overlap": Grid("overlap", ["choice", "in common"], overlaps),
        "ends": {
            end: Grid(end, header, [_line(row) for row in rows], len(header))
            for end, rows in card["ends"].items()
            if rows
        },
    }


def _line(row: dict[str, Any]) -> list[str]:
    texts = (shorten(" ".join(row[key].split()), SHOWN) for key in ("passage", "question"))
    return [f"{row['total']:+.3f}", row["source"], row["level"], *texts]
