"""Requests beside their arithmetic: the table of docs/cluster.md, and figures worked out by hand."""

from pathlib import Path

import pytest
import yaml
from jz3.influence import sample_gradients
from jz3.workflow import requests, sizing, workload
from jz3.workflow.experiment import Experiment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def paper():
    return Experiment.model_validate(yaml.safe_load((ROOT / "config.paper.yaml").read_text()))


@pytest.fixture(scope="module")
def needs(paper):
    return {(w.rule, w.name): n for w, n in requests.jobs(paper)}


def test_the_page_holds_the_table_of_the_requests_as_they_are(paper):
    text = (ROOT / requests.PAGE).read_text()
    assert requests.page(paper, text) == text, "run `make docs`"
    assert requests.page(paper, text.replace("| `train_model`", "| old")) == text


def test_the_table_has_every_rule_that_asks_and_every_size(paper, needs):
    plan = workload.plan(paper)
    assert {rule for rule, _ in needs} == {rule for rule, _ in plan} - {"fetch_model"}
    trained = [name for rule, name in needs if rule == "train_model"]
    assert trained == ["jiuzhang_7b", "jiuzhang_8b", "jiuzhang_8x7b"]
    assert all(needs[key] for key in needs if plan[key].gpus)


def test_training_by_hand(needs):
    # Mistral on 8 GPUs: 16 x 7.24 GB over them; 16,384 tokens: 32 layers' inputs of 4,096 in
    # bfloat16, a layer of 10 x 4,096 + 3 x 14,336 of them, 32,000 outputs in float32 and back.
    made = needs["train_model", "jiuzhang_7b"]
    assert made.states == pytest.approx(16 * 7.24 / 8)
    assert made.activations == pytest.approx(
        16384 * (32 * 4096 * 2 + 2 * (10 * 4096 + 3 * 14336) + 8 * 32000) / 1e9
    )
    assert made.host == pytest.approx(6 * 7.24 + 8 * 4)


def test_the_cache_by_hand(paper, needs):
    # DeepSeekMath: 30 layers, keys and values of 4,096 in bfloat16; 1,399 tokens a candidate.
    left = 0.9 * 80 - 2 * 6.9 - requests.LOADED
    sequences = int(left * 1e9 / (2 * 30 * 4096 * 2) / 1399)
    assert needs["synthesize_candidates", "main_cot"].sequences == sequences == 81


def test_no_request_is_too_small_and_no_model_too_large(paper, needs):
    for work, need in requests.jobs(paper):
        if need:
            assert need.gpu < paper.sizing.gpu_memory_gb, work
            assert 1000 * need.host <= sizing.memory(work, paper.sizing), work
            remark = requests.remark(paper, work, need)
            assert ("continued" in remark) == (work.hours > 48), work
    work = workload.plan(paper)["train_model", "jiuzhang_8x7b"]
    assert requests.remark(paper, work, needs[work.rule, work.name]).startswith("tight")


def test_batches_of_gradients_are_those_of_the_program():
    assert sample_gradients.BATCH_TOKENS["cuda"] == requests.GRADIENT_TOKENS
