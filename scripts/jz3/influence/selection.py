"""From influence scores to passages: one number per candidate, best passages, quotas (§ 3.3)."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from .. import io
from ..records import Score

AGGREGATES = ("max", "mean")


def aggregate(scores: list[float], how: str) -> float:
    """One number from the subtasks' scores: "max" as in LESS, or "mean".

    Raises UserError where `how` is not known.
    """
    if how not in AGGREGATES:
        raise io.UserError(
            f'influence.aggregate: "{how}" is not known; use {" or ".join(AGGREGATES)}.'
            f"{io.did_you_mean(how, AGGREGATES)}"
        )
    return max(scores) if how == "max" else sum(scores) / len(scores)


def best_candidates(
    candidates: Iterable[Score], count: int, quota: dict[str, float] | None = None
) -> list[Score]:
    """The best candidate of each of the `count` best passages, best first.

    candidates: in any order; those without a finite total are left out, equal totals are ordered
    by problem_id. quota: largest share (0 to 1) of `count` that may come from a source, rounded
    down; sources that it does not name are not limited. Fewer come back where candidates or quotas
    run out.
    """
    room = {source: math.floor(share * count + 1e-9) for source, share in (quota or {}).items()}
    taken: Counter[str] = Counter()
    chosen: dict[str, Score] = {}
    finite = [
        (-row["total"], row["problem_id"], row)
        for row in candidates
        if row["total"] is not None and math.isfinite(row["total"])
    ]
    for _, _, row in sorted(finite, key=lambda entry: entry[:2]):
        if len(chosen) == count:
            break
        source = row["source"]
        if row["passage_id"] not in chosen and taken[source] < room.get(source, count):
            chosen[row["passage_id"]] = row
            taken[source] += 1
    return list(chosen.values())


def influential_picks(
    candidates: Iterable[Score], levels: list[str], count: int, quota: dict[str, float]
) -> list[dict[str, Any]]:
    """The passages of the `count` best candidates, best first (see `best_candidates`).

    Raises UserError where a candidate's level is not known here.
    """
    best = best_candidates(candidates, count, quota)
    for candidate in best:
        if candidate["level"] not in levels:
            hint = io.did_you_mean(candidate["level"], levels)
            raise io.UserError(
                f'scores: level "{candidate["level"]}" has no prompt in the folder of this'
                f" distillation ({', '.join(levels)}); use the candidates' mode.{hint}"
            )
    return [
        {"passage_id": row["passage_id"], "level": row["level"], "score": row["total"]}
        for row in best
    ]
