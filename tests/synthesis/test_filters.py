"""Filters of synthetic problems: duplicates, contamination, the funnel, the program."""

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jz3 import io, records
from jz3.synthesis import filter_names
from jz3.synthesis.duplicates import jaccard, near_duplicates, same_template, shingles
from jz3.synthesis.filters import FILTERS, Filter, judge
from jz3.synthesis.question_words import cut

PROGRAM = Path(__file__).resolve().parents[2] / "scripts" / "filter_problems.py"
RECIPE = {
    "filters": ["parsed", "complete", "near_duplicate", "contaminated"],
    "permutations": 128,
    "similarity": 0.7,
    "shingle": 5,
    "overlap": 0.34,
    "overlap_other_numbers": 0.41,
}
TEST_QUESTION = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
)


def duplicates(texts, similarity=0.7, shingle=5):
    """{copy: kept} of texts by name, the first name worth most."""
    names = sorted(texts)
    found = near_duplicates(
        [texts[name] for name in names],
        similarity=similarity,
        shingle=shingle,
        permutations=128,
        seed=3,
    )
    return {names[copy]: names[kept] for copy, kept in found.items()}


def shingle_set(text, size=5):
    return frozenset(shingles(cut([text]), size)[0].tolist())


def brute_force(texts, similarity=0.7, shingle=5):
    kept, found = [], {}
    for name in sorted(texts):
        own = shingle_set(texts[name], shingle)
        for other in kept:
            if jaccard(own, shingle_set(texts[other], shingle)) >= similarity:
                found[name] = other
                break
        else:
            kept.append(name)
    return found


def test_shingles_and_jaccard_by_hand():
    sets = shingles(cut(["a b c d", "a b", "", "b a", "a b c a b c"]), 3)
    assert [len(set(found.tolist())) for found in sets] == [2, 1, 1, 1, 3]
    assert len({found.tobytes() for found in sets}) == 5
    assert jaccard(frozenset("abc"), frozenset("bcd")) == 0.5


# ---------------------------------------------------------------- duplicates


def test_exact_and_near_duplicates_keep_the_smallest_id():
    base = "A farmer has 12 sheep and buys 7 more at the market on Monday. How many sheep now?"
    texts = {
        "c": base,
        "b": base.upper().replace(".", " !"),
        "a": base.replace("How many sheep now", "How many sheep now in all"),
        "d": "Something else entirely with its own words and nothing shared at all here",
    }
    assert duplicates(texts) == {"b": "a", "c": "a"}


def test_a_copy_of_a_near_duplicate_points_at_what_is_kept():
    base = " ".join(f"w{i}" for i in range(60))
    near = base + " tail"
    assert duplicates({"a": base, "b": near, "c": near}) == {"b": "a", "c": "a"}


def test_similarity_is_the_exact_jaccard_not_the_estimate():
    # 20 and 21 words with shingles of 5: 16 shared shingles of 17 in all: 0.941
    base = " ".join("abcdefghijklmnopqrst")
    texts = {"a": base, "b": base + " x"}
    assert duplicates(texts, similarity=16 / 17) == {"b": "a"}
    assert duplicates(texts, similarity=16 / 17 + 1e-9) == {}


def test_short_and_empty_questions():
    assert duplicates({"a": "", "b": "", "c": "x", "d": "X?"}) == {"b": "a", "d": "c"}
    assert duplicates({}) == {}
    assert duplicates({"a": "one text"}) == {}


def test_minhash_finds_what_brute_force_finds():
    generator = random.Random(5)
    vocabulary = [f"word{i}" for i in range(300)]
    texts = {}
    for number in range(250):
        if texts and generator.random() < 0.5:
            tokens = generator.choice(list(texts.values())).split()
            for _ in range(generator.randrange(4)):
                tokens[generator.randrange(len(tokens))] = generator.choice(vocabulary)
        else:
            tokens = generator.choices(vocabulary, k=generator.randrange(6, 60))
        texts[f"p{number:03d}"] = " ".join(tokens)
    expected = brute_force(texts)
    assert len(expected) > 40
    assert duplicates(texts) == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("ab ", max_size=12), max_size=12), st.randoms(use_true_random=False))
def test_order_of_rows_plays_no_part(texts, shuffler):
    named = {f"p{i}": text for i, text in enumerate(texts)}
    names = list(named)
    shuffler.shuffle(names)
    shuffled = duplicates({name: named[name] for name in names}, shingle=2)
    assert shuffled == duplicates(named, shingle=2) == brute_force(named, shingle=2)


def test_signs_and_operators_tell_questions_apart():
    pairs = [("What is 5 + 3?", "What is 5 - 3?"), ("x^2 - 4 = 0", "x^2 + 4 = 0")]
    for one, other in pairs:
        assert duplicates({"a": one, "b": other}) == {}
    assert duplicates({"a": "What is 5 \\times 3?", "b": "what is 5 × 3"}) == {"b": "a"}


def test_chinese_questions_are_compared_by_character():
    base = "小明有5个苹果,他又买了7个苹果,后来他给了小红3个苹果。请问小明现在一共有多少个苹果?"
    assert duplicates({"a": base, "b": base.replace("苹果。", "苹果!")}) == {"b": "a"}
    assert (
        duplicates(
            {"a": base, "b": "一个长方形的长是8米,宽是5米,求这个长方形的周长和面积各是多少?"}
        )
        == {}
    )


def test_copies_are_found_inside_a_large_template():
    # A thousand questions of one template, none a copy of another by similarity, and one that is.
    generator = random.Random(2)
    names = [f"w{i}" for i in range(4000)]
    texts = {}
    for number in range(1000):
        a, b, c = generator.sample(names, 3)
        texts[f"p{number:04d}"] = (
            f"A shop sells {a} apples and pears in boxes of {b}. On Monday morning people buy some"
            f" of them for {c} dollars each. How many boxes are left for the people after that day?"
        )
    assert duplicates(texts) == {}
    texts["q"] = texts["p0300"] + " Explain."
    assert duplicates(texts) == {"q": "p0300"}


def test_at_most_so_many_of_a_template():
    texts = [f"Ann has {n} apples and buys {n + 1} more. How many?" for n in range(6)]
    assert same_template(texts, 2) == {2: 0, 3: 0, 4: 0, 5: 0}
    assert same_template([*texts[:2], "Something else", texts[2].replace("Ann", "Bo")], 2) == {}


# ---------------------------------------------------------------- funnel


THINGS = ["apples", "boats", "cakes", "drums", "eggs", "figs", "goats", "hats", "inks", "jars"]


def problem(number, question=None, **changes):
    thing = THINGS[number % 10]
    question = question or f"Ann{number} counts {thing}: what is {number} {thing} plus {thing}?"
    return {
        "problem_id": f"p{number:03d}",
        "passage_id": "x",
        "source": "web",
        "level": "grade",
        "mode": "cot",
        "question": question,
        "solution": "Adding gives \\boxed{1}.",
        "answer": "1",
        "completion": "c",
        "prompt": "p",
        "finish_reason": "stop",
        "completion_tokens": 5,
        "parsed": True,
        "executed": None,
        "answer_agrees": None,
        "duplicate_of": None,
        "contaminated_by": None,
        "status": "kept",
    } | changes


def verdicts(rows, recipe=RECIPE, tests=(), **more):
    found, funnel = judge([rows], tests, recipe, 1, **more)
    return [verdict.status for verdict in found], found, funnel


def sample():
    return [
        problem(1),
        problem(2, status="truncated", finish_reason="length"),
        problem(3, status="unparsed", parsed=False, question="", solution="", answer=""),
        problem(4, answer=""),
        problem(5, solution=" "),
        problem(6, question=problem(1)["question"] + "!"),
        problem(7, question=TEST_QUESTION),
        problem(8, question=TEST_QUESTION.upper()),
        problem(9, finish_reason="length"),
    ]


def test_funnel_counts_in_order():
    statuses, found, funnel = verdicts(sample(), tests=[("gsm8k:5", TEST_QUESTION)])
    assert statuses == [
        "kept", "truncated", "unparsed", "kept", "incomplete", "duplicate", "contaminated",
        "duplicate", "truncated",
    ]  # fmt: skip
    assert {name: funnel[name] for name in ("written", "kept", "filters", "rejected")} == {
        "written": 9,
        "kept": 2,
        "filters": {
            "1 parsed": {"in": 9, "rejected": 1, "out": 8},
            "2 complete": {"in": 8, "rejected": 3, "out": 5},
            "3 near_duplicate": {"in": 5, "rejected": 2, "out": 3},
            "4 contaminated": {"in": 3, "rejected": 1, "out": 2},
        },
        "rejected": {
            "contaminated": 1, "duplicate": 2, "incomplete": 1, "truncated": 2, "unparsed": 1,
        },
    }  # fmt: skip
    assert funnel["contamination"] == {"gsm8k": 1}
    assert funnel["by"]["source"]["web"]["kept"] == 2
    assert funnel["evidence"][0]["name"] == "gsm8k:5"
    assert found[5].duplicate_of == "p001"
    assert found[7].duplicate_of == "p007"
    assert found[6].contaminated_by == "gsm8k:5"


def test_the_better_copy_stays():
    question = sample()[0]["question"]
    rows = [
        problem(1, question),
        problem(2, question, executed=True, answer_agrees=False, solution="short"),
        problem(3, question, executed=True, answer_agrees=True, solution="shorter"),
        problem(4, question, executed=True, answer_agrees=True, solution="the longest of them"),
    ]
    recipe = RECIPE | {"filters": ["near_duplicate"]}
    statuses, found, _ = verdicts(rows, recipe)
    assert statuses == ["duplicate", "duplicate", "duplicate", "kept"]
    assert {verdict.duplicate_of for verdict in found[:3]} == {"p004"}
    assert verdicts(rows[::-1], recipe)[0] == statuses[::-1]


def test_a_row_that_leaves_later_makes_no_copy_of_another():
    question = sample()[0]["question"]
    rows = [problem(1, question, solution="The longest, cut off and"), problem(2, question)]
    rows[0]["answer"] = ""
    recipe = RECIPE | {"filters": ["near_duplicate", "complete"]}
    statuses, _, funnel = verdicts(rows, recipe)
    assert statuses == ["incomplete", "kept"]
    assert funnel["filters"]["1 near_duplicate"] == {"in": 2, "rejected": 0, "out": 2}
    assert funnel["filters"]["2 complete"] == {"in": 2, "rejected": 1, "out": 1}


def test_problems_of_an_earlier_corpus_are_not_repeated():
    rows = [problem(1), problem(2)]
    earlier = [("tool007", rows[1]["question"].upper())]
    statuses, found, _ = verdicts(rows, earlier=earlier)
    assert statuses == ["kept", "duplicate"]
    assert found[1].duplicate_of == "tool007"


def test_truncated_rows_stay_out_whatever_the_filters():
    statuses, _, funnel = verdicts(sample(), RECIPE | {"filters": ["near_duplicate"]})
    assert statuses[1] == "truncated"
    assert statuses[2] == "unparsed"
    assert funnel["filters"]["1 earlier"] == {"in": 9, "rejected": 2, "out": 7}


def test_execution_filters():
    rows = [
        problem(1, executed=True, answer_agrees=True),
        problem(2, executed=False, status="not_executed"),
        problem(3, executed=True, answer_agrees=False, status="disagrees"),
        problem(4),
    ]
    recipe = RECIPE | {"filters": ["executed", "answer_agrees"]}
    statuses, _, funnel = verdicts(rows, recipe)
    assert statuses == ["kept", "not_executed", "disagrees", "not_executed"]
    assert funnel["filters"]["1 executed"]["rejected"] == 2


@pytest.mark.parametrize(
    ("name", "changes", "status"),
    [
        ("asks", {"question": "The sum of two even numbers is even."}, "asks_nothing"),
        ("self_contained", {"question": "In the given figure, find x."}, "not_self_contained"),
        ("single", {"question": "Problem 1: 2 + 2?\n\nProblem 2: 3 + 3?"}, "several"),
        ("language", {"question": "Сколько будет два плюс два?"}, "other_language"),
        ({"length": 50}, {"question": "What is the sum? " + "word " * 60}, "too_long"),
        ({"repetition": 0.3}, {"solution": "We add them up again and see. " * 9}, "repetitive"),
        ("markers", {"question": "Find 2 + 2.<|endoftext|>"}, "markers"),
        ("encoding", {"question": "What isâ€™s 2 + 2?"}, "encoding"),
        ("refusal", {"question": "I'm sorry, I cannot create a problem?"}, "refusal"),
        ("latex", {"question": "Find $\\frac{1}{2$."}, "latex"),
        ("personal_data", {"question": "Mail x.y@mail.org: what is 2 + 2?"}, "personal_data"),
        ({"template_duplicate": 1}, {"question": sample()[0]["question"].replace("1 ", "9 ")},
         "same_template"),
    ],
)  # fmt: skip
def test_each_filter_gives_its_reason(name, changes, status):
    rows = [problem(1, solution="The longer solution. The answer is \\boxed{1}."),
            problem(2) | changes]  # fmt: skip
    statuses, _, funnel = verdicts(rows, RECIPE | {"filters": [name]})
    assert statuses == ["kept", status]
    assert funnel["rejected"] == {status: 1}


def test_an_unknown_filter_is_named():
    with pytest.raises(
        io.UserError, match=r'"near_duplicates" is not one of .*Did you mean "near_duplicate"'
    ):
        verdicts([problem(1)], RECIPE | {"filters": ["near_duplicates"]})


def test_a_filter_may_take_a_limit(monkeypatch):
    def wordy(row, limit):
        return "wordy" if len(row["question"].split()) > limit else None

    monkeypatch.setitem(FILTERS, "at_most_words", Filter(("wordy",), wordy))
    monkeypatch.setitem(filter_names.LIMITS, "at_most_words", "words")
    rows = [
        problem(1, "one two three"),
        problem(2, "one two three four"),
        problem(3, "one", answer="", solution=""),
    ]
    recipe = RECIPE | {"filters": [{"at_most_words": 3}, "complete"]}
    statuses, _, funnel = verdicts(rows, recipe)
    assert statuses == ["kept", "wordy", "incomplete"]
    assert funnel["filters"]["1 at_most_words"] == {"in": 3, "rejected": 1, "out": 2}
    for entry, said in [
        ("at_most_words", "takes a limit: {at_most_words: words}"),
        ({"complete": 3}, "complete takes no limit"),
        ({"at_most_words": 3, "complete": 1}, "is not one filter"),
        ({"at_most_words": "many"}, "the limit is 'many', not a number"),
        ({"at_most_words": -5}, "not a number from 0 on"),
        ({"at_most_words": math.nan}, "not a number from 0 on"),
        (["complete"], "is not one filter"),
    ]:
        with pytest.raises(io.UserError, match=said):
            verdicts(rows, RECIPE | {"filters": [entry]})


def test_every_filter_has_a_name_and_every_name_a_filter():
    assert list(FILTERS) == list(filter_names.LIMITS)


def test_no_two_filters_give_one_status():
    statuses = [status for filter_ in FILTERS.values() for status in filter_.statuses]
    assert len(statuses) == len(set(statuses))
    assert "kept" not in statuses


# ---------------------------------------------------------------- program


def run_program(folder, rows, filters=None):
    half = len(rows) // 2
    origin = io.provenance("test")
    io.write_table(folder / "a.parquet", rows[:half] or rows, records.PROBLEMS, origin)
    io.write_table(folder / "b.parquet", rows[half:], records.PROBLEMS, origin)
    test = {
        "problem_id": "5", "benchmark": "gsm8k", "split": "test", "subject": "",
        "question": TEST_QUESTION, "answer": "1", "solution": "", "program": "", "choices": [],
    }  # fmt: skip
    io.write_table(folder / "test.parquet", [test], records.BENCHMARK, origin)
    recipe = RECIPE | ({"filters": filters} if filters else {})
    return subprocess.run(
        [sys.executable, PROGRAM, "--problems", *([folder / "a.parquet"] if half else []),
         folder / "b.parquet", "--benchmarks", folder / "test.parquet",
         "--recipe", json.dumps(recipe), "--output", folder / "kept.parquet",
         "--rejected", folder / "rejected.parquet", "--report", folder / "report.json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_program_splits_the_corpus(tmp_path):
    result = run_program(tmp_path, sample())
    assert result.returncode == 0, result.stderr
    kept = io.read_rows(tmp_path / "kept.parquet", records.PROBLEMS)
    rejected = io.read_rows(tmp_path / "rejected.parquet", records.PROBLEMS)
    assert [row["problem_id"] for row in kept] == ["p001", "p004"]
    assert kept[0] == sample()[0]
    assert len(rejected) == 7
    assert io.read_json(tmp_path / "report.json")["kept"] == 2
    first = (tmp_path / "kept.parquet").read_bytes()
    run_program(tmp_path, sample())
    assert (tmp_path / "kept.parquet").read_bytes() == first


def test_program_with_nothing_kept_leaves_the_report_and_says_so(tmp_path):
    result = run_program(tmp_path, [problem(2, status="truncated", finish_reason="length")])
    assert result.returncode == 1
    assert "no problem of 1 passed the filters" in result.stderr
    assert "(1 truncated)" in result.stderr
    assert "Traceback" not in result.stderr
    assert io.read_json(tmp_path / "report.json")["rejected"] == {"truncated": 1}
    rejected = io.read_rows(tmp_path / "rejected.parquet", records.PROBLEMS)
    assert [row["status"] for row in rejected] == ["truncated"]
