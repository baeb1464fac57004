"""Benchmarks of any shape become one table, by configuration alone."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jz3 import io, records
from jz3.benchmarks import prepare as benchmarks
from jz3.io import UserError
from jz3.workflow.checks import mistakes

FIELDS = {"question": "{q}", "answer": "{a}"}
ROOT = Path(__file__).parents[2]
REAL = ROOT / "tests" / "real" / "benchmarks"


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prepare(entry, *files, seed=1):
    return benchmarks.prepare(entry, "mine", "test", list(files), seed)


# ---------------------------------------------------------------- gold answers


@pytest.mark.parametrize(
    ("how", "text", "answer"),
    [
        ("whole", " x + 1 ", "x + 1"),
        ("number", "9 apples", "9"),
        ("number", "$1,234.50 in all", "1234.50"),
        ("number", "145.0", "145"),
        ("number", "-3 degrees", "-3"),
        ("number", "5/2", "5/2"),
        ("number", "128 m^2", "128"),
        ("number", "10.", "10"),
        ("after_hashes", "It is 3 + 5 = 8.\n#### 8", "8"),
        ("after_hashes", "#### 3\nno:\n#### 1,080", "1080"),
        ("boxed", r"so $\boxed{\frac{1}{2}}$, or \boxed{x_{1}}.", "x_{1}"),
        ("boxed", r"$\boxed{\left\{ 1 \right\}}$", r"\left\{ 1 \right\}"),
        ("boxed", r"it is $\boxed 2$", "2"),
        ("letter", "(b)", "B"),
        ("letter", "2", "C"),
        ("letter", "red", "A"),
    ],
)
def test_gold_answers_by_hand(how, text, answer):
    assert benchmarks.take(text, how, ["red", "blue", "green"]) == (answer, "")


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("whole", "  "), ("number", "Yes"), ("number", "February 3rd"), ("number", "6 cm; 15 cm"),
        ("number", "3:30 p.m."), ("after_hashes", "8"), ("boxed", "8"), ("boxed", r"\boxed{8"),
        ("letter", "D"), ("letter", "3"), ("letter", "pink"),
    ],
)  # fmt: skip
def test_rows_without_a_gold_answer_say_why(how, text):
    answer, reason = benchmarks.take(text, how, ["red", "blue", "green"])
    assert answer == ""
    assert reason


@pytest.mark.parametrize(
    ("value", "choices"),
    [
        (["A)5", "B)6", "C) 7"], ["5", "6", "7"]),
        (["one", "two"], ["one", "two"]),
        (["A) a point", "plain"], ["A) a point", "plain"]),
        ("A) $f(-6)=0$ B) (x, y) C) 7", ["$f(-6)=0$", "(x, y)", "7"]),
        ("A. 1.5 B. See A) here C. 3", ["1.5", "See A) here", "3"]),
        ("(A) left (B) right", ["left", "right"]),
        ([], []),
    ],
)
def test_choices(value, choices):
    assert benchmarks.split_choices(value) == choices


@pytest.mark.parametrize("value", ["red, blue", 7, {"A": "red"}])
def test_choices_of_unknown_form(value):
    with pytest.raises(ValueError, match="choices"):
        benchmarks.split_choices(value)


# ---------------------------------------------------------------- files and fields

ROWS = [{"q": f"What is {n} + 1?", "a": str(n + 1)} for n in range(12)]


def write_as(kind, path, rows):
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "json":
        path.write_text(json.dumps(rows, indent=1))
    elif kind == "csv":
        path.write_text("\ufeffq,a\n" + "".join(f'"{r["q"]}",{r["a"]}\n' for r in rows))
    else:
        lines(path, rows)
    return path


@pytest.mark.parametrize("kind", ["parquet", "json", "csv", "jsonl"])
@pytest.mark.parametrize("suffix", ["right", "none"])
def test_every_file_format_gives_the_same_rows(tmp_path, kind, suffix):
    path = tmp_path / ("data" if suffix == "none" else f"data.{kind}")
    rows, notes = prepare({"fields": FIELDS}, write_as(kind, path, ROWS))
    expected, _ = prepare({"fields": FIELDS}, lines(tmp_path / "l.jsonl", ROWS))
    assert rows == expected
    assert {row["question"]: row["answer"] for row in rows}["What is 4 + 1?"] == "5"
    assert notes == ["benchmark mine, split test: 12 rows read, 12 problems taken"]


@given(st.integers(1, 12), st.integers(0, 99))
def test_choice_of_problems_ignores_file_order_and_seed(tmp_path_factory, wanted, seed):
    folder = tmp_path_factory.mktemp("order")
    shuffled = ROWS[:]
    random.Random(seed).shuffle(shuffled)
    entry = {"fields": FIELDS, "problems": wanted}
    rows, _ = prepare(entry, lines(folder / "a", ROWS), seed=1)
    again, _ = prepare(
        entry, lines(folder / "b", shuffled[:5]), lines(folder / "c", shuffled[5:]), seed=seed
    )
    assert again == rows
    assert len(rows) == wanted


def test_templates_worked_solutions_and_subjects(tmp_path):
    worked = "He has 4*2=<<4*2=8>>8 pens.\nSo 8-3=<<8-3=5>>5 are left.\n#### 5"
    row = {"body": "A pen. ", "ask": "How many?", "value": 5.0, "text": worked, "kind": None}
    entry = {
        "fields": {
            "question": "{body}{ask}", "answer": "{text}", "solution": "{text}", "subject": "s{kind}",
        },
        "take": "after_hashes",
        "clean": ["calculator"],
    }  # fmt: skip
    (made,), _ = prepare(entry, lines(tmp_path / "f", [row]))
    assert made["question"] == "A pen. How many?"
    assert made["answer"] == "5"
    assert made["subject"] == "s"
    assert made["solution"] == ("He has 4*2=8 pens.\nSo 8-3=5 are left.\nThe answer is \\boxed{5}.")
    entry = {"fields": {"question": "{ask}", "answer": "{value}"}}
    assert prepare(entry, lines(tmp_path / "f", [row]))[0][0]["answer"] == "5"


def test_boxed_solutions_stay_as_they_are(tmp_path):
    row = {"q": "?", "s": r"It is $\boxed{\frac12}$, of course."}
    entry = {"fields": {"question": "{q}", "answer": "{s}", "solution": "{s}"}, "take": "boxed"}
    (made,), _ = prepare(entry, lines(tmp_path / "f", [row]))
    assert (made["answer"], made["solution"]) == (r"\frac12", row["s"])


def test_parts_in_brackets_need_their_column(tmp_path):
    """The question of TabMWP as the release words it: title and options only where given."""
    question = 'Read the table[ "{title}"]:\n{table}\n{q}[ Select from: {choices}] [x]'
    rows = [
        {"title": "Sales", "table": "a | 1", "q": "Which?", "choices": ["yes", "no"], "a": "no"},
        {"title": None, "table": "b | 2", "q": "How many?", "choices": None, "a": "2"},
    ]
    entry = {"fields": {"question": question, "answer": "{a}"}}
    made = {
        row["answer"]: row["question"] for row in prepare(entry, lines(tmp_path / "f", rows))[0]
    }
    assert made["no"] == 'Read the table "Sales":\na | 1\nWhich? Select from: ["yes", "no"] [x]'
    assert made["2"] == "Read the table:\nb | 2\nHow many? [x]"


def test_full_stops_between_the_parts_of_a_question(tmp_path):
    rows = [
        {"b": " Two pens", "q": "How many?"},
        {"b": "He has 3.", "q": "Why?"},
        {"b": "If so,", "q": "2"},
    ]
    entry = {"fields": {"question": "{b} {q}", "answer": "{b}"}, "clean": ["full_stop"]}
    made, _ = prepare(entry, lines(tmp_path / "f", rows))
    assert {row["answer"]: row["question"] for row in made} == {
        "Two pens": "Two pens. How many?", "He has 3.": "He has 3. Why?", "If so,": "If so, 2.",
    }  # fmt: skip


def test_unusable_rows_are_dropped_and_counted(tmp_path):
    rows = [{"q": "a", "a": "9 (apples)"}, {"q": "b", "a": "Yes"}, {"q": "c", "a": "1; 2"}]
    made, notes = prepare({"fields": FIELDS, "take": "number"}, lines(tmp_path / "f", rows))
    assert [row["answer"] for row in made] == ["9"]
    assert notes[0].endswith("3 rows read, 1 problems taken")
    assert notes[1].endswith("1 rows dropped: no number in the answer")
    assert notes[2].endswith("1 rows dropped: several numbers in the answer")
    entry = {"fields": FIELDS, "take": "whole", "clean": ["parentheses"]}
    made, _ = prepare(entry, lines(tmp_path / "f", rows))
    assert {row["answer"] for row in made} == {"9", "Yes", "1; 2"}


def test_repeated_problems_have_ids_of_their_own(tmp_path):
    rows, _ = prepare({"fields": FIELDS}, lines(tmp_path / "f", [*ROWS, ROWS[0], ROWS[0]]))
    assert len({row["problem_id"] for row in rows}) == len(rows) == 14


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("[]", "holds no rows"),
        ('{"q": "x", "a": "1"}\n{"q": ', "line 2: not valid JSON"),
        ('[{"q": "x"}, 3]', "row 2: not an object"),
        ("q,a\nx,1\ny\n", "line 3: not 2 values"),
        ("q,a\nx,1,2\n", "line 2: not 2 values"),
        ("PAR1 but torn", "not a readable Parquet file"),
    ],
)
def test_malformed_files(tmp_path, content, message):
    (tmp_path / "data").write_text(content)
    with pytest.raises(UserError, match=message) as error:
        prepare({"fields": FIELDS}, tmp_path / "data")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"fields": {"question": "{qq}", "answer": "{a}"}}, 'no column "qq".*Columns found: q, a'),
        ({"fields": {"question": "{q}"}}, "does not say what the answer is"),
        ({"fields": {**FIELDS, "topic": "{q}"}}, 'unknown field "topic"'),
        ({"fields": FIELDS, "take": "hashes"}, 'unknown take "hashes"'),
        ({"fields": FIELDS, "clean": ["calculators"]}, 'Did you mean "calculator"'),
        ({"fields": FIELDS, "take": "boxed"}, r'no answer in any of 12 rows with take "boxed"'),
        ({"fields": FIELDS, "problems": 13}, "13 problems asked for, 12 of 12 rows"),
        ({"fields": {**FIELDS, "choices": "q"}}, 'column "q": choices do not start'),
        ({"generator": "word_problem", "problems": 3}, 'Did you mean "word_problems"'),
        ({"generator": "word_problems"}, "needs `problems`"),
    ],
)
def test_user_errors_are_one_line(tmp_path, entry, message):
    with pytest.raises(UserError, match=message) as error:
        prepare(entry, lines(tmp_path / "f", ROWS))
    assert "\n" not in str(error.value)


def test_no_files_and_no_such_file(tmp_path):
    with pytest.raises(UserError, match="no generator, source, dataset or files"):
        prepare({"fields": FIELDS})
    with pytest.raises(UserError, match="No such file"):
        prepare({"fields": FIELDS}, tmp_path / "absent")


# ---------------------------------------------------------------- the program


def run(tmp_path, *options):
    program = Path(__file__).resolve().parents[2] / "scripts" / "prepare_benchmark.py"
    return subprocess.run(
        [sys.executable, program, "--benchmark", "b", "--split", "test", *map(str, options)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip


def test_program_writes_generated_problems_with_equal_bytes(tmp_path):
    recipe = json.dumps({"split": {"generator": "word_problems", "problems": 20}})
    for name in ("one", "two"):
        done = run(tmp_path, "--recipe", recipe, "--seed", 17, "--output", name)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    rows = io.read_rows(tmp_path / "one", records.BENCHMARK)
    assert len({row["problem_id"] for row in rows}) == 20
    assert all(row["program"] and row["solution"] and row["choices"] == [] for row in rows)


def test_program_reads_choices_from_files(tmp_path):
    path = lines(tmp_path / "f", [{"q": "Which?", "o": ["A)1", "B)2"], "a": "B"}])
    split = {"files": ["f"], "fields": {**FIELDS, "choices": "o"}, "take": "letter"}
    done = run(
        tmp_path, "--recipe", json.dumps({"split": split}), "--files", path, "--output", "out"
    )
    assert done.returncode == 0, done.stderr
    (row,) = io.read_rows(tmp_path / "out", records.BENCHMARK)
    assert (row["answer"], row["choices"]) == ("B", ["1", "2"])


def test_program_reports_a_mistake_in_one_line(tmp_path):
    path = lines(tmp_path / "f", ROWS)
    fields = {"question": "{question}", "answer": "{a}"}
    recipe = json.dumps({"split": {"files": ["f"], "fields": fields, "take": "whole"}})
    done = run(tmp_path, "--recipe", recipe, "--files", path, "--output", "out")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert 'no column "question"' in done.stderr
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- the documented overlay

OWN = {
    "quiz": (
        [{"task": "2 and 5 apples?", "result": "7 apples"}, {"task": "How much?", "result": "$1,200"}],
        {"7", "1200"},
    ),
    "algebra": ([{"problem": "Expand.", "answer": "x^2 + 1"}], {"x^2 + 1"}),
    "exam": (
        [{"stem": "Which?", "options": ["3", "4"], "key": "B"},
         {"stem": "What?", "options": "A) 3 B) 4", "key": 0},
         {"stem": "Who?", "options": ["he", "she"], "key": "she"}],
        {"A", "B"},
    ),
}  # fmt: skip


def test_documented_overlay_is_all_that_a_new_benchmark_takes(tmp_path):
    text = (ROOT / "docs/benchmarks.md").read_text()
    overlay = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    for section, entries in overlay.items():
        config[section] |= entries
    for name, (rows, answers) in OWN.items():
        split = overlay["benchmarks"][name]["splits"]["test"]
        path = tmp_path / split["files"][0]
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".csv":
            path.write_text("\n".join([",".join(rows[0]), *(",".join(r.values()) for r in rows)]))
        elif path.suffix == ".json":
            path.write_text(json.dumps(rows))
        else:
            lines(path, rows)
        made, _ = benchmarks.prepare(split, name, "test", [path], 1)
        assert len(made) == len(rows)
        assert {row["answer"] for row in made} == answers
    for part in ("resources", "tests"):
        (tmp_path / part).symlink_to(ROOT / part)
    assert mistakes(config, tmp_path) == []


# ---------------------------------------------------------------- published sets

PAPER = yaml.safe_load((ROOT / "config.paper.yaml").read_text())
TABLE = "a | b\n1 | 2"
# One problem of ours in the shape of each published file, and what it becomes.
SHAPES = {
    "gsm8k": ({"question": "How many?", "answer": "3+5=<<3+5=8>>8\n#### 1,008"}, "How many?", "1008"),
    "math": ({"problem": "Find $x$.", "solution": "$\\boxed{\\frac12}$.", "type": "Algebra"},
             "Find $x$.", "\\frac12"),
    "math500": ({"problem": "Find.", "solution": "", "answer": "(3, \\pi)"}, "Find.", "(3, \\pi)"),
    "svamp": ({"Body": "He has 2 bags", "Question": "How many?", "Answer": 145.0},
              "He has 2 bags. How many?", "145"),
    "asdiv": ({"body": "Two pens.", "question": "How many? ", "answer": "2 (pens)"},
              "Two pens. How many?", "2"),
    "mawps": ({"input": "How many?", "target": 2.5, "type": "addsub"}, "How many?", "2.5"),
    "carp_en": ({"content": "Solve.", "answer": "x=2", "steps": ["x=2"]}, "Solve.", "x=2"),
    "gsm_hard": ({"input": "How many?", "code": "def f(): pass", "target": -9867630.0},
                 "How many?", "-9867630"),
    "tabmwp": ({"question": "Which?", "choices": None, "answer": "3/4", "table_title": "", "table": TABLE},
               f"Read the following table and answer a question:\n{TABLE}\nWhich?", "3/4"),
    "aqua": ({"question": "Which?", "options": ["A)1", "B)2", "C)3", "D)4", "E)5"], "correct": "E"},
             "Which?", "E"),
    "sat_math": ({"question": "Which?", "options": "A) $f(1)=2$ B) 2 C) 3 D) 4", "Answer": "B"},
                 "Which?", "B"),
    "mmlu_stem": ({"question": "Which?", "choices": ["1", "2", "3", "4"], "answer": 3, "type": "biology"},
                  "Which?", "D"),
    "minerva_math": ({"problem": "Find it.", "solution": "So \\boxed{1.6e3} cm.", "type": "x"},
                     "Find it.", "1.6e3"),
}  # fmt: skip


@pytest.mark.parametrize("name", PAPER["benchmarks"])
def test_published_shapes_load_by_the_paper_configuration(name, tmp_path):
    row, question, answer = SHAPES[name]
    entry = {**PAPER["benchmarks"][name]["splits"]["test"], "size": 1}
    (made,), _ = prepare(entry, lines(tmp_path / "f", [row]))
    assert (made["question"], made["answer"]) == (question, answer)
    assert len(made["choices"]) == {"aqua": 5, "sat_math": 4, "mmlu_stem": 4}.get(name, 0)


def published():
    folders = {"gsm8k_test": "gsm8k/test", "gsm8k_train": "gsm8k/train", "math_test": "math/test"}
    for name, entry in PAPER["benchmarks"].items():
        for split, part in entry["splits"].items():
            place = part.get("source") or part["dataset"]
            path = REAL / f"{folders.get(place, f'{name}/{split}')}.jsonl"
            if path.exists():
                yield pytest.param(name, split, part, path, id=f"{name}-{split}")


@pytest.mark.skipif(not REAL.is_dir(), reason="tests/real/benchmarks is not on this machine")
@pytest.mark.parametrize(("name", "split", "part", "path"), list(published()))
def test_published_files_load_by_the_paper_configuration(name, split, part, path):
    """Every problem of every file is usable, and the digest is that of the configuration."""
    rows, _ = benchmarks.prepare(part, name, split, [path], 1)
    assert len(rows) == part["size"]
    if "source" in part:
        assert io.file_digest(path) == PAPER["sources"][part["source"]]["sha256"]
    for start, answer in GOLD.get(name, {}).items():
        found = {row["answer"] for row in rows if row["question"].startswith(start)}
        assert not found or answer in found


GOLD = {
    "gsm8k": {"Janet’s ducks": "18", "Natalia sold clips": "72"},
    "math": {"How many vertical asymptotes does the graph of $y=\\frac{2}": "2"},
    "svamp": {"There are 87 oranges and 290 bananas": "145"},
    "asdiv": {"Seven red apples": "9"},
    "aqua": {"A car is being driven, in a straight line": "A"},
    "mmlu_stem": {"Based on the characteristic population curves": "C"},
    "minerva_math": {"Each of the two Magellan telescopes": "1.6"},
}
