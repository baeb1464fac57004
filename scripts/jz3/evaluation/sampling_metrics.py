"""What several sampled answers to a problem say: pass@k and the majority's answer.

`evaluation.samples` answers per problem, drawn at a temperature, are graded one by one; these
functions turn the rows of a grades table (`records.GRADES`) into one value per problem, between 0
and 1. A table's score is their mean, and its interval comes from resampling problems.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..grading.quantities import compact, plain, quantity


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Probability that one of `k` answers, drawn from `samples` without replacement, is right.

    The unbiased estimate of Chen et al. 2021 (arXiv 2107.03374, equation 1):
    1 - C(samples - right, k) / C(samples, k). Raises ValueError unless 1 <= k <= samples and
    0 <= right <= samples.
    """
    if not 1 <= k <= samples or not 0 <= right <= samples:
        raise ValueError(f"pass@{k} of {right} right among {samples}")
    return 1.0 - math.comb(samples - right, k) / math.comb(samples, k)


def ballot(answer: str) -> str:
    """What an extracted answer votes for: equal numbers, or texts of one spelling, vote together.

    "0.5", "1/2" and "\\frac{1}{2}" are one vote, and a unit changes nothing; "" is no vote.
    """
    text = plain(answer)
    number = quantity(text)
    return str(number.value) if number else compact(text).casefold()


def majority(answers: Sequence[str], right: Sequence[bool]) -> float:
    """Whether the most frequent answer is right; where several tie, the share of them that is.

    answers: as extracted, "" where none was found; right: their verdicts. A tie is thus worth what
    breaking it at random is worth on average, whatever the order. 0 where nothing was answered.
    """
    votes: dict[str, list[bool]] = defaultdict(list)
    for answer, verdict in zip(answers, right, strict=True):
        if vote := ballot(answer):
            votes[vote].append(verdict)
    most = max(map(len, votes.values()), default=0)
    winners = [sum(verdicts) / most for verdicts in votes.values() if len(verdicts) == most]
    return sum(winners) / len(winners) if winners else 0.0


def by_problem(
    grades: Iterable[Mapping[str, Any]], verdict: str, metric: str, k: int
) -> dict[str, float]:
    """A value per problem_id from rows of `records.GRADES`.

    verdict: strict | released; metric: "pass" (pass@k) | "majority" (maj@k, over the first `k`
    samples). Raises ValueError for an unknown metric and where a problem has fewer than k samples.
    """
    if metric not in ("pass", "majority"):
        raise ValueError(f'metric "{metric}" is not pass or majority')
    rows = defaultdict(list)
    for row in grades:
        rows[row["problem_id"]].append(row)
    values = {}
    for problem, graded in rows.items():
        if len(graded) < k:
            raise ValueError(f"problem {problem} has {len(graded)} samples, fewer than {k}")
        right = [row[verdict] for row in graded]
        if metric == "pass":
            values[problem] = pass_at_k(len(graded), sum(right), k)
        else:
            first = sorted(graded, key=lambda row: row["sample"])[:k]
            values[problem] = majority(
                [row["predicted"] for row in first], [row[verdict] for row in first]
            )
    return values
