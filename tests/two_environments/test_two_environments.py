"""The workflow in two environments: generation by vLLM in `.venv-vllm`, all else in `.venv`.

`make test-vllm` installs vLLM's CPU build there; with `make environments` it is the one for GPUs.
"""

import contextlib
import json
import re
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from jz3.workflow import environments
from project import Project

PYTHON = environments.vllm_folder(sys.prefix) / "bin/python"
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=f"{PYTHON}: make environments")
# What follows from generated texts: draws are the engine's own, with the same seeds.
GENERATED = re.compile(
    r"influence/|synthesis/|evaluation/|models/|tables/|figures/|report\.html"
    r"|distillation/high_value|synthesizers/boosted"
)


def overlay(engine):
    # vLLM's attention on processors knows heads of 32 numbers and more
    return {"compute": {"generation": engine}, "checkpoints": {"tiny": {"heads": 2}}}


def project(folder, engine):
    made = Project(folder / engine)
    ended = made.run(overlay=overlay(engine))
    assert ended.returncode == 0, ended.stdout[-6000:]
    return made


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    return [project(folder, engine) for engine in ("transformers", "vllm")]


def made_by(path):
    """Versions of packages in the provenance of a table."""
    (value,) = (v for v in pq.read_metadata(path).metadata.values() if b'"packages"' in v)
    return json.loads(value)["packages"]


def test_the_chain_runs_whole_and_differs_where_engines_do(both):
    ours, theirs = (made.products() for made in both)
    assert set(ours) == set(theirs)
    different = {name for name in ours if ours[name] != theirs[name]}
    assert {name for name in different if not GENERATED.match(name)} == set()
    assert different  # or one engine has written both


def test_generation_ran_in_the_second_environment(both):
    results = both[1].folder / "results/tests"
    answers = made_by(results / "evaluation/base/cot/word_problems/answers.parquet")
    packs = made_by(next(results.glob("models/*/packed.parquet")))
    vllm, main = environments.named("vllm"), environments.named("main")
    assert answers["transformers"] == vllm["transformers"] != main["transformers"]
    assert packs["transformers"] == main["transformers"]


def test_a_second_run_does_nothing(both):
    ended = both[1].run("--dry-run", overlay=overlay("vllm"))
    assert "Nothing to be done" in ended.stdout


def test_of_a_models_benchmarks_only_the_new_one_is_answered(both):
    """And by a job with the engine, before which the others' journals lie."""
    more = {
        "benchmarks": {
            "more": {
                "licence": "ours",
                "decontaminate": False,
                "splits": {"test": {"generator": "word_problems", "problems": 5}},
            }
        },
        "tables": {"main": {"benchmarks": ["word_problems", "more"]}},
    }
    output = both[1].run("--dry-run", overlay=overlay("vllm") | more).stdout
    jobs = re.findall(r"^rule answer_benchmark:\n(?: .*\n)*", output, flags=re.MULTILINE)
    assert jobs
    assert all("benchmark=more" in job for job in jobs)
    assert len(re.findall(r"^rule generate_answers:", output, flags=re.MULTILINE)) == len(jobs)
    assert "rule train_model:" not in output


def test_no_process_is_left(both):
    mine = str(both[1].folder).encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            assert mine not in (folder / "cmdline").read_bytes()
