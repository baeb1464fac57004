"""Hub revisions that may move are refused before anything starts, unless accepted in words."""

from pathlib import Path

import pytest
import yaml
from jz3.io import UserError
from jz3.workflow import preflight, revisions
from jz3.workflow.experiment import Experiment
from jz3.workflow.layout import Layout
from project import Project

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PAPER = ["--configfile", "config.paper.yaml"]


def paper(accept=False, **kinds):
    config = yaml.safe_load((ROOT / "config.paper.yaml").read_text())
    for kind, revisions_of in kinds.items():
        for name, revision in revisions_of.items():
            config[kind][name]["revision"] = revision
    return Experiment.model_validate(config | {"accept_moving_revisions": accept})


def test_only_commits_of_forty_digits_do_not_move():
    for revision in ("main", "v1.0", COMMIT[:12], COMMIT.upper(), "refs/pr/1"):
        config = paper(checkpoints={"mistral_7b": revision})
        expected = [f"checkpoints.mistral_7b.revision ({revision})"]
        assert revisions.moving(config, [], ["mistral_7b"]) == expected
    assert revisions.moving(paper(checkpoints={"mistral_7b": COMMIT}), [], ["mistral_7b"]) == []
    assert revisions.moving(paper(datasets={"mmiqc": ""}), ["mmiqc"], []) == []  # a folder


def test_what_a_run_would_not_fetch_does_not_stop_it():
    config = paper(datasets={"mmiqc": "main"}, checkpoints={"released_7b": "main"})
    revisions.refuse(config, [], ["mistral_7b"])
    with pytest.raises(UserError) as caught:
        revisions.refuse(config, ["mmiqc"], ["mistral_7b", "released_7b"])
    assert str(caught.value) == (
        "2 hub revisions may move: datasets.mmiqc.revision (main), checkpoints.released_7b.revision"
        " (main). Write the commit (40 digits, on the repository's page), or accept the day's with"
        " accept_moving_revisions: true."
    )
    revisions.refuse(config.model_copy(update={"accept_moving_revisions": True}), ["mmiqc"], [])


def test_preflight_says_which_ones():
    (found,) = preflight.pinned(paper(checkpoints={"released_7b": "main"}))
    assert found.state == "fail"
    assert "checkpoints.released_7b.revision (main)" in found.text
    assert found.text.endswith("accept_moving_revisions: true.")
    (found,) = preflight.pinned(paper(accept=True, checkpoints={"released_7b": "main"}))
    assert (found.state, found.text[-36:]) == ("warn", "Accepted by accept_moving_revisions.")
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    (found,) = preflight.pinned(Experiment.model_validate(config))
    assert (found.state, found.text) == ("ok", "all are commits")


def test_accepting_them_makes_nothing_again():
    assert paper().identity() == paper(accept=True).identity()


def test_the_report_asks_for_the_records_of_what_the_run_is_made_from():
    found = Layout(paper()).records()
    folder = "<results>/sources/records"
    for name in ("datasets/mmiqc", "datasets/math_test", "datasets/corpus_sft", "datasets/corpus_pt_cot",
                 "models/deepseek_math_7b_rl", "models/mixtral_8x7b", "models/mammoth2_7b_plus"):  # fmt: skip
        assert f"{folder}/{name}.json" in found
    assert len(found) == len(set(found))
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert Layout(Experiment.model_validate(config)).records() == []  # nothing of the hub


def test_a_run_stops_at_its_start_and_a_dry_run_does_not(tmp_path):
    project = Project(tmp_path / "project")
    target = "results/paper/sources/models/released_7b"
    ended = project.run(target, configuration=PAPER)
    assert ended.returncode != 0
    assert "1 hub revision may move: checkpoints.released_7b.revision (main). Write" in ended.stdout
    assert not list((project.folder / "results").rglob("*.log"))
    ended = project.run("--dry-run", target, configuration=PAPER)
    assert ended.returncode == 0, ended.stdout
