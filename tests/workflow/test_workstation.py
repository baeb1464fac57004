"""The configuration for one GPU: what it asks for, how long it takes, and that it can start."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jz3 import io
from jz3.workflow import estimate, requests, workload
from jz3.workflow.checks import mistakes
from jz3.workflow.experiment import Experiment
from project import Project, change

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.workstation.yaml").read_text())


@pytest.fixture(scope="module")
def workstation():
    return Experiment.model_validate(CONFIG)


def test_it_takes_about_a_day(workstation):
    command = [sys.executable, ROOT / "scripts/estimate.py", "--recipe", json.dumps(CONFIG)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [line] = re.findall("^On each card: (.*)[.]$", shown, re.MULTILINE)
    time = {name: float(hours) for name, hours in re.findall(r"(\w+) ([\d.]+) hours", line)}
    assert list(time) == list(workstation.sizing.cards)
    assert 15 <= time["rtx_4090"] <= 24
    assert 8 <= time["a100_40gb"] <= 12
    assert 8 <= time["a100_80gb"] <= 12
    assert f"Time: about {time['rtx_4090']:,.1f} hours on 1 GPUs" in shown


def test_a_named_card_has_its_memory_and_speeds(workstation):
    other = workstation.on_card("a100_80gb").sizing
    card = workstation.sizing.cards["a100_80gb"]
    for word in ("gpu_memory_gb", "training_tflops", "generation_tflops"):
        assert getattr(other, word) == getattr(card, word)
    assert other.tokens == workstation.sizing.tokens
    assert estimate.time_of(workstation.on_card("rtx_4090")) == estimate.time_of(workstation)


def test_every_job_fits_one_card_of_24_gigabytes(workstation):
    plan = workload.plan(workstation)
    assert {work.gpus for work in plan.values()} == {0, 1}
    assert {work.nodes for work in plan.values()} == {1}
    seen = set()
    for work, need in requests.jobs(workstation):
        if work.gpus:
            seen.add(work.rule)
            assert need.gpu < 0.9 * 24, work
            assert (
                need.sequences >= (48 if work.rule == "ask_teacher" else 16) or need.gathered == 0
            )
            assert work.memory_mb <= 950 * workstation.sizing.node_memory_gb
    assert seen == {work.rule for work in plan.values() if work.gpus}


def test_the_teacher_is_served_on_the_card(workstation):
    work = workload.plan(workstation)["ask_teacher", "random_cot"]
    assert (work.gpus, work.dollars) == (1, 0)
    assert work.start_hours > 0
    assert workstation.teacher_gpus == 1
    assert f"--name {workstation.teacher.model} " in workstation.teacher.serve.command
    hosted = workstation.teacher.model_copy(update={"base_url": "https://example.org/v1"})
    assert workstation.model_copy(update={"teacher": hosted}).teacher_gpus == 0


def test_everything_is_pinned_and_open(workstation):
    for entry in (*workstation.checkpoints.values(), *workstation.datasets.values()):
        assert re.fullmatch("[0-9a-f]{40}", entry.revision), entry.repository
    owners = {entry.repository.split("/")[0] for entry in workstation.checkpoints.values()}
    assert owners == {"Qwen", "HuggingFaceTB"}  # none of theirs here is gated


def test_the_ablation_differs_in_the_choice_of_texts_alone(workstation):
    high, random = (workstation.models[name] for name in ("high_value", "random_texts"))
    assert high.model_copy(update={"pretrain": ()}) == random.model_copy(update={"pretrain": ()})
    cot, other = workstation.corpora["cot"], workstation.corpora["random"]
    assert cot.model_copy(update={"synthesizer": "random"}) == other
    picked = [
        sum(workstation.distillation[d].passages for d in workstation.synthesizers[s].distillation)
        for s in ("boosted", "random")
    ]
    assert picked[0] == picked[1]


def test_its_dry_run_plans_every_stage(tmp_path):
    project = Project(tmp_path / "project")
    planned = project.planned(configuration=["--configfile", "config.workstation.yaml"])
    assert {
        "fetch_model", "ask_teacher", "train_synthesizer", "score_influence", "synthesize",
        "execute_solutions", "train_model", "answer_benchmark", "report",
    } <= planned  # fmt: skip


def test_its_preflight_finds_no_fault_of_the_configuration(tmp_path, workstation):
    request = workload.node_request(workstation, list(workload.plan(workstation).values()), "vllm")
    assert (request.gpus, request.gpu_memory_gb, request.stack) == (1, 24, "vllm")
    node = {"kind": "vllm", "host": "here", "findings": []}
    io.write_json(tmp_path / "node.json", node)
    recipe = CONFIG | {"results": str(tmp_path / "results")}
    command = [sys.executable, ROOT / "scripts/preflight.py", "--nodes", tmp_path / "node.json"]
    ended = subprocess.run(
        [*command, "--recipe", json.dumps(recipe)], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert "teacher: about 0 dollars, 0 allowed" in ended.stdout
    assert "OPENAI_API_KEY" not in ended.stdout


def test_the_authors_quantised_models_are_an_overlay(tmp_path, workstation):
    project = Project(tmp_path / "project")
    made = "results/workstation"
    wanted = [f"{made}/synthesis/released/problems.parquet", f"{made}/tables/released.md"]
    configuration = ["--configfile", "config.workstation.yaml", "config.gguf.yaml", "--", *wanted]
    planned = project.planned(configuration=configuration)
    assert {"fetch_file", "synthesize", "filter_problems", "answer_benchmark"} <= planned
    assert not {"ask_teacher", "train_synthesizer", "train_model"} & planned
    merged = json.loads(json.dumps(CONFIG))
    for section, entries in yaml.safe_load((ROOT / "config.gguf.yaml").read_text()).items():
        merged[section] |= entries
    assert mistakes(merged, ROOT) == []
    experiment = Experiment.model_validate(merged)
    assert experiment.quantised == {"synthesis_7b_gguf", "released_7b_gguf"}
    work = workload.plan(experiment)["synthesize", "released"]
    assert 60 * work.start_hours < 1  # no graphs to capture
    assert work.memory_mb < 20_000
    assert workload.plan(experiment)["fetch_model", "released_7b_gguf"].disk < 5e9


def test_a_quantised_model_is_not_trained_and_llamacpp_runs_nothing_else():
    config = change(CONFIG, "compute.generation", "llamacpp")
    lines = mistakes(config, ROOT)
    assert "compute.generation: llamacpp cannot run synthesizers.boosted: not quantised." in lines
    assert "compute.generation: llamacpp cannot run models.base: not quantised." in lines
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config = change(config, "checkpoints.smollm2_135m.quantised", True)
    place = "synthesizers.initial.base"
    assert f'{place}: "smollm2_135m" is quantised, and cannot be trained.' in mistakes(config, ROOT)
