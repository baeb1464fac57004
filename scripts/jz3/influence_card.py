"""What the influence scores say, for a reader: how they spread, what they choose, at both ends.

`summary` counts, `card` writes Markdown. A score means little by itself; what "influential" means
on some run shows in which sources and levels rise to the top, how strongly length does, how far the
choice is from chance, and in the texts at both ends.
"""

from collections.abc import Sequence
from statistics import median, quantiles
from typing import Any

from . import io, selection
from .table_text import escape_markdown

EXTREMES = 10  # highest and lowest passages
SHOWN = 280  # characters of a text in a table; the summary has all
SHARE = 0.1  # of the passages, where no distillation says how many are picked


def summary(
    name: str, scores: Sequence[dict], picked: int, seed: int, texts: "Texts"
) -> dict[str, Any]:
    """Counts and extremes of one entry of `influence`, as `card` shows them.

    scores: rows of `records.SCORES`; picked: how many passages are chosen by them (0: a tenth);
    texts: where the texts of a candidate are looked up. Each passage counts with its best
    candidate.
    """
    best = selection.best_candidates(scores, len(scores))
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
        "groups": {
            "all": {"all": spread(best, top, best)},
            **{
                key: {
                    group: spread([row for row in best if row[key] == group], top, best, key)
                    for group in sorted({row[key] for row in best})
                }
                for key in ("source", "level")
            },
        },
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


class Texts:
    """Looks up the texts of candidates: PROBLEMS and PASSAGES tables, read in part."""

    def __init__(self, candidates: str, passages: str):
        self.candidates, self.passages = candidates, passages

    def __call__(self, rows: Sequence[dict]) -> dict[str, dict[str, str]]:
        """question, solution and passage by problem_id."""
        import pyarrow.parquet as pq

        problems = pq.read_table(
            self.candidates,
            columns=["problem_id", "passage_id", "question", "solution"],
            filters=[("problem_id", "in", [row["problem_id"] for row in rows])],
        ).to_pylist()
        passages = pq.read_table(
            self.passages,
            columns=["passage_id", "text"],
            filters=[("passage_id", "in", [row["passage_id"] for row in rows])],
        ).to_pylist()
        by_passage = {row["passage_id"]: row["text"] for row in passages}
        return {
            row["problem_id"]: {
                "question": row["question"],
                "solution": row["solution"],
                "passage": by_passage.get(row["passage_id"], ""),
            }
            for row in problems
        }


def spread(
    rows: Sequence[dict], top: Sequence[dict], whole: Sequence[dict], key: str = ""
) -> dict[str, float]:
    """Count and quantiles of a group's totals, and its share of all passages and of the top."""
    values = [row["total"] for row in rows]
    tenths = quantiles(values, n=10, method="inclusive") if len(values) > 1 else values * 9
    inside = {row["passage_id"] for row in rows}
    return {
        "passages": len(rows),
        "lowest": min(values),
        "tenth": tenths[0],
        "median": median(values),
        "ninetieth": tenths[8],
        "highest": max(values),
        "share": len(rows) / len(whole),
        "share_of_picked": sum(row["passage_id"] in inside for row in top) / len(top),
    }


def overlap(first: Sequence[dict], second: Sequence[dict]) -> int:
    """Passages that are in both."""
    return len({row["passage_id"] for row in first} & {row["passage_id"] for row in second})


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's; None where one side is constant."""
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)


# ---------------------------------------------------------------- Markdown


def card(found: dict[str, Any]) -> str:
    """The summary as a Markdown page."""
    blocks = [f"# Influence {escape_markdown(found['name'])}", overview(found).rstrip()]
    for end, rows in found["ends"].items():
        if rows:
            blocks += [f"## {len(rows)} {end} passages", _texts(rows)]
    return "\n\n".join(blocks) + "\n"


def overview(found: dict[str, Any]) -> str:
    """The counts of a summary in Markdown, without its texts."""
    picked, passages = found["picked"], found["passages"]
    correlation = found["correlation_with_length"]
    length = "not defined" if correlation is None else _signed(correlation)
    blocks = [
        f"{passages:,} passages, each by the best problem that was written from it, scored for"
        f" {escape_markdown(', '.join(found['subtasks']))}. A score is a mean cosine, between -1"
        " and 1; only its order counts.",
        "## How the scores spread",
        f"The picked are the best {picked:,}.",
        *(_spreads(key, groups) for key, groups in found["groups"].items()),
        f"Rank correlation of the scores with the problems' length in tokens: {length}.",
        f"## What the best {picked:,} have in common with other choices of as many",
        _table(["choice", "in common"], _overlaps(found["overlap"]), 1),
    ]
    return "\n\n".join(blocks) + "\n"


def _table(header: list[str], rows: Sequence[Sequence[str]], left: int) -> str:
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _spreads(key: str, groups: dict[str, dict]) -> str:
    numbers = ("lowest", "tenth", "median", "ninetieth", "highest")
    rows = [
        [
            escape_markdown(name),
            f"{group['passages']:,}",
            *(_signed(group[number]) for number in numbers),
            f"{100 * group['share']:.0f} %",
            f"{100 * group['share_of_picked']:.0f} %",
        ]
        for name, group in sorted(groups.items(), key=lambda item: -item[1]["median"])
    ]
    header = ["passages", "lowest", "10 % below", "median", "90 % below", "highest"]
    return _table(["" if key == "all" else key, *header, "of all", "of the picked"], rows, 1)


def _overlaps(counts: dict[str, float]) -> list[list[str]]:
    rows = [["random", f"{counts['random']:,} ({counts['expected']:,.1f} expected)"]]
    return rows + [
        [escape_markdown(name), f"{number:,}"]
        for name, number in counts.items()
        if name not in ("random", "expected")
    ]


def _texts(rows: Sequence[dict]) -> str:
    lines = [
        [
            _signed(row["total"]),
            *(escape_markdown(row[key]) for key in ("source", "level")),
            *(escape_markdown(_short(row[key])) for key in ("passage", "question")),
        ]
        for row in rows
    ]
    return _table(["score", "source", "level", "passage", "problem written from it"], lines, 5)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN].rstrip() + " [...]"
