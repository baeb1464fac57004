"""Tables of results: every number traced, nothing of the paper invented, errors in one line."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jz3.io import UserError, file_digest, write_json, write_table
from jz3.records import ANSWERS, GRADES
from jz3.report import figures, funnel_figure
from jz3.tables import intervals, layout, score_table, sidecar
from jz3.tables.published import read_published

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "resources" / "paper" / "main.csv"
SIX = ["gsm8k", "math500", "svamp", "asdiv", "mawps", "carp_en"]


def write_grades(
    results: Path, model: str, benchmark: str, right, *, mode="cot", other=None
) -> Path:
    """right: per problem the verdicts of its samples ("10" = first right, second wrong)."""
    other = other or right
    rows = [
        {
            "problem_id": f"{benchmark}{number:04d}", "benchmark": benchmark, "sample": sample,
            "gold": "1", "predicted": "1", "strict": mark == "1",
            "released": other[number][sample] == "1",
        }
        for number, marks in enumerate(right)
        for sample, mark in enumerate(marks)
    ]  # fmt: skip
    path = results / "evaluation" / model / mode / benchmark / "grades.parquet"
    write_table(path, rows, GRADES, {"program": "test", "code": "of the grader"})
    write_table(path.with_name("answers.parquet"), [], ANSWERS, {"code": f"of {model}"})
    return path


def marks(right: int, n: int, shift: int = 0) -> list[str]:
    return ["1" if shift <= k < shift + right else "0" for k in range(n)]


def recipe(**changes) -> dict:
    return {
        "mode": "cot", "models": ["base", "jiuzhang"], "benchmarks": ["asdiv", "word_problems"],
        "verdict": "strict", "confidence": 0.95,
    } | changes  # fmt: skip


@pytest.fixture
def grades(tmp_path) -> list[Path]:
    return [
        write_grades(tmp_path, "base", "asdiv", marks(7, 200)),
        write_grades(tmp_path, "base", "word_problems", marks(2, 100)),
        write_grades(tmp_path, "jiuzhang", "asdiv", marks(45, 200, 5), other=marks(46, 200, 5)),
        write_grades(tmp_path, "jiuzhang", "word_problems", marks(4, 100)),
    ]


def cells(rows) -> dict:
    return {(row["row"], row["benchmark"]): row for row in rows}


# ---------------------------------------------------------------- the paper's numbers


def test_published_table_is_whole_and_its_averages_hold():
    published = read_published(PAPER)
    assert published.benchmarks == tuple(SIX)
    assert len(published.values) == 18
    assert published.values["JiuZhang3.0-7B"] == {
        "gsm8k": 88.6, "math500": 52.8, "svamp": 90.4, "asdiv": 92.6, "mawps": 97.3,
        "carp_en": 51.0, "average": 78.8,
    }  # fmt: skip
    off = []
    for model, values in published.values.items():
        if "average" in values:
            mean = sum(values[name] for name in SIX) / 6
            if abs(mean - values["average"]) > 0.0501:
                off.append((model, values["average"], round(mean, 1)))
    assert off == [("MAmmoTH2-7B-Plus", 75.2, 75.4)]
    assert "75.4" in published.notes["MAmmoTH2-7B-Plus"]
    assert set(published.values["ChatGLM-Math-32B"]) == {"gsm8k", "math500"}
    assert all(published.sources.values())


def test_every_paper_cell_is_the_files_and_missing_ones_are_empty(tmp_path):
    paths = [write_grades(tmp_path, "ours", name, marks(3, 9)) for name in SIX]
    rows = score_table.build("t", paths, PAPER, recipe(models=["ours"], benchmarks=SIX), 1)
    with PAPER.open(newline="") as stream:
        printed = {row["model"]: row for row in csv.DictReader(stream)}
    paper = [row for row in rows if row["kind"] == "paper"]
    assert len(paper) == 18 * 7
    for row in paper:
        assert row["score"] == printed[row["row"]][row["benchmark"]]
        assert row["low"] == row["p"] == row["n"] == row["grades_digest"] == ""
    text = layout.markdown(layout.layout(rows))
    line = next(line for line in text.splitlines() if "ChatGLM" in line)
    assert [cell.strip() for cell in line.split("|")[3:-1]] == ["82.6", "40.6", *"-----"]
    assert "recomputed from the row: 75.4" in text


def test_paper_average_only_over_its_own_benchmarks(grades):
    rows = cells(score_table.build("main", grades, PAPER, recipe(), 1))
    assert rows["JiuZhang3.0-7B", "asdiv"]["score"] == "92.6"
    assert rows["JiuZhang3.0-7B", "word_problems"]["score"] == ""
    assert rows["JiuZhang3.0-7B", "average"]["score"] == ""
    assert ("ChatGLM-Math-32B", "asdiv") not in rows  # nothing published for these benchmarks


# ---------------------------------------------------------------- our numbers


def test_numbers_and_where_they_come_from(grades):
    rows = cells(score_table.build("main", grades, PAPER, recipe(subsets=["asdiv"]), 1))
    cell = rows["jiuzhang", "asdiv"]
    assert (cell["kind"], cell["n"], cell["correct"], cell["samples"]) == (
        "this run",
        "200",
        "45",
        "1",
    )
    assert float(cell["score"]) == 22.5
    # Wilson, 45 of 200: (17.26, 28.77)
    assert float(cell["low"]) == pytest.approx(17.26, abs=0.01)
    assert float(cell["high"]) == pytest.approx(28.77, abs=0.01)
    assert cell["grades_digest"] == file_digest(grades[2])[:16]
    assert cell["source"] == "evaluation/jiuzhang/cot/asdiv/grades.parquet"
    assert (cell["subset"], rows["jiuzhang", "word_problems"]["subset"]) == ("yes", "no")
    average = rows["jiuzhang", "average"]
    assert float(average["score"]) == pytest.approx((22.5 + 4) / 2)
    assert float(average["low"]) < 13.25 < float(average["high"])
    # right only in base: problems 0-4; only in jiuzhang: 7-49. Two tests, so Holm doubles it.
    assert float(cell["p"]) == pytest.approx(
        2 * 2 * sum(map(_choose48, range(6))) / 2**48, rel=1e-4
    )
    assert rows["base", "asdiv"]["p"] == rows["base", "asdiv"]["gain"] == ""
    assert float(cell["gain"]) == 19.0
    assert float(cell["gain_low"]) < 19 < float(cell["gain_high"])


def _choose48(k: int) -> int:
    import math

    return math.comb(48, k)


def test_verdicts_against_a_published_row(tmp_path):
    paths = [
        write_grades(tmp_path, "near", "asdiv", marks(184, 200)),
        write_grades(tmp_path, "under", "asdiv", marks(150, 200)),
        write_grades(tmp_path, "over", "asdiv", marks(200, 200)),
    ]
    models = ["near", "under", "over"]
    beside = {name: {"paper_row": "JiuZhang3.0-7B"} for name in models}
    made = score_table.build(
        "t", paths, PAPER, recipe(models=models, benchmarks=["asdiv"], rows=beside), 1
    )
    rows = cells(made)
    assert {name: rows[name, "asdiv"]["verdict"] for name in models} == {
        "near": "within noise", "under": "below", "over": "above",
    }  # fmt: skip
    assert float(rows["under", "asdiv"]["difference"]) == pytest.approx(75 - 92.6)
    assert rows["under", "asdiv"]["paper"] == "92.6"
    assert ("near", "average") not in rows  # one benchmark has no average
    assert "Against the paper" in layout.markdown(layout.layout(made))


def test_a_value_that_only_rounding_puts_outside_is_inside(tmp_path):
    """190 of 200: the interval ends at 97.26; the paper prints 97.3, which may be 97.25."""
    path = write_grades(tmp_path, "ours", "mawps", marks(190, 200))
    beside = {"ours": {"paper_row": "JiuZhang3.0-7B"}}
    settings = recipe(models=["ours"], benchmarks=["mawps"], rows=beside)
    cell = cells(score_table.build("t", [path], PAPER, settings, 1))["ours", "mawps"]
    assert float(cell["high"]) < float(cell["paper"]) == 97.3
    assert cell["verdict"] == "within noise"


def test_every_cell_says_why_it_has_no_comparison(tmp_path):
    """Not published, unknown, not run: three different things, and none of them a blank."""
    names = ["gsm8k", "carp_en", "tabmwp"]
    paths = [write_grades(tmp_path, "ours", name, marks(5, 9)) for name in names]
    settings = recipe(
        models=["ours"], benchmarks=names, rows={"ours": {"paper_row": "ChatGLM-Math-32B"}}
    )
    made = score_table.build("t", paths, PAPER, settings, 1)
    ours = [row for row in made if row["row"] == "ours"]
    assert {row["benchmark"]: (row["paper"], row["verdict"]) for row in ours} == {
        "gsm8k": ("82.6", "below"),
        "carp_en": ("", "not published"),
        "tabmwp": ("", "unknown"),
        "average": ("", ""),
        "math500": ("40.6", "not run"),
    }
    paper = {row["row"]: row["verdict"] for row in made if row["benchmark"] == "gsm8k"}
    assert paper["GPT-4"] == "not run"
    assert paper["ChatGLM-Math-32B"] == ""
    text = layout.markdown(layout.layout(made))
    lines = [re.sub(" +", " ", line) for line in text.splitlines() if line.startswith("| ours")]
    assert "| ours | carp\\_en | not published | 55.6 \\[26.7, 81.1\\] | - | - |" in lines
    assert "| ours | tabmwp | unknown | 55.6 \\[26.7, 81.1\\] | - | - |" in lines
    assert "| ours | math500 | 40.6 | - | - | not run |" in lines
    assert "no source at hand verifies it" in text
    header = next(line for line in text.splitlines() if line.startswith("| model"))
    assert "math500" not in header
    alone = score_table.build("t", paths, None, settings, 1)
    assert {row["verdict"] for row in alone if row["benchmark"] != "average"} == {"unknown"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"verdict": "released"}, "graded by the authors' released rules, on"),
        ({"verdict": "strict"}, "graded by this workflow's strict rules, on"),
        ({"sizes": {"asdiv": 200}}, "asdiv (all 200 problems), word"),
        ({"subsets": ["asdiv"]}, "asdiv (a fixed 200 problems), word"),
        ({"subsets": ["asdiv"], "sizes": {"asdiv": 2305}}, "asdiv (a fixed 200 of 2,305 problems)"),
    ],
)
def test_caption_says_whose_verdict_and_which_problems(grades, changes, says):
    sheet = layout.layout(score_table.build("main", grades, PAPER, recipe(**changes), 1))
    assert says in sheet.caption
    assert says in layout.latex(sheet).replace("\\_", "_")


def test_several_samples_are_averaged(tmp_path):
    paths = [
        write_grades(tmp_path, "base", "asdiv", ["10", "00", "00", "01"]),
        write_grades(tmp_path, "jiuzhang", "asdiv", ["11", "10", "00", "11"]),
    ]
    made = score_table.build("t", paths, None, recipe(benchmarks=["asdiv"]), 1)
    cell = cells(made)["jiuzhang", "asdiv"]
    assert (cell["n"], cell["correct"], cell["samples"]) == ("4", "5", "2")
    assert float(cell["score"]) == 62.5
    assert (
        float(cell["p"]) == 2 * 1 / 8
    )  # differences 1, 1, 0, 1 of two: only all one way is as far
    text = layout.markdown(layout.layout(made))
    assert "mean over 2 sampled answers" in text
    # Both answers of a problem are the same text here, so the majority is as right as the mean is;
    # three of four problems have a right answer.
    assert (float(cell["majority"]), float(cell["pass"])) == (62.5, 75.0)
    low, high = intervals.wilson(3, 4, 0.95)
    assert float(cell["pass_low"]) == pytest.approx(100 * low, abs=1e-4)
    assert float(cell["pass_high"]) == pytest.approx(100 * high, abs=1e-4)
    assert "| model | benchmark | mean (pass@1) | maj@2 | pass@2 |" in text
    assert "| jiuzhang | asdiv | 62.5 | 62.5 \\[" in text
    single = score_table.build(
        "t", paths[:1], None, recipe(models=["base"], benchmarks=["asdiv"]), 1
    )
    assert single[0]["samples"] == "2"


def test_with_one_answer_per_problem_there_is_no_majority(grades):
    made = score_table.build("main", grades, None, recipe(), 1)
    assert {row["majority"] + row["pass"] for row in made} == {""}
    assert "maj@" not in layout.markdown(layout.layout(made))


def test_order_is_the_configurations_and_bytes_are_stable(grades):
    first = score_table.to_csv(score_table.build("main", grades, PAPER, recipe(), 1))
    assert first == score_table.to_csv(score_table.build("main", grades[::-1], PAPER, recipe(), 1))
    swapped = recipe(models=["jiuzhang", "base"], benchmarks=["word_problems", "asdiv"])
    rows = score_table.build("main", grades, PAPER, swapped, 1)
    ours = [(row["row"], row["benchmark"]) for row in rows if row["kind"] == "this run"]
    assert [name for name, _ in ours] == ["jiuzhang"] * 3 + ["base"] * 3
    assert [name for _, name in ours[:3]] == ["word_problems", "asdiv", "average"]


# ---------------------------------------------------------------- as text

GOLDEN = """\
# Table main

Accuracy in percent, natural-language solutions (cot), graded by this workflow's strict rules, on \
asdiv (a fixed 200 of 2,305 problems), word\\_problems (100 problems).

| model |  | asdiv | word\\_problems | average |
| --- | --- | ---: | ---: | ---: |
| Tiny\\_1 | paper | 30.0 | - | - |
| base | this run | 3.5 \\[1.7, 7.0\\] 7/200 | 2.0 \\[0.6, 7.0\\] 2/100 | 2.8 \\[1.6, 5.8\\] |
| jiuzhang | this run | 22.5\\* \\[17.3, 28.8\\] 45/200 | 4.0 \\[1.6, 9.8\\] 4/100 | 13.2 \\[10.4, 17.5\\] |

- In brackets: 95 % Wilson intervals. k/n: correct of all answers.
- average: unweighted mean of the benchmarks of this table; the paper's is over other benchmarks, \
and left out.
- \\*: differs from base on the same problems (exact McNemar test, corrected by Holm over the \
table, p \\< 0.05).
- Points over base: 95 % paired bootstrap intervals.
- Paper: as published by the authors, on the full test sets; "-": not published. Rows that no model \
of this table replicates were not run.
- By the released rules the correct answers are: jiuzhang on asdiv 46.
"""


def test_golden_markdown(grades, tmp_path):
    paper = tmp_path / "paper.csv"
    paper.write_text("model,asdiv,average,source,note\nTiny_1,30.0,30.0,a table,\n")
    settings = recipe(subsets=["asdiv"], sizes={"asdiv": 2305})
    rows = score_table.build("main", grades, paper, settings, 1)
    text = layout.markdown(layout.layout(rows))
    assert text.split("\n## ")[0].strip() == GOLDEN.strip()
    assert "| jiuzhang | asdiv | +19.0 |" in text


def test_csv_comes_back_the_same(grades, tmp_path):
    rows = score_table.build("main", grades, PAPER, recipe(), 1)
    path = tmp_path / "main.csv"
    path.write_text(score_table.to_csv(rows))
    assert score_table.read_csv(path) == rows
    assert layout.layout(score_table.read_csv(path)) == layout.layout(rows)
    assert path.read_text().startswith(
        "table,row,kind,benchmark,mode,score,low,high,n,correct,paper,difference,verdict,p,"
        "grades_digest,source,"
    )


def test_latex_is_escaped_and_balanced(tmp_path):
    paper = tmp_path / "paper.csv"
    with paper.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["model", "asdiv", "average", "source", "note"])
        writer.writerow(["A_b & 50% #1 {x} ~^ \\cmd $y$ <z>", "30.0", "30.0", "s", "50% & more"])
    path = write_grades(tmp_path, "my_model", "asdiv", marks(3, 9))
    rows = score_table.build(
        "t_1", [path], paper, recipe(models=["my_model"], benchmarks=["asdiv"]), 1
    )
    text = layout.latex(layout.layout(rows))
    assert (
        r"A\_b \& 50\% \#1 \{x\} \textasciitilde{}\textasciicircum{} \textbackslash{}cmd \$y\$ $<$z$>$"
    ) in text
    assert r"50\% \& more" in text
    assert r"my\_model" in text
    body = [line for line in text.splitlines() if not line.startswith("%")]
    bare = re.sub(r"\\[\\{}&%$#_]", "", "\n".join(body))
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert "%" not in bare
    assert bare.count(r"\begin{tabular}") == bare.count(r"\end{tabular}") == 1
    width = len(re.search(r"begin\{tabular\}\{(\w+)\}", bare)[1])
    for line in body:
        if line.endswith(r"\\"):
            assert len(re.findall(r"(?<!\\)&", line)) == width - 1
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))


# ---------------------------------------------------------------- mistakes


def one_line(call) -> str:
    with pytest.raises(UserError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_missing_grades_are_named(grades):
    text = one_line(lambda: score_table.build("main", grades[:3], PAPER, recipe(), 1))
    assert "evaluation/jiuzhang/cot/word_problems/grades.parquet" in text
    other_mode = recipe(mode="tool")
    assert "tool mode" in one_line(lambda: score_table.build("main", grades, PAPER, other_mode, 1))


def test_grades_of_another_benchmark_or_other_problems(grades, tmp_path):
    wrong = tmp_path / "evaluation" / "base" / "cot" / "asdiv" / "grades.parquet"
    wrong.write_bytes(grades[1].read_bytes())
    assert '"word_problems"' in one_line(
        lambda: score_table.build("main", grades, PAPER, recipe(), 1)
    )
    write_grades(tmp_path, "base", "asdiv", marks(7, 199))
    text = one_line(lambda: score_table.build("main", grades, PAPER, recipe(), 1))
    assert "other problems" in text
    assert "jiuzhang" in text
    write_grades(tmp_path, "base", "asdiv", ["1", "11"])
    assert "1 of 2 samples" in one_line(
        lambda: score_table.build("main", grades, PAPER, recipe(), 1)
    )
    outside = "grades.parquet"
    assert "evaluation/" in one_line(
        lambda: score_table.build("main", [outside], PAPER, recipe(), 1)
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("modell,asdiv,average,source,note\n", '"model" is missing. Did you mean "modell"?'),
        ("model,ASDiv,average,source,note\n", 'unknown column "ASDiv"'),
        ("model,asdiv,average,source,note\nA,9x,,s,\n", 'line 2, column "asdiv": "9x"'),
        ("model,asdiv,average,source,note\nA,101,,s,\n", '"101" is not a percentage'),
        ("model,asdiv,average,source,note\nA,9,,s,\nA,8,,s,\n", "line 3"),
        ("model,asdiv,average,source,note\nA,9\n", "line 2: not 5 columns"),
    ],
)
def test_a_bad_paper_file(grades, tmp_path, text, says):
    paper = tmp_path / "paper.csv"
    paper.write_text(text)
    assert says in one_line(lambda: score_table.build("main", grades, paper, recipe(), 1))


def test_a_misspelt_paper_row_and_repeated_names(grades):
    beside = recipe(rows={"jiuzhang": {"paper_row": "JiuZhang3-7B"}})
    text = one_line(lambda: score_table.build("main", grades, PAPER, beside, 1))
    assert 'Did you mean "JiuZhang3.0-7B"?' in text
    twice = recipe(models=["base", "base"])
    assert "twice" in one_line(lambda: score_table.build("main", grades, PAPER, twice, 1))
    average = recipe(benchmarks=["average"])
    assert "rename" in one_line(lambda: score_table.build("main", grades, PAPER, average, 1))
    absent = PAPER.with_name("none.csv")
    assert "no such file" in one_line(
        lambda: score_table.build("main", grades, absent, recipe(), 1)
    )


# ---------------------------------------------------------------- programs and figures


def run_program(name: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / name, *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


TOLD = {"paper": "", "subsets": [], "sizes": {}, "rows": {}}


def build_arguments(grades, folder: Path, settings: dict) -> list:
    return [
        "--name", "main", "--grades", *grades, "--paper", PAPER, "--seed", 3,
        "--recipe", json.dumps(TOLD | settings), "--csv", folder / "main.csv",
        "--markdown", folder / "main.md", "--latex", folder / "main.tex",
        "--sidecar", folder / "main.json", "--code", "of the table",
    ]  # fmt: skip


def test_program_writes_three_forms_and_fails_in_one_line(grades, tmp_path):
    done = run_program("build_table.py", *build_arguments(grades, tmp_path, recipe()))
    assert done.returncode == 0, done.stderr
    rows = score_table.read_csv(tmp_path / "main.csv")
    assert (tmp_path / "main.md").read_text() == layout.markdown(layout.layout(rows))
    assert (tmp_path / "main.tex").read_text() == layout.latex(layout.layout(rows))
    made = sidecar.read(tmp_path / "main.json")
    assert made["made_by"]["code"] == "of the table"
    assert made["published"] == {"file": str(PAPER), "sha256": file_digest(PAPER)}
    found = {(n["row"], n["benchmark"]): n for n in made["numbers"]}
    shown = [row for row in rows if row["score"]]
    assert set(found) == {(row["row"], row["benchmark"]) for row in shown}
    names = ["evaluation/jiuzhang/cot/asdiv/grades.parquet",
             "evaluation/jiuzhang/cot/word_problems/grades.parquet"]  # fmt: skip
    assert found["jiuzhang", "asdiv"]["files"] == names[:1]
    assert found["jiuzhang", "average"]["files"] == names
    assert found["GPT-4", "asdiv"]["files"] == [str(PAPER)]
    assert found["jiuzhang", "asdiv"]["score"] == 22.5
    behind = made["files"][names[0]]
    assert behind["sha256"] == file_digest(grades[2])
    assert behind["made_by"]["code"] == "of the grader"
    assert behind["answers"]["made_by"]["code"] == "of jiuzhang"
    failed = run_program("build_table.py", *build_arguments(grades[:1], tmp_path / "x", recipe()))
    assert failed.returncode == 1
    assert len(failed.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()
    answers = grades[0].with_name("answers.parquet")
    answers.unlink()
    failed = run_program("build_table.py", *build_arguments(grades, tmp_path, recipe()))
    assert f"{answers}: no such file" in failed.stderr


def test_program_takes_an_empty_paper(grades, tmp_path):
    arguments = build_arguments(grades, tmp_path, recipe())
    arguments[arguments.index(PAPER)] = ""
    assert run_program("build_table.py", *arguments).returncode == 0
    assert all(row["kind"] == "this run" for row in score_table.read_csv(tmp_path / "main.csv"))


def test_score_figure_is_reproducible_and_true(grades, tmp_path):
    settings = recipe(rows={"jiuzhang": {"paper_row": "JiuZhang3.0-7B"}})
    rows = score_table.build("main", grades, PAPER, settings, 1)
    figures.scores(tmp_path / "a.svg", rows)
    figures.scores(tmp_path / "b.svg", rows)
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert "<dc:date>" not in text
    for shown in (
        ">22.5<",
        ">3.5<",
        ">asdiv<",
        ">word_problems<",
        ">jiuzhang<",
        ">published models<",
    ):
        assert shown in text
    without = [row for row in rows if row["kind"] == "this run"]
    figures.scores(tmp_path / "c.svg", without)
    assert "published models" not in (tmp_path / "c.svg").read_text()


def test_score_panels_show_the_range_that_their_values_need(grades):
    rows = score_table.build("main", grades, PAPER, recipe(), 1)
    low, high = figures._score_range(rows, "asdiv")  # ours from 1.7 %, published up to 94.3 %
    assert -3 <= low < 1.7
    assert 94.3 < high <= 103
    low, high = figures._score_range(rows, "word_problems")  # 0.6 % to 9.8 %, nothing published
    assert low < 0.6
    assert 9.8 < high < 25
    # Of a benchmark that no row of the table is measured on, nothing is drawn.
    beside = recipe(rows={"jiuzhang": {"paper_row": "JiuZhang3.0-7B"}})
    rows = score_table.build("main", grades, PAPER, beside, 1)
    assert any(row["kind"] == "not run" for row in rows)
    figures.scores(grades[0].with_name("s.svg"), rows)
    assert ">gsm8k<" not in grades[0].with_name("s.svg").read_text()


def test_loss_figure(tmp_path):
    for name, stages in (("small", ["pretrain"] * 4 + ["finetune"] * 3), ("one", ["finetune"])):
        path = tmp_path / "models" / name / "history.jsonl"
        path.parent.mkdir(parents=True)
        lines = [
            json.dumps({"step": k, "tokens": 1000 * (k + 1), "loss": 3 - k / 5, "stage": stage})
            for k, stage in enumerate(stages)
        ]
        path.write_text("\n".join(lines) + "\n")
    paths = sorted(tmp_path.rglob("history.jsonl"))
    figures.losses(tmp_path / "a.svg", paths)
    figures.losses(tmp_path / "b.svg", paths[::-1])
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for shown in (">models<", ">small<", ">one<", ">finetune<", ">tokens<"):
        assert shown in text
    paths[0].write_text('{"step": 1, "loss": 2.0}\n')
    assert "line 1" in one_line(lambda: figures.losses(tmp_path / "c.svg", paths))
    paths[0].write_text("")
    assert "empty" in one_line(lambda: figures.losses(tmp_path / "c.svg", paths))
    assert not (tmp_path / "c.svg").exists()


def test_funnel_figure(tmp_path):
    passages, problems = tmp_path / "corpus" / "funnel.json", tmp_path / "cot" / "funnel.json"
    counts = {"cut": 9, "kept": 5, "too_short": 4, "duplicates": 0}
    write_json(passages, {"sources": {"web": counts}, "total": counts})
    step = {"in": 1234, "rejected": 34, "out": 1200}
    filters = {"1 parsed": step, "2 duplicate": {"in": 1200, "rejected": 0, "out": 1200}}
    write_json(problems, {"written": 1234, "kept": 1200, "filters": filters})
    funnel_figure.funnels(tmp_path / "a.svg", [passages, problems])
    funnel_figure.funnels(tmp_path / "b.svg", [passages, problems])
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for shown in ("5 of 9", "too short", "1,234", "1,200, 34 rejected", "no duplicate", "web"):
        assert f">{shown}<" in text
    assert ">duplicates<" not in text  # a reason that never occurred has no place in the legend
    write_json(problems, {"kept": 1})
    says = one_line(lambda: funnel_figure.funnels(tmp_path / "c.svg", [problems]))
    assert "not a funnel" in says
    assert not (tmp_path / "c.svg").exists()


def test_influence_figure(tmp_path):
    rows = [
        {"source": source, "level": level, "total": (7 * k % 23 - 9) / 10}
        for k, (source, level) in enumerate([("web", "grade"), ("qa", "amc8")] * 30)
    ]
    figures.influence(tmp_path / "a.svg", rows)
    figures.influence(tmp_path / "b.svg", rows[::-1])
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert ">web (30)<" in text
    assert ">amc8 (30)<" in text
    figures.influence(tmp_path / "one.svg", rows[:1])  # a single score is no error
    reader = io.StringIO((tmp_path / "one.svg").read_text())
    assert ">web (1)<" in reader.read()
