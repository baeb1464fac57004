"""pass@k and maj@k: values worked out by hand, and what holds for all counts."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jz3.evaluation.sampling_metrics import ballot, by_problem, majority, pass_at_k


@pytest.mark.parametrize(
    ("samples", "right", "k", "value"),
    [
        (1, 1, 1, 1.0),
        (1, 0, 1, 0.0),
        (4, 1, 1, 0.25),
        (4, 1, 2, 0.5),  # 1 - C(3,2)/C(4,2) = 1 - 3/6
        (4, 2, 2, 5 / 6),  # 1 - 1/6
        (5, 2, 3, 0.9),  # 1 - C(3,3)/C(5,3) = 1 - 1/10
        (4, 3, 2, 1.0),
        (200, 1, 100, 0.5),
    ],
)
def test_pass_at_k_by_hand(samples, right, k, value):
    assert pass_at_k(samples, right, k) == pytest.approx(value, abs=1e-12)


@given(
    st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))
)
def test_pass_at_k_counts_subsets(case):
    samples, right, k = case
    verdicts = [True] * right + [False] * (samples - right)
    subsets = [any(part) for part in itertools.combinations(verdicts, k)]
    assert pass_at_k(samples, right, k) == pytest.approx(sum(subsets) / len(subsets))


@pytest.mark.parametrize(("samples", "right", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_impossible_counts(samples, right, k):
    with pytest.raises(ValueError, match="pass@"):
        pass_at_k(samples, right, k)


@pytest.mark.parametrize(
    "answers", [("0.5", "1/2", r"\frac{1}{2}", r"\dfrac12", "$0.50$"), ("1,000", "1000.0", "1000 km"),
                ("Yes", r"\text{yes}", " yes. ")],
)  # fmt: skip
def test_equal_answers_vote_together(answers):
    assert len({ballot(answer) for answer in answers}) == 1


def test_different_answers_vote_apart():
    answers = ["5", "-5", "x+1", "x-1", "(1,2)", "(2,1)", "A", "B", "0.33", "1/3"]
    assert len({ballot(answer) for answer in answers}) == len(answers)
    assert ballot("") == ""


@pytest.mark.parametrize(
    ("answers", "right", "value"),
    [
        (["5", "5", "7"], [True, True, False], 1.0),
        (["7", "5", "7"], [False, True, False], 0.0),
        (["5", "7"], [True, False], 0.5),  # a tie of two
        (["5", "7", "8", "8", "5", "7"], [True, False, False, False, True, False], 1 / 3),
        (["0.5", "1/2", "2"], [True, True, False], 1.0),
        (["", "", "5"], [False, False, True], 1.0),  # silence does not vote
        (["", ""], [False, False], 0.0),
    ],
)
def test_majority_by_hand(answers, right, value):
    assert majority(answers, right) == pytest.approx(value)


@given(st.lists(st.sampled_from(["1", "2", "3", ""]), min_size=1, max_size=8), st.randoms())
def test_majority_does_not_depend_on_the_order(answers, random):
    shuffled = answers[:]
    random.shuffle(shuffled)
    expected = majority(answers, [answer == "1" for answer in answers])
    assert majority(shuffled, [answer == "1" for answer in shuffled]) == pytest.approx(expected)
    assert 0 <= expected <= 1


def grades(problem, *verdicts):
    return [
        {"problem_id": problem, "sample": n, "predicted": "5" if right else f"{n + 10}",
         "strict": right, "released": True}
        for n, right in enumerate(verdicts)
    ]  # fmt: skip


def test_values_per_problem():
    rows = [*grades("p", True, False, True, False), *grades("q", False, False, False, True)]
    assert by_problem(rows, "strict", "pass", 2) == {"p": pytest.approx(5 / 6), "q": 0.5}
    assert by_problem(rows, "released", "pass", 1) == {"p": 1.0, "q": 1.0}
    assert by_problem(rows[::-1], "strict", "majority", 4) == {"q": 0.25, "p": 1.0}
    assert by_problem(rows[::-1], "strict", "majority", 3) == {"q": 0.0, "p": 1.0}
    with pytest.raises(ValueError, match="problem p has 4 samples, fewer than 5"):
        by_problem(rows, "strict", "pass", 5)
    with pytest.raises(ValueError, match="best"):
        by_problem(rows, "strict", "best", 1)


def test_one_sample_is_the_score_itself():
    rows = [*grades("p", True), *grades("q", False)]
    for metric in ("pass", "majority"):
        assert by_problem(rows, "strict", metric, 1) == {"p": 1.0, "q": 0.0}
    assert math.fsum(by_problem(rows, "strict", "pass", 1).values()) / 2 == 0.5
