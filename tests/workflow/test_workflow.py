"""The workflow as a user runs it, on the tests' configuration, in a copy of the project."""

import os
import re
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import yaml
from project import CONFIGURATION, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project whose whole chain has run once."""
    made = Project(tmp_path_factory.mktemp("workflow") / "project")
    ended = made.run()
    assert ended.returncode == 0, ended.stdout[-6000:]
    return made


def test_whole_chain(project):
    results = project.folder / "results/tests"
    for table in ("main", "tool", "cost", "influence"):
        for form in ("csv", "md", "tex", "json"):
            assert (results / f"tables/{table}.{form}").stat().st_size > 100
    assert (results / "report.html").stat().st_size > 10_000
    assert len(list((results / "figures").glob("*.svg"))) >= 3
    for corpus in ("cot", "tool"):
        rows = pq.read_table(results / f"synthesis/{corpus}/problems.parquet").to_pylist()
        assert rows
        assert all(row["question"] and row["solution"] and row["status"] == "kept" for row in rows)
    # a prompt is answered by the teacher, and learned, in the same words
    pairs = pq.read_table(results / "distillation/random_cot/pairs.parquet").to_pylist()
    assert all(pair["question"] in pair["completion"] for pair in pairs)


def test_tool_solutions_show_what_programs_print(project):
    rows = pq.read_table(
        project.folder / "results/tests/synthesis/tool/problems.parquet"
    ).to_pylist()
    compared = 0
    for row in rows:
        code = re.search(r"```python\n(.*?)```", row["solution"], flags=re.DOTALL)[1]
        shown = re.search(r"```output\n(.*?)```", row["solution"], flags=re.DOTALL)[1]
        ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
        if ran.stdout.strip():  # where nothing is printed the last expression's value is shown
            assert ran.stdout.strip() == shown.strip()
            compared += 1
    assert compared


def test_high_value_texts_are_not_those_already_sent(project):
    folder = project.folder / "results/tests/distillation"
    chosen = {
        name: set(pq.read_table(folder / name / "picks.parquet")["passage_id"].to_pylist())
        for name in ("random_cot", "high_value_cot")
    }
    assert chosen["high_value_cot"]
    assert not chosen["random_cot"] & chosen["high_value_cot"]


def test_second_run_does_nothing(project):
    assert "Nothing to be done" in project.run("--dry-run").stdout


def edit(project, file, old, new):
    path = project.folder / file
    text = path.read_text()
    assert old in text, f"{file} has no {old!r}"
    path.write_text(text.replace(old, new, 1))
    return path, text


def test_a_changed_comment_reruns_nothing(project):
    path = project.folder / "scripts/jz3/io.py"
    text = path.read_text()
    path.write_text(text.replace('"""', '"""Reworded: ', 1) + "\n\n# a comment\n")
    try:
        assert project.planned() == set()
    finally:
        path.write_text(text)


REPORTS = {"build_table", "plot_scores", "report"}
EVALUATED = {"build_cost_table", "list_disagreements", *REPORTS}
GRADES = {"answer_benchmark", "grade_answers", *EVALUATED}


@pytest.mark.parametrize(
    ("overlay", "rules"),
    [
        (
            {"recipes": {"student": {"learning_rate": 1.0e-3}}},
            {"train_model", "plot_losses", *GRADES},
        ),
        ({"evaluation": {"max_new_tokens": 40}}, GRADES),
        ({"tables": {"main": {"verdict": "released"}}}, REPORTS),
        ({"evaluation": {"confidence": 0.9}}, {"build_influence_table", *REPORTS}),
        ({"tables": {"main": {"models": ["base", "jiuzhang"]}}}, EVALUATED),
        (
            {"filtering": {"similarity": 0.9}},
            {
                "filter_problems",
                "data_card",
                "plot_funnels",
                "pack_corpus",
                "train_model",
                "plot_losses",
            }
            | GRADES,
        ),
    ],
    ids=["learning rate", "answer length", "verdict", "confidence", "table rows", "filter"],
)
def test_a_changed_setting_reruns_its_stage_and_what_follows(project, overlay, rules):
    assert project.planned(overlay=overlay) == rules


def test_conduct_makes_nothing_again_but_the_report_that_shows_it(project):
    overlay = {
        "teacher": {"attempts": 9, "budget_dollars": 1.0, "timeout_seconds": 30},
        "recipes": {"student": {"save_steps": 7}, "synthesizer": {"save_steps": 7}},
        "execution": {"workers": 1},
        "checkpoints": {"tiny": {"parameters": 0.0003}},
        "benchmarks": {"word_problems": {"licence": "another"}},
    }
    assert project.planned(overlay=overlay) == {"report"}


def test_models_that_a_change_does_not_reach_are_not_evaluated_again(project):
    output = project.run("--dry-run", overlay={"recipes": {"student": {"epochs": 2}}}).stdout
    assert "model=jiuzhang" in output
    assert "model=base" not in output


MORE = {
    "benchmarks": {
        "more": {
            "licence": "ours",
            "decontaminate": False,
            "splits": {"test": {"generator": "word_problems", "problems": 5}},
        }
    },
    "tables": {"main": {"benchmarks": ["word_problems", "more"]}},
}


@pytest.mark.parametrize(
    ("overlay", "asked", "spared"),
    [
        (MORE, "benchmark=more", "benchmark=word_problems"),
        ({"evaluation": {"tool_rounds": 3}}, "mode=tool", "mode=cot"),
        ({"benchmarks": {"word_problems": {"shots": {"count": 2}}}}, "mode=cot", "mode=tool"),
        ({"models": {"base": {"shots": 1}}}, "model=base", "model=jiuzhang"),
    ],
    ids=["another benchmark", "rounds", "examples", "examples of a model"],
)
def test_only_what_is_new_is_asked(project, overlay, asked, spared):
    output = project.run("--dry-run", overlay=overlay).stdout
    jobs = re.findall(r"^rule answer_benchmark:\n(?: .*\n)*", output, flags=re.MULTILINE)
    assert any(asked in job for job in jobs), output
    assert not any(spared in job for job in jobs)
    assert "rule train_model:" not in output


def test_a_changed_grader_regrades_and_executes_but_generates_nothing_by_itself(project):
    path, text = edit(project, "scripts/jz3/grading/strict.py", "\ndef ", "\n_UNUSED = 1\n\n\ndef ")
    try:
        output = project.run("--dry-run").stdout
    finally:
        path.write_text(text)
    planned = set(re.findall(r"^rule (\w+):", output, flags=re.MULTILINE))
    # It also decides whether a program prints the stated answer.
    assert {"grade_answers", "build_table", "execute_solutions"} <= planned
    assert not planned & {"synthesize", "train_synthesizer", "synthesize_candidates"}
    jobs = re.findall(r"^rule (?:answer_benchmark|train_model):\n(?: .*\n)*", output, re.MULTILINE)
    assert all("reason: Input files updated by another job" in job for job in jobs), jobs


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again_gives_the_same_products(project):
    overlay = {"results": "results/killed"}
    (project.folder / "killed.yaml").write_text(yaml.safe_dump(overlay))
    configuration = [*CONFIGURATION, "killed.yaml"]
    process = project.start(configuration=configuration)
    logs = project.folder / "results/killed/logs"
    moments = [  # while the teacher answers, a synthesizer trains, candidates are scored
        logs / "distillation/ask_teacher.random_tool.log",
        logs / "synthesizers/train_synthesizer.initial.log",
        logs / "influence/score_influence.main.00001.log",
    ]
    for moment in moments:
        while not moment.exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(1.5)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        project.run("--unlock", configuration=configuration)
        process = project.start(configuration=configuration)
    assert process.wait() == 0
    first, again = project.products(), project.products("results/killed")
    assert set(first) == set(again)
    different = {name for name in first if first[name] != again[name]}
    # the report shows where the results lie, the costs how long it took
    assert different <= {"report.html", *(f"tables/cost.{f}" for f in ("csv", "md", "tex"))}


def test_the_papers_run_is_planned(project):
    output = project.run("--dry-run", configuration=["--configfile", "config.paper.yaml"]).stdout
    assert re.search(r"synthesize\s+1800\n", output)
    assert re.search(r"train_model\s+8\n", output)
    assert re.search(r"score_influence\s+18\n", output)
    assert re.search(r"synthesize_candidates\s+2\n", output)  # shared by an ablation
    assert "smollm2" not in output  # nothing of the miniature leaks in


def test_configuration_mistakes_stop_before_anything_starts(project):
    overlay = {
        "models": {"jiuzhang": {"bsae": "tiny"}},
        "tables": {"main": {"models": ["base", "finetund"]}},
    }
    ended = project.run(overlay=overlay)
    assert ended.returncode != 0
    assert 'models.jiuzhang.bsae: unknown key. Did you mean "base"?' in ended.stdout
    assert "Traceback" not in ended.stdout
    overlay["models"] = {}
    ended = project.run(overlay=overlay)
    assert 'tables.main.models: there is no "finetund" in models. Did you mean "finetuned"?' in (
        ended.stdout
    )


FAULTS = {
    "a teacher that is not there": (
        {"teacher": {"base_url": "http://127.0.0.1:9/v1", "attempts": 1, "timeout_seconds": 3}},
        "distillation",
        r"ask_teacher: .*127\.0\.0\.1:9",
    ),
    "a teacher that dies at once": (
        {"teacher": {"serve": {"command": "python -c raise(SystemExit(7)) {port}"}}},
        "distillation",
        r"ask_teacher: ",
    ),
    "an empty corpus": (
        {"corpus": {"passage": {"minimum_characters": 399}, "sources": dict.fromkeys(
            ["web", "textbook", "paper", "qa"]
        )}},
        "corpus",
        r"(extract|pool)_passages: .*\w",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults_end_in_one_readable_line(project, name):
    overlay, target, message = FAULTS[name]
    ended = project.run(target, overlay={"results": "results/faults", **overlay})
    assert ended.returncode != 0
    assert re.search(message, ended.stdout), ended.stdout[-3000:]
    assert "Traceback" not in ended.stdout


def test_a_malformed_table_is_named(project):
    overlay = {"results": "results/malformed"}
    assert project.run("corpus", overlay=overlay).returncode == 0
    (project.folder / "results/malformed/corpus/passages.parquet").write_bytes(b"PAR1 torn")
    ended = project.run("distillation", overlay=overlay)
    assert ended.returncode != 0
    assert re.search(r"passages\.parquet: not a readable Parquet file", ended.stdout)


def test_jobs_ask_for_their_cores_whatever_machine_plans_them(project):
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # inherited by what is started
    try:
        output = project.run(
            "--dry-run", "--forcerun", "execute_solutions", overlay={"execution": {"workers": 5}}
        ).stdout
    finally:
        os.sched_setaffinity(0, cores)
    jobs = re.findall(r"^rule execute_solutions:\n(?: .*\n)*", output, re.MULTILINE)
    assert jobs, output
    assert all("cpus_per_task=5" in job for job in jobs)
