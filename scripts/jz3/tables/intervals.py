"""Intervals and tests for accuracies: nothing here knows about models or files.

Proportions are between 0 and 1. The paper (§ 4) prints accuracies without intervals; the choices
are ours: Wilson for one cell, the square-and-add rule for an average, exact paired tests. What
scipy has is taken from there; Wilson's interval of a fraction of a success, sign flips over counts
and Holm's correction it lacks (the tests hold them to scipy and statsmodels where these apply).
"""

import math
from collections import Counter
from collections.abc import Sequence
from random import Random
from statistics import NormalDist

import numpy as np


def wilson(successes: float, n: int, confidence: float) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927, without continuity correction).

    `successes` may be fractional (mean over several samples of each of `n` problems): answers to
    one problem agree more than independent ones, so the interval is then wider than needed, never
    narrower. n = 0 tells nothing: (0, 1). The ends are exactly 0 and 1 where none or all succeed.
    """
    _check_confidence(confidence)
    if n < 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p, shrink = successes / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / shrink
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def macro_average(cells: Sequence[tuple[float, int]], confidence: float) -> tuple[float, ...]:
    """Unweighted mean of independent proportions (successes, n) with its interval.

    The interval squares and adds the distances from each proportion to its Wilson limits
    (Zou & Donner 2008), so it stays sensible where a proportion is 0 or 1.
    Returns (mean, low, high).
    """
    if not cells or any(n == 0 for _, n in cells):
        raise ValueError("an average needs at least one cell, and problems in each")
    shares = [successes / n for successes, n in cells]
    limits = [wilson(successes, n, confidence) for successes, n in cells]
    mean = sum(shares) / len(shares)
    pairs = list(zip(shares, limits, strict=True))
    below = math.sqrt(sum((p - low) ** 2 for p, (low, _) in pairs)) / len(pairs)
    above = math.sqrt(sum((high - p) ** 2 for p, (_, high) in pairs)) / len(pairs)
    return mean, max(0.0, mean - below), min(1.0, mean + above)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar test: p for a split of the problems that just one of two solved."""
    from scipy.stats import binomtest  # a second to import: not for those who only read tables

    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def sign_flip(differences: Sequence[int]) -> float:
    """Exact two-sided paired test: could the signs of these whole differences be chance?

    Every difference is as likely of either sign if two models are equally good; the distribution
    of the sum is computed, not sampled. With differences of -1, 0 and 1 this is `mcnemar`; with
    several samples per problem the differences are of counts.
    """
    sizes = sorted(abs(d) for d in differences if d)
    reach, observed = sum(sizes), abs(sum(differences))
    if set(sizes) <= {1}:
        return mcnemar((reach - observed) // 2, (reach + observed) // 2)
    chance, width = np.ones(1), 0  # chance[k]: the sum is 2 k - width
    for size in sizes:
        wider = np.zeros(width + size + 1)
        wider[: width + 1] += chance / 2
        wider[size:] += chance / 2
        chance, width = wider, width + size
    sums = 2 * np.arange(reach + 1) - reach
    return min(1.0, float(chance[np.abs(sums) >= observed].sum()))


def bootstrap_means(values: Sequence[float], random: Random, resamples: int = 10_000) -> np.ndarray:
    """Means of `resamples` draws with replacement from `values` (seeded by `random`).

    Draws how often each distinct value occurs, which costs the same for ten problems as for ten
    thousand.
    """
    if not len(values):
        raise ValueError("nothing to resample")
    counts = Counter(values)
    kinds = sorted(counts)
    shares = np.array([counts[kind] for kind in kinds]) / len(values)
    generator = np.random.Generator(np.random.PCG64(random.getrandbits(128)))
    drawn = generator.multinomial(len(values), shares, size=resamples)
    means: np.ndarray = drawn @ np.array(kinds, dtype=float) / len(values)
    return means


def paired_bootstrap(
    differences: Sequence[Sequence[float]], confidence: float, random: Random
) -> tuple[float, float, float]:
    """Mean paired difference with its percentile interval: (mean, low, high).

    differences: one list per benchmark, one number per problem. Several benchmarks are resampled
    apart and averaged without weights, as a table's average is.
    """
    _check_confidence(confidence)
    means = sum(bootstrap_means(part, random) for part in differences) / len(differences)
    mean = sum(sum(part) / len(part) for part in differences) / len(differences)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return mean, float(low), float(high)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p values, in the given order, for all tests together."""
    order = np.argsort(values, kind="stable")
    steps = np.asarray(values, dtype=float)[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.maximum.accumulate(np.minimum(1.0, steps))
    return [float(value) for value in corrected]


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
