"""Intervals and tests, against hand-made values, scipy, and simulation."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jz3.tables import intervals as stats
from scipy import stats as scipy_stats


def test_wilson_by_hand():
    # 7 of 200 with z = 1.959964: centre (0.035 + 0.0096036) / 1.0192073 = 0.0437631,
    # half sqrt(0.035 * 0.965 / 200 + 3.8414588 / 160000) * 1.959964 / 1.0192073 = 0.0267075
    low, high = stats.wilson(7, 200, 0.95)
    assert low == pytest.approx(0.0170556, abs=1e-6)
    assert high == pytest.approx(0.0704706, abs=1e-6)
    # half of 4: centre 1/2, half z / (2 sqrt(n + z^2)) = 1.959964 / (2 * 2.8002605) = 0.3499610
    low, high = stats.wilson(2, 4, 0.95)
    assert (low, high) == pytest.approx((0.1500390, 0.8499610), abs=1e-6)


def test_wilson_edges():
    assert stats.wilson(0, 0, 0.95) == (0.0, 1.0)
    low, high = stats.wilson(0, 10, 0.95)
    assert low == 0.0
    assert high == pytest.approx(3.841459 / 13.841459, abs=1e-6)  # z^2 / (n + z^2)
    low, high = stats.wilson(10, 10, 0.95)
    assert low == pytest.approx(10 / 13.841459, abs=1e-6)
    assert high == 1.0
    for wrong in ((-1, 10, 0.95), (11, 10, 0.95), (1, 10, 1.0), (1, 10, 0.0)):
        with pytest.raises(ValueError, match=r"successes|confidence"):
            stats.wilson(*wrong)


@given(st.integers(1, 3000), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
@settings(max_examples=30, deadline=None)
def test_wilson_like_scipy(n, share, confidence):
    successes = round(share * n)
    theirs = scipy_stats.binomtest(successes, n).proportion_ci(confidence, "wilson")
    low, high = stats.wilson(successes, n, confidence)
    assert low == pytest.approx(theirs.low, abs=1e-12)
    assert high == pytest.approx(theirs.high, abs=1e-12)


@pytest.mark.parametrize("share", [0.03, 0.225, 0.5, 0.9])
def test_wilson_covers(share):
    """Exact coverage by summing over all outcomes: near the stated confidence, on average above."""
    found = []
    for n in (50, 100, 200):
        covered = 0.0
        for k in range(n + 1):
            low, high = stats.wilson(k, n, 0.95)
            if low <= share <= high:
                covered += math.comb(n, k) * share**k * (1 - share) ** (n - k)
        found.append(covered)
    assert min(found) > 0.92
    assert 0.935 < sum(found) / len(found) < 0.985


def test_macro_average_covers():
    """Simulated tables of two benchmarks: the interval of the average holds what it says."""
    draw = np.random.default_rng(5)
    for shares in ((0.05, 0.3), (0.9, 0.6), (0.01, 0.02)):
        truth, held, tries = sum(shares) / 2, 0, 1200
        for first, second in zip(
            draw.binomial(200, shares[0], tries), draw.binomial(100, shares[1], tries), strict=True
        ):
            _, low, high = stats.macro_average([(first, 200), (second, 100)], 0.95)
            held += low <= truth <= high
        assert 0.93 < held / tries < 0.985, shares


def test_macro_average_of_one_is_wilson_and_of_equals_is_narrower():
    mean, low, high = stats.macro_average([(45, 200)], 0.95)
    assert mean == 0.225
    assert (low, high) == pytest.approx(stats.wilson(45, 200, 0.95))
    mean, low4, high4 = stats.macro_average([(45, 200)] * 4, 0.95)
    assert high4 - low4 == pytest.approx((high - low) / 2)  # four times the problems
    mean, low, high = stats.macro_average([(0, 50), (0, 50)], 0.95)
    assert (mean, low) == (0.0, 0.0)
    assert high > 0.02
    with pytest.raises(ValueError, match="at least one"):
        stats.macro_average([(0, 0)], 0.95)


def test_mcnemar_by_hand():
    assert stats.mcnemar(0, 0) == 1.0
    assert stats.mcnemar(3, 3) == 1.0
    assert stats.mcnemar(0, 5) == 2 / 32
    assert stats.mcnemar(1, 7) == stats.mcnemar(7, 1) == 2 * (1 + 8) / 256
    assert 0 < stats.mcnemar(100, 1500) < 1e-200


@given(st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_mcnemar_like_its_definition(first, second):
    """Both tails of fair coin throws, counted in whole numbers."""
    n, few = first + second, min(first, second)
    tail = Fraction(sum(math.comb(n, k) for k in range(few + 1)), 2**n)
    assert stats.mcnemar(first, second) == pytest.approx(float(min(1, 2 * tail)), abs=1e-12)
    assert stats.mcnemar(first, second) == pytest.approx(float(min(1, 2 * tail)), rel=1e-9)


def test_like_statsmodels():
    """Random cases and what statsmodels 0.15.0 says: proportion_confint, mcnemar, multipletests."""
    for successes, n, confidence, low, high in (
        (0, 12, 0.95, 0.0, 0.24249400665524),
        (3, 17, 0.9, 0.07281446654707, 0.36896697806903),
        (211, 500, 0.95, 0.37946637498097, 0.46572302213103),
        (1319, 1319, 0.99, 0.99499492913318, 1.0),
        (487, 976, 0.95, 0.46767258328916, 0.53028627017434),
        (62.25, 200, 0.95, 0.25114709903034, 0.37846701167708),
        (0.125, 31, 0.9, 0.00017087089465, 0.08751629125185),
    ):
        assert stats.wilson(successes, n, confidence) == pytest.approx((low, high), abs=1e-12)
    for first, second, chance in (
        (4, 17, 0.007197380065918),
        (0, 6, 0.03125),
        (33, 52, 0.050250895335291),
        (120, 87, 0.025899541336069),
    ):
        assert stats.mcnemar(first, second) == pytest.approx(chance, abs=1e-12)
    raw = [0.0207, 0.0047, 0.0827, 0.2972, 0.0034, 0.1069, 0.153, 0.3557, 0.3047]
    corrected = [0.1449, 0.0376, 0.4962, 0.8916, 0.0306, 0.5345, 0.612, 0.8916, 0.8916]
    assert stats.holm(raw) == pytest.approx(corrected)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
@settings(max_examples=80, deadline=None)
def test_sign_flip_is_exact(differences):
    """Against the definition: every way of giving the differences their signs."""
    observed = abs(sum(differences))
    ways = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True))) >= observed
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    assert stats.sign_flip(differences) == pytest.approx(float(Fraction(sum(ways), len(ways))))


def test_sign_flip_of_single_answers_is_mcnemar():
    assert stats.sign_flip([1] * 7 + [-1] + [0] * 92) == stats.mcnemar(1, 7)
    assert stats.sign_flip([0, 0]) == 1.0


def test_paired_bootstrap():
    differences = [1.0] * 40 + [-1.0] * 10 + [0.0] * 150
    mean, low, high = stats.paired_bootstrap([differences], 0.95, random.Random(3))
    assert mean == 0.15
    # standard error sqrt((0.25 - 0.15^2) / 200) = 0.03373; normal interval 0.0839 .. 0.2161
    assert low == pytest.approx(0.084, abs=0.006)
    assert high == pytest.approx(0.216, abs=0.006)
    again = stats.paired_bootstrap([list(reversed(differences))], 0.95, random.Random(3))
    assert again == (mean, low, high)  # the order of the problems does not count
    drawn = [stats.bootstrap_means(differences, random.Random(seed)) for seed in (3, 3, 4)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    both = stats.paired_bootstrap([differences, [0.0] * 5], 0.95, random.Random(3))
    assert both[0] == pytest.approx(0.075)
    with pytest.raises(ValueError, match="nothing"):
        stats.paired_bootstrap([[]], 0.95, random.Random(3))


def test_bootstrap_like_scipy():
    """Percentile intervals of a mean, and of a mean of two means, on random verdicts."""
    draw = np.random.default_rng(8)
    parts = [draw.choice([-1.0, 0.0, 0.5, 1.0], size) for size in (60, 150)]

    def average(*samples, axis=-1):
        return sum(np.mean(sample, axis=axis) for sample in samples) / len(samples)

    for samples in (parts[:1], parts):
        theirs = scipy_stats.bootstrap(
            samples, average, method="percentile", n_resamples=10_000, vectorized=True, rng=draw
        ).confidence_interval
        mean, low, high = stats.paired_bootstrap(samples, 0.95, random.Random(5))
        error = 0.1 * (theirs.high - theirs.low) / 4  # of a quantile of 10,000 draws, generously
        assert mean == pytest.approx(average(*samples))
        assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=error)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=7))
@settings(max_examples=15, deadline=None)
def test_sign_flip_like_scipy(differences):
    theirs = scipy_stats.permutation_test(
        [differences, [0] * len(differences)],
        lambda one, other, axis: np.abs(np.sum(one - other, axis=axis)),
        permutation_type="samples", alternative="greater", vectorized=True, n_resamples=np.inf,
    )  # fmt: skip
    assert stats.sign_flip(differences) == pytest.approx(theirs.pvalue)


def test_holm_by_hand():
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]
    assert stats.holm([]) == []
    assert stats.holm([0.02]) == [0.02]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
@settings(max_examples=40, deadline=None)
def test_holm_is_the_closed_test_of_bonferroni(values):
    """A hypothesis falls if every set of hypotheses that holds it falls by Bonferroni."""
    places = range(len(values))
    sets = [s for size in places for s in itertools.combinations(places, size + 1)]
    for place, corrected in enumerate(stats.holm(values)):
        largest = max(len(s) * min(values[i] for i in s) for s in sets if place in s)
        assert corrected == pytest.approx(min(1.0, largest))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_holm_keeps_order_and_never_shrinks(values):
    corrected = stats.holm(values)
    assert all(value <= new <= 1 for value, new in zip(values, corrected, strict=True))
    order = sorted(range(len(values)), key=values.__getitem__)
    assert [corrected[i] for i in order] == sorted(corrected)
