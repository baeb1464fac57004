# What every stage uses: the checked configuration, names, code versions, resources.
#
# Reads:  config, the programs' source (for their version)
# Writes: nothing

import functools
import glob
import json
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir, "scripts")))

from jz3.io import UserError, digest
from jz3.workflow import checks, sharing, sizing, slurm_jobs, workload
from jz3.workflow.code_version import code_version as digest_of_program


def drop_removed(section):
    """An overlay removes an entry by setting it to null."""
    for key in [key for key, value in section.items() if value is None]:
        del section[key]
    for value in section.values():
        if isinstance(value, dict):
            drop_removed(value)


drop_removed(config)
try:
    experiment = checks.read(config, Path.cwd())
except UserError as error:
    raise WorkflowError(str(error)) from None

# Programs run under the interpreter that runs Snakemake, unless conda or modules provide one;
# only the `sources` stage and a hosted teacher may use the network.
OWN_PATH = (
    ""
    if workflow.deployment_settings.deployment_method
    else f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; "
)
shell.prefix(f"set -euo pipefail; export HF_HUB_OFFLINE=1; {OWN_PATH}")


def names(section):
    """Wildcard constraint: exactly the names in a part of the configuration."""
    return "|".join(section) or "(?!)"


wildcard_constraints:
    source=names(config["sources"]),
    dataset=names(config["datasets"]),
    checkpoint=names(config["checkpoints"]),
    collection=names(config["corpus"]["sources"]),
    benchmark=names(config["benchmarks"]),
    split="train|test",
    distillation=names(config["distillation"]),
    synthesizer=names(config["synthesizers"]),
    influence=names(config["influence"]),
    corpus=names(config["corpora"]),
    model=names(config["models"]),
    mode="cot|tool",
    shard=r"\d{5}",
    kind="train|vllm|evaluate",
    table=names(config["tables"]),


def canonical(section):
    """A part of the configuration as text that does not depend on the order of its keys."""
    return json.dumps(section, sort_keys=True)


@functools.cache
def code_version(program):
    """Digest of a program and the local modules it imports, comments and layout left out."""
    try:
        return digest_of_program(Path(workflow.basedir, "scripts", program))
    except UserError as error:
        raise WorkflowError(str(error)) from None


def in_results(path):
    """A path in the results folder for a param (Snakemake expands `<results>` in files only)."""
    return f"{config['results']}/{path}"


def files(patterns):
    """The files that glob patterns match, in a fixed order."""
    return sorted(
        {path for pattern in patterns for path in glob.glob(pattern, recursive=True)}
    )


def option(flag, paths):
    """A command-line option with its paths, or nothing where there are none."""
    paths = [paths] if isinstance(paths, str) else list(paths)
    return f"{flag} {shlex.join(paths)}" if paths else ""


# ------------------------------------------------------------------ settings and resources

CPUS_PER_GPU = 4


def numerics():
    """Settings of programs that compute with torch."""
    return {key: config["compute"][key] for key in ("threads", "dtype")}


def generation():
    """Settings of programs that generate text."""
    return {
        **numerics(),
        "engine": config["compute"]["generation"],
        "batch": config["compute"]["batch"],
    }


def table_memory(wildcards, input, attempt):
    """Megabytes of host memory of a program that holds the tables it reads."""
    return int((sizing.PROGRAM_MB + 12 * input.size_mb) * attempt)


# What jobs ask for, from the sizes in the configuration (docs/cluster.md).
try:
    PLAN = workload.plan(config)
except UserError as error:
    raise WorkflowError(str(error)) from None


def asked(rule, name):
    """Resources of a rule: `resources: **asked("train_model", "{model}")`.

    `name` is the entry of the plan, from the rule's wildcards. A job on several nodes runs srun
    itself, which Slurm's executor is told by `mpi`; a resource that is None is not asked for.
    """

    def work(wildcards):
        return PLAN[rule, name.format(**dict(wildcards.items()))]

    def cpus(wildcards):
        made = work(wildcards)
        return CPUS_PER_GPU * made.gpus // made.nodes or None

    requests = {
        "gpu": lambda wildcards: work(wildcards).gpus,
        "nodes": lambda wildcards: work(wildcards).nodes,
        "cpus_per_task": cpus,
        "mem_mb": lambda wildcards, attempt: sizing.memory(
            work(wildcards), config["sizing"], attempt
        ),
        "runtime": lambda wildcards, attempt: sizing.minutes(
            work(wildcards), config["sizing"], attempt
        ),
    }
    if any(made.nodes > 1 for (other, _), made in PLAN.items() if other == rule):
        requests |= {
            "mpi": lambda wildcards: "srun" if work(wildcards).nodes > 1 else None,
            "tasks": lambda wildcards: (
                work(wildcards).nodes if work(wildcards).nodes > 1 else None
            ),
            "tasks_per_gpu": lambda wildcards: 0 if work(wildcards).nodes > 1 else None,
        }
    return requests


# ------------------------------------------------------------------ before anything starts


def refuse_orphans():
    """Stop where Slurm jobs of a killed run still write here."""
    try:
        slurm_jobs.refuse(Path.cwd(), on_slurm=not workflow.local_exec)
    except UserError as error:
        raise WorkflowError(str(error)) from None
