"""Ablations of the choice of texts are entries of the configuration: nothing else changes."""

import re

import pytest
from project import CONFIGURATION, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project in which nothing has run."""
    return Project(tmp_path_factory.mktemp("ablations") / "project")


def plan(project, target, configuration, **options) -> tuple[dict[str, int], str]:
    """Number of jobs by rule that `target` takes, and all that the dry run says."""
    output = project.run("--dry-run", target, configuration=configuration, **options).stdout
    assert "Error" not in output, output[-2000:]
    counts = {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE)}
    return counts, output


def test_the_papers_ablations_need_only_what_differs(project):
    paper = ["--configfile", "config.paper.yaml"]
    made, output = plan(project, "results/paper/tables/choice_of_texts.md", paper)
    assert made["train_model"] == 3  # influence, random texts instead, the optimizer's form
    assert made["train_synthesizer"] == 4  # the initial one, and one for each
    assert made["pick_passages"] == 4
    assert made["synthesize"] == 300
    assert made["score_influence"] == 16  # both forms, in 8 shards
    assert made["synthesize_candidates"] == made["train_reference"] == 1
    assert made["target_gradients"] == 1
    # The larger random choice is not among what candidates must avoid: it would change them.
    [inputs] = re.findall(r"^rule synthesize_candidates:\n    input: (.*)$", output, re.MULTILINE)
    assert "random_cot/picks.parquet" in inputs
    assert "more_random_cot" not in inputs


def test_switches_of_influence_are_planned(project):
    settings = {"feature": "adam", "aggregate": "mean", "projection": {"kind": "sjlt"}}
    overlay = {"influence": {"main": settings}}
    made, _ = plan(project, "influence", CONFIGURATION, overlay=overlay)
    assert made["store_features"] == made["score_influence"] == 2
    assert made["aggregate_scores"] == 1
    assert made["pick_passages"] == 1
