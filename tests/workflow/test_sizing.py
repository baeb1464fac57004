"""What jobs ask for: figures worked out by hand, and sense over all sizes."""

import re
from pathlib import Path

import pytest
import yaml
import yte
from hypothesis import given
from hypothesis import strategies as st
from jz3.io import UserError
from jz3.workflow import sizing, workload
from jz3.workflow.experiment import Experiment
from jz3.workflow.settings import Sizing
from jz3.workflow.sizing import Work

ROOT = Path(__file__).parents[2]
PAPER = yaml.safe_load((ROOT / "config.paper.yaml").read_text())
CLUSTER = {"gpu_memory_gb": 80, "gpus_per_node": 8, "node_memory_gb": 1000, "longest_job_hours": 48}
NODES = Sizing(**PAPER["sizing"] | CLUSTER)


@pytest.fixture(scope="module")
def paper():
    return PAPER


def plan_of(config):
    return workload.plan(Experiment.model_validate(config))


@pytest.mark.parametrize(
    ("billions", "wanted", "gpus", "nodes"),
    [
        (7.24, 8, 8, 1),  # 116 GB over 60 GB each: two would do, eight are wanted
        (7.24, 1, 2, 1),
        (46.7, 8, 16, 2),  # 747 GB take 13 GPUs, hence two whole nodes
        (0.135, 1, 1, 1),
        (46.7, 0, 0, 1),  # no GPUs at all
    ],
)
def test_training_takes_as_many_gpus_as_hold_the_model(billions, wanted, gpus, nodes):
    assert sizing.training_gpus(NODES, billions, wanted, 64) == gpus
    assert sizing.nodes_of(NODES, gpus) == nodes


@pytest.mark.parametrize(("billions", "gpus"), [(6.9, 1), (23.9, 1), (24.1, 2), (46.7, 2), (70, 4)])
def test_generation_shares_a_model_by_powers_of_two(billions, gpus):
    assert sizing.generation_gpus(NODES, billions, 1) == gpus


@given(st.floats(0.1, 700), st.integers(1, 64), st.sampled_from([64, 96, 512]))
def test_gpus_hold_the_model_divide_an_update_and_fill_nodes(billions, wanted, shares):
    try:
        gpus = sizing.training_gpus(NODES, billions, wanted, shares)
    except UserError:
        assert sizing.TRAINING_BYTES * billions / 60 > shares / 2 or wanted > shares / 2
        return
    assert gpus >= wanted
    assert gpus <= 8 or gpus % 8 == 0
    assert shares % gpus == 0
    assert sizing.TRAINING_BYTES * billions <= gpus * 80


def test_an_update_that_no_gpus_can_share_is_refused_before_anything_is_queued(paper):
    recipe = {**paper["recipes"]["student"], "global_batch": 40}
    config = {**paper, "recipes": {**paper["recipes"], "student": recipe}}
    with pytest.raises(
        UserError, match=r"^recipes\.student: a model of 7\.24B takes 8 GPUs or more"
    ):
        plan_of(config)


def test_notice_is_given_after_the_work_should_be_done():
    """profiles/slurm asks a training to stop so long before the end of its time."""
    notice = yte.process_yaml((ROOT / "profiles/slurm/profile.yaml").read_text())
    for rule, request in notice["set-resources"].items():
        seconds = int(request["slurm_extra"].strip("'").split("@")[1])
        work = Work("training", rule, "x", hours=0.1)
        assert seconds == 60 * sizing.NOTICE_MINUTES if rule.startswith("train_") else seconds < 600
        assert 60 * sizing.minutes(work, NODES) - seconds >= 1.5 * 3600 * work.hours


def test_work_of_unknown_length_asks_for_the_longest_job():
    assert sizing.minutes(Work("training", "train_model", "x"), NODES) == 48 * 60


@given(st.floats(0.001, 1000), st.integers(1, 6))
def test_requests_grow_with_attempts_and_end_at_the_clusters_limits(hours, attempt):
    work = Work("training", "train_model", "x", memory_mb=400_000, hours=hours)
    first, later = (sizing.minutes(work, NODES, a) for a in (attempt, attempt + 1))
    assert 60 <= first <= later <= 48 * 60
    assert first >= min(60 * hours, 48 * 60)
    assert sizing.memory(work, NODES, attempt) <= sizing.memory(work, NODES, attempt + 1) <= 950_000
    assert sizing.memory(work, NODES, 1) == 400_000


def test_training_time_by_hand(paper):
    made = plan_of(paper)["train_model", "jiuzhang_7b"]
    # 4.8M x 879 + 4M x 475 + 0.77G tokens; 8 x 7.24G operations each; 8 GPUs at 140 T/s
    tokens = 4.8e6 * 879 + 4e6 * 475 + 0.77e9
    assert made.tokens == pytest.approx(tokens)
    assert made.hours == pytest.approx(8 * 7.24e9 * tokens / (8 * 140e12) / 3600)
    assert (made.gpus, made.nodes) == (8, 1)


def test_a_mixture_of_experts_computes_with_its_active_part_and_holds_all(paper):
    plan = plan_of(paper)
    dense, sparse = plan["train_model", "jiuzhang_8b"], plan["train_model", "jiuzhang_8x7b"]
    assert sparse.nodes == 2
    assert sparse.hours * 16 / (dense.hours * 8) == pytest.approx(12.9 / 8.03)
    assert sparse.disk == pytest.approx(93.4e9)


def test_the_teachers_cost_by_hand(paper):
    made = plan_of(paper)["ask_teacher", "random_cot"]
    assert made.dollars == pytest.approx(3880 * (520 * 5 + 879 * 15) / 1e6)
    assert made.hours == pytest.approx(3880 * 20 / 16 / 3600)


def test_answers_that_two_distillations_share_are_paid_once(paper):
    made = plan_of(paper)["ask_teacher", "more_random_cot"]
    # The first 3,880 texts are random_cot's.
    assert made.dollars == pytest.approx((6810 - 3880) * (520 * 5 + 879 * 15) / 1e6)
    assert made.hours == pytest.approx(6810 * 20 / 16 / 3600)  # it may come first
    twice = {**paper["distillation"], "again": paper["distillation"]["random_cot"]}
    plan = plan_of(paper | {"distillation": twice})
    assert min(plan["ask_teacher", name].dollars for name in ("again", "random_cot")) == 0
    assert plan["ask_teacher", "more_random_cot"].dollars == made.dollars


def test_every_job_of_the_workflow_that_asks_is_planned():
    for name in ("config.yaml", "config.paper.yaml"):
        config = yaml.safe_load((ROOT / name).read_text())
        config["influence"]["stored"] = {
            **next(iter(config["influence"].values())),
            "projection": {"kind": "sjlt", "dimension": 8192, "dtype": "float16"},
        }
        rules = {rule for rule, _ in plan_of(config)}
        text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
        if config["compute"]["generation"] != "vllm":  # the others start in seconds
            rules.add("generate_answers")
        assert set(re.findall(r"\*\*asked\(\s*\"(\w+)\"", text)) == rules


def test_influence_by_hand(paper):
    plan = plan_of(paper)
    made = plan["score_influence", "main_cot"]
    # 100,000 candidates of 879 tokens, 4 epochs; 4 x 7.24G operations each; 8 jobs at 140 T/s
    assert made.tokens == pytest.approx(100_000 * 879 * 4)
    assert made.hours == pytest.approx(4 * 7.24e9 * 100_000 * 879 * 4 / (8 * 140e12) / 3600)
    assert (made.jobs, made.gpus) == (8, 1)
    assert ("store_features", "main_cot") not in plan


def test_influence_entries_make_what_they_share_once(paper):
    plan = plan_of(paper)
    assert plan["score_influence", "adam_cot"] != plan["score_influence", "main_tool"]
    for rule in ("synthesize_candidates", "train_reference", "target_gradients"):
        assert (rule, "main_tool") in plan
        assert (rule, "adam_cot") not in plan


def test_stored_features_by_hand(paper):
    entry = paper["influence"]["main_cot"]
    stored = {**entry, "projection": {"kind": "sjlt", "dimension": 8192, "dtype": "float16"}}
    plan = plan_of({**paper, "influence": {**paper["influence"], "main_cot": stored}})
    assert plan["store_features", "main_cot"].disk == 100_000 * 4 * 8192 * 2
    assert plan["store_features", "main_cot"].gpus == 1
    assert plan["score_influence", "main_cot"].hours == pytest.approx(6.5536e9 / 50e6 / 8 / 3600)


def test_released_products_cost_nothing_to_make(paper):
    plan = plan_of(paper)
    assert ("synthesize", "released_cot") not in plan
    assert ("train_synthesizer", "released_cot") not in plan
    assert ("train_model", "released_7b") not in plan
    assert plan["train_model", "released_corpora_7b"].tokens == pytest.approx(5.38e9)
