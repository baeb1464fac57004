"""From scores to passages, quotas, and the products that entries of `influence` share."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jz3 import io
from jz3.influence import selection
from jz3.report import cards, influence_card

ROOT = Path(__file__).parents[2]


def row(passage: str, total: float | None, source: str = "web", problem: str = "") -> dict:
    return {
        "problem_id": problem or f"{passage}{total}", "passage_id": passage, "source": source,
        "level": "grade", "total": total,
    }  # fmt: skip


def passages(rows: list[dict]) -> list[str]:
    return [one["passage_id"] for one in rows]


def test_each_passage_once_by_its_best_candidate():
    rows = [row("a", 0.1), row("b", 0.3), row("a", 0.5), row("c", 0.2), row("d", 0.05)]
    chosen = selection.best_candidates(rows, 3)
    assert [(one["passage_id"], one["total"]) for one in chosen] == [
        ("a", 0.5), ("b", 0.3), ("c", 0.2),
    ]  # fmt: skip


def test_scores_that_are_no_number_are_left_out_and_ties_go_by_identity():
    rows = [row("a", float("nan")), row("b", None), row("d", 0.1, problem="2")]
    rows += [row("c", 0.1, problem="1"), row("e", float("inf"))]
    assert passages(selection.best_candidates(rows, 9)) == ["c", "d"]


def test_quota_by_hand():
    rows = [row(f"w{n}", 1 - n / 10) for n in range(5)]
    rows += [row(f"t{n}", 0.3 - n / 10, "textbook") for n in range(3)]
    # at most floor(0.5 * 4) = 2 of the web; textbooks are not limited
    chosen = selection.best_candidates(rows, 4, {"web": 0.5})
    assert passages(chosen) == ["w0", "w1", "t0", "t1"]
    # 0.29 * 100 is 28.999999999999996
    assert (
        len(selection.best_candidates([row(str(n), n) for n in range(99)], 100, {"web": 0.29}))
        == 29
    )
    assert selection.best_candidates(rows, 4, {"web": 0, "textbook": 0}) == []
    # where quotas leave room, fewer come back rather than more of a source
    assert passages(selection.best_candidates(rows, 4, {"web": 0.25, "textbook": 0.25})) == [
        "w0",
        "t0",
    ]


@given(
    rows=st.lists(
        st.builds(
            row,
            st.sampled_from("abcdefghij"),
            st.floats(-1, 1),
            st.sampled_from(["web", "wiki", "paper"]),
        ),
        max_size=40,
        unique_by=lambda one: one["problem_id"],
    ),
    count=st.integers(1, 12),
    quota=st.dictionaries(st.sampled_from(["web", "wiki"]), st.floats(0, 1)),
    order=st.randoms(),
)
def test_quota_holds_and_nothing_better_was_left_out(rows, count, quota, order):
    chosen = selection.best_candidates(rows, count, quota)
    assert len(chosen) <= count
    assert len(set(passages(chosen))) == len(chosen)
    assert [one["total"] for one in chosen] == sorted((o["total"] for o in chosen), reverse=True)
    full = set()
    for source, share in quota.items():
        taken = sum(one["source"] == source for one in chosen)
        assert taken <= share * count + 1e-6
        if taken + 1 > share * count:
            full.add(source)
    worst = min((one["total"] for one in chosen), default=math.inf)
    for one in rows:
        if one["passage_id"] not in passages(chosen) and one["source"] not in full:
            assert len(chosen) == count
            assert one["total"] <= worst
    shuffled = list(rows)
    order.shuffle(shuffled)
    assert selection.best_candidates(shuffled, count, quota) == chosen


def test_aggregates_by_hand():
    assert selection.aggregate([0.05, 0.2], "max") == 0.2
    assert selection.aggregate([0.05, 0.2], "mean") == pytest.approx(0.125)
    with pytest.raises(io.UserError, match='"most" is not known; use max or mean'):
        selection.aggregate([0.5], "most")


# ---------------------------------------------------------------- the card


def scored(number: int, total: float, source: str = "web", tokens: int = 50) -> dict:
    return row(f"p{number}", total, source) | {
        "tokens": tokens, "mode": "cot", "score_a": total, "score_b": -total,
    }  # fmt: skip


def texts(rows):
    return {
        one["problem_id"]: {
            "question": f"question | {one['passage_id']}", "solution": "s", "passage": "x " * 400,
        }
        for one in rows
    }  # fmt: skip


def test_summary_by_hand():
    rows = [scored(n, n / 10, "wiki" if n < 2 else "web", 100 - n) for n in range(10)]
    rows.append(scored(9, -0.5))  # a worse problem of the best passage counts nothing
    found = influence_card.summary("main", rows, 4, 7, texts)
    assert (found["passages"], found["picked"], found["subtasks"]) == (10, 4, ["a", "b"])
    assert found["overlap"]["expected"] == 1.6
    assert 0 <= found["overlap"]["random"] <= 4
    assert found["overlap"]["best for a alone"] == 4
    assert found["overlap"]["best for b alone"] == 0
    assert found["correlation_with_length"] == pytest.approx(-1)
    assert [one["passage_id"] for one in found["ends"]["highest"]] == ["p9", "p8", "p7", "p6", "p5"]
    assert [one["passage_id"] for one in found["ends"]["lowest"]] == ["p4", "p3", "p2", "p1", "p0"]
    assert found == influence_card.summary("main", rows[::-1], 4, 7, texts)


def test_ten_at_each_end_and_whole_texts():
    found = influence_card.summary("main", [scored(n, n / 100) for n in range(60)], 0, 7, texts)
    assert [len(rows) for rows in found["ends"].values()] == [10, 10]
    assert found["picked"] == 6
    assert found["correlation_with_length"] is None
    assert len(found["ends"]["highest"][0]["passage"]) == 800
    page = cards.markdown("influence_card", found)
    assert "10 highest passages" in page
    assert r"question \| p59" in page
    assert page.count("[...]") == 0  # brackets are escaped
    assert page.count(r"\[...\]") == 20
    part = cards.html("influence_card", found)  # the report shows the texts whole, elsewhere
    assert "Rank correlation" in part
    assert "question | p59" not in part


def test_rank_correlation_by_hand():
    # ranks 0, 1.5, 1.5, 3 and 3, 0, 1, 2, less 1.5: products -2.25 + 0 + 0 + 0.75;
    # squares 4.5 and 5
    found = influence_card.rank_correlation([1, 2, 2, 9], [8, 0, 3, 5])
    assert found == pytest.approx(-1.5 / math.sqrt(4.5 * 5))
    assert influence_card.rank_correlation([1, 2, 3], [1, 1, 1]) is None
