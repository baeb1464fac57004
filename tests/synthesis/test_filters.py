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
from jz3.synthesis.filters import (
    FILTERS,
    Filter,
    TestQuestions,
    apply_filters,
    each_row,
    find_duplicates,
    jaccard,
    shingles,
    words,
)

PROGRAM = Path(__file__).resolve().parents[2] / "scripts" / "filter_problems.py"
RECIPE = {
    "filters": ["parsed", "complete", "duplicate", "contaminated"],
    "ngram": 10,
    "permutations": 128,
    "similarity": 0.7,
    "shingle": 5,
}


def duplicates(texts, similarity=0.7, shingle=5):
    ids = list(texts)
    return find_duplicates(
        ids,
        [" ".join(words(texts[name])) for name in ids],
        similarity=similarity,
        shingle=shingle,
        permutations=128,
        seed=3,
    )


def brute_force(texts, similarity=0.7, shingle=5):
    kept, found = [], {}
    for name in sorted(texts):
        own = shingles(words(texts[name]), shingle)
        for other in kept:
            if jaccard(own, shingles(words(texts[other]), shingle)) >= similarity:
                found[name] = other
                break
        else:
            kept.append(name)
    return found


# ---------------------------------------------------------------- words


def test_words_ignore_case_width_and_punctuation():
    assert words("What's  3.5 × $\\frac{1}{2}$?  ＡＢ_c") == [
        "what", "s", "3", "5", "frac", "1", "2", "ab", "c",
    ]  # fmt: skip


def test_shingles_and_jaccard_by_hand():
    assert shingles(["a", "b", "c", "d"], 3) == {"a b c", "b c d"}
    assert shingles(["a", "b"], 3) == {"a b"}
    assert shingles([], 3) == {""}
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
    base = " ".join(f"w{i}" for i in range(20))
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
            tokens = words(generator.choice(list(texts.values())))
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


# ---------------------------------------------------------------- contamination

TEST_QUESTION = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
)


def contaminated(text, *questions, ngram=10):
    index = TestQuestions([(f"gsm8k:{i}", q) for i, q in enumerate(questions)], ngram)
    return index.found_in(words(text))


def test_ten_shared_words_contaminate_and_nine_do_not():
    ten = "Yesterday: CLIPS to 48 of her friends, in April and then; she slept."
    assert contaminated(ten, TEST_QUESTION) == "gsm8k:0"
    nine = "Yesterday: clips to 48 of her friends in April and she slept then."
    assert contaminated(nine, TEST_QUESTION) is None


def test_a_short_test_question_contaminates_where_it_is_contained_whole():
    short = "What is 7 times 8?"
    assert contaminated("Tell me: what is 7 times 8, please?", short) == "gsm8k:0"
    assert contaminated("What is 7 times 9?", short) is None
    assert contaminated("what is seven times 8", short) is None


def test_two_words_are_too_short_to_contaminate():
    assert contaminated("Solve this now.", "Solve this") is None


def test_an_empty_text_and_no_tests():
    assert contaminated("", TEST_QUESTION) is None
    assert contaminated(TEST_QUESTION) is None


def test_the_smallest_name_is_given_where_several_match():
    assert contaminated(TEST_QUESTION, TEST_QUESTION + " How many?", TEST_QUESTION) == "gsm8k:0"


# ---------------------------------------------------------------- funnel


def problem(number, question=None, **changes):
    question = (
        question or f"Question {number}: what is {number} plus {number * 7 + 1}, Ann{number}?"
    )
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
    rows = sample()
    funnel = apply_filters(rows, [("gsm8k:5", TEST_QUESTION)], RECIPE, 1)
    assert [row["status"] for row in rows] == [
        "kept", "truncated", "unparsed", "incomplete", "incomplete", "duplicate", "contaminated",
        "duplicate", "truncated",
    ]  # fmt: skip
    assert funnel == {
        "written": 9,
        "kept": 1,
        "filters": {
            "1 parsed": {"in": 9, "rejected": 1, "out": 8},
            "2 complete": {"in": 8, "rejected": 4, "out": 4},
            "3 duplicate": {"in": 4, "rejected": 2, "out": 2},
            "4 contaminated": {"in": 2, "rejected": 1, "out": 1},
        },
        "rejected": {
            "contaminated": 1, "duplicate": 2, "incomplete": 2, "truncated": 2, "unparsed": 1,
        },
        "contamination": {"gsm8k": 1},
    }  # fmt: skip
    assert rows[5]["duplicate_of"] == "p001"
    assert rows[7]["duplicate_of"] == "p007"
    assert rows[6]["contaminated_by"] == "gsm8k:5"


def test_truncated_rows_stay_out_whatever_the_filters():
    rows = sample()
    funnel = apply_filters(rows, [], RECIPE | {"filters": ["duplicate"]}, 1)
    assert rows[1]["status"] == "truncated"
    assert rows[2]["status"] == "unparsed"
    assert funnel["filters"]["1 earlier"] == {"in": 9, "rejected": 2, "out": 7}


def test_execution_filters():
    rows = [
        problem(1, executed=True, answer_agrees=True),
        problem(2, executed=False, status="not_executed"),
        problem(3, executed=True, answer_agrees=False, status="disagrees"),
        problem(4),
    ]
    recipe = RECIPE | {"filters": ["executed", "answer_agrees"]}
    funnel = apply_filters(rows, [], recipe, 1)
    assert [row["status"] for row in rows] == ["kept", "not_executed", "disagrees", "not_executed"]
    assert funnel["filters"]["1 executed"]["rejected"] == 2


def test_an_unknown_filter_is_named():
    with pytest.raises(
        io.UserError, match=r'"duplicates" is not one of .*Did you mean "duplicate"'
    ):
        apply_filters([problem(1)], [], RECIPE | {"filters": ["duplicates"]}, 1)


def test_a_filter_may_take_a_limit(monkeypatch):
    def wordy(row, limit):
        return "wordy" if len(words(row["question"])) > limit else None

    monkeypatch.setitem(FILTERS, "at_most_words", Filter(("wordy",), each_row(wordy)))
    monkeypatch.setitem(filter_names.LIMITS, "at_most_words", "words")
    rows = [
        problem(1, "one two three"),
        problem(2, "one two three four"),
        problem(3, "one", answer=""),
    ]
    recipe = RECIPE | {"filters": [{"at_most_words": 3}, "complete"]}
    funnel = apply_filters(rows, [], recipe, 1)
    assert [row["status"] for row in rows] == ["kept", "wordy", "incomplete"]
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
            apply_filters(rows, [], RECIPE | {"filters": [entry]}, 1)


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
    assert [row["problem_id"] for row in kept] == ["p001"]
    assert kept[0] == sample()[0]
    assert len(rejected) == 8
    assert io.read_json(tmp_path / "report.json")["kept"] == 1
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
