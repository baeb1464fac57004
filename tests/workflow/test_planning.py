"""`estimate` and `preflight`: what they add up, find and advise."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jz3 import io, processor
from jz3.workflow import estimate, preflight, workload
from jz3.workflow.experiment import Experiment
from jz3.workflow.sizing import Work

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def paper():
    return Experiment.model_validate(yaml.safe_load((ROOT / "config.paper.yaml").read_text()))


def changed(experiment, section, **values):
    """The experiment with other values in one section."""
    part = getattr(experiment, section).model_copy(update=values)
    return experiment.model_copy(update={section: part})


def states(findings):
    return {finding["name"]: finding["state"] for finding in findings}


def test_a_stages_time_is_the_longest_job_or_all_over_the_gpus(paper):
    shards = Work("synthesis", "synthesize", "a", jobs=100, gpus=1, hours=2)
    long = Work("training", "train_model", "b", gpus=8, hours=30)
    assert estimate.wall([shards], changed(paper, "sizing", gpus_at_once=10).sizing) == 20
    assert estimate.wall([shards, long], changed(paper, "sizing", gpus_at_once=1000).sizing) == 30
    alone = Work("synthesis", "synthesize", "c", jobs=3, hours=2)
    assert estimate.wall([alone], changed(paper, "sizing", gpus_at_once=10).sizing) == 6


def test_the_papers_estimate_holds_every_stage_and_agrees_with_the_plan(paper):
    works = list(workload.plan(paper).values())
    text = estimate.table(estimate.rows(works, paper.sizing))
    for stage in ("distillation", "synthesizers", "influence", "synthesis", "training"):
        assert stage in text
    assert "16 on 2 nodes" in text
    notes = "\n".join(estimate.notes(paper, works))
    assert f"GPUs: {sum(w.gpu_hours for w in works):,.0f} hours" in notes
    assert "nothing is sent beyond teacher.budget_dollars, 400" in notes


def test_starts_of_engines_count_as_gpu_hours_and_have_a_column(paper):
    works = list(workload.plan(paper).values())
    writing = [w for w in works if w.rule in ("synthesize", "synthesize_candidates")]
    answering = [w for w in works if w.rule == "generate_answers"]
    assert {w for w in works if w.start_hours} == {*writing, *answering}
    # A start per shard, and per model and mode whatever the number of benchmarks.
    shards = sum(entry.shards for entry in paper.written_corpora.values())
    assert sum(w.jobs for w in writing) == shards + len(paper.makers("candidates")) == 1802
    assert len(answering) == len({(c.model, c.mode) for c in paper.all_evaluations}) == 20
    written = [w for w in works if w.rule == "answer_benchmark"]
    assert len(written) == len(paper.all_evaluations) == 122
    assert not any(w.gpus or w.tokens for w in written)
    for work in (*writing, *answering):
        assert 2 <= 60 * work.start_hours <= 4.5
        assert work.gpu_hours == pytest.approx(work.jobs * work.gpus * work.whole_hours)
    lost = estimate.starts(works)
    assert 80 < lost < 90
    assert lost == pytest.approx(sum(w.jobs * w.gpus * w.start_hours for w in works))
    notes = "\n".join(estimate.notes(paper, works))
    assert f"Starts: 1,822 engines, one per job; {lost:,.1f} GPU-hours of the above." in notes
    column = estimate.COLUMNS.index("of starts")
    row = next(row for row in estimate.rows(works, paper.sizing) if row[1] == "synthesize cot")
    assert row[column] == estimate.hours(1000 * writing[0].start_hours) == "45.5"
    assert row[column - 1] == estimate.hours(sum(w.gpu_hours for w in works if w.name == "cot"))


def test_estimate_program_prints_a_table(paper):
    command = [sys.executable, ROOT / "scripts/estimate.py", "--recipe", json.dumps(paper.plain())]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0
    assert ended.stdout.startswith("stage")
    assert "Traceback" not in ended.stderr


def test_memory_and_space_are_compared_with_what_is_needed(tmp_path):
    assert states(preflight.examine([lambda: preflight.memory(1)])) == {"memory": "ok"}
    assert states(preflight.examine([lambda: preflight.memory(10**9)])) == {"memory": "warn"}
    enough = states(preflight.examine([lambda: preflight.storage(tmp_path / "new", 1)]))
    assert enough["space"] == enough["storage"] == "ok"
    assert not list((tmp_path / "new").iterdir())
    assert states(preflight.examine([lambda: preflight.storage(tmp_path, 1e18)]))["space"] == "fail"


def test_a_results_folder_that_cannot_be_written_is_a_finding(tmp_path):
    (tmp_path / "file").write_text("")
    found = preflight.examine([lambda: preflight.storage(tmp_path / "file" / "results", 1)])
    assert [finding["state"] for finding in found] == ["fail"]


def test_gpus_that_are_not_there(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = preflight.examine([lambda: preflight.devices(2, 80, "bfloat16")])
    assert states(found)["devices"] == "fail"
    assert "0 GPUs seen, 2 asked for" in found[0]["text"]


@pytest.mark.parametrize(
    ("dtype", "hardware", "state"),
    [("bfloat16", True, "ok"), ("bfloat16", False, "warn"), ("float32", False, "ok")],
)
def test_arithmetic_without_gpus(monkeypatch, dtype, hardware, state):
    monkeypatch.setattr(processor, "has_bfloat16", lambda: hardware)
    found = preflight.examine([lambda: preflight.devices(0, 80, dtype)])
    assert states(found) == {"devices": "ok", "arithmetic": state}
    assert found[1]["text"].startswith(dtype)


def test_secrets_are_asked_for_and_never_shown(paper, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    found = preflight.examine([lambda: preflight.secrets(paper)])
    assert states(found) == {"HF_TOKEN": "warn", "OPENAI_API_KEY": "ok"}
    assert "very-secret" not in json.dumps(found)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert states(preflight.examine([lambda: preflight.secrets(paper)]))["OPENAI_API_KEY"] == "fail"


def test_places_that_cannot_be_reached_are_named(paper, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", address)
        config = changed(paper.model_copy(update={"sources": {}}), "teacher", base_url="")
        found = preflight.examine([lambda: preflight.cached(config, tmp_path)])
        assert found[1] == {"name": "network", "state": "ok", "text": address}
    found = preflight.examine([lambda: preflight.cached(config, tmp_path)])
    assert found[1]["state"] == "warn"
    assert found[1]["text"].startswith(f"{address}. It cannot be reached")


def test_a_budget_below_the_expected_cost_fails(paper):
    config = changed(paper, "teacher", budget_dollars=1.0)
    assert states(preflight.examine([lambda: preflight.budget(config)])) == {"budget": "fail"}
    assert states(preflight.examine([lambda: preflight.budget(paper)])) == {"budget": "ok"}


def test_a_check_that_breaks_is_a_finding():
    def broken():
        raise RuntimeError("no driver")
        yield

    assert preflight.examine([broken]) == [
        {"name": "broken", "state": "fail", "text": "RuntimeError: no driver"}
    ]


def test_preflight_program_fails_with_one_line_where_a_finding_does(tmp_path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"results": str(tmp_path)}
    node = {"kind": "train", "host": "n1", "findings": [{"name": "x", "state": "ok", "text": "y"}]}
    io.write_json(tmp_path / "node.json", node)
    command = [sys.executable, ROOT / "scripts/preflight.py", "--nodes", tmp_path / "node.json"]
    command += ["--recipe", json.dumps(config)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "train (n1)\n  ok    x: y\n" in ended.stdout
    node["findings"][0]["state"] = "fail"
    io.write_json(tmp_path / "node.json", node)
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "preflight: 1 of these would make jobs fail; mend them first." in ended.stderr


def test_long_jobs_are_admitted_only_where_nothing_would_make_them_fail(tmp_path):
    good = {"name": "devices", "state": "ok", "text": "8 GPUs seen"}
    tight = {"name": "memory", "state": "warn", "text": "1 MB available"}
    bad = {"name": "sandbox", "state": "fail", "text": "none. Programs are not run here."}
    command = [sys.executable, ROOT / "scripts/admit_jobs.py", "--findings", tmp_path / "node.json"]
    command += ["--recipe", '{"dtype": "float32"}']

    def admit(*findings, dtype="float32"):
        report = {"kind": "train", "host": "n1", "findings": findings, "dtype": dtype}
        io.write_json(tmp_path / "node.json", report)
        return subprocess.run(command, capture_output=True, text=True)

    assert admit(good, tight).returncode == 0
    ended = admit(good, bad)
    assert ended.returncode == 1
    line = ended.stderr.splitlines()[-1]
    assert line.startswith("admit_jobs: n1 cannot run the train jobs: sandbox: none. Programs are")
    assert "sizing.check_nodes" in line
    ended = admit(good, dtype="bfloat16")  # of a node with another kind of processor
    assert ended.returncode == 1
    line = ended.stderr.splitlines()[-1]
    assert "auto is float32 on this machine and bfloat16 on n1" in line
