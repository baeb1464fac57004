# What every stage uses: the experiment, its layout, names, code versions, resources.
#
# Reads:  config, the programs' source (for their version)
# Writes: nothing

import functools
import inspect
import json
import shlex
import sys
from pathlib import Path

from snakemake.common import overwrite_function_params
from snakemake.exceptions import WorkflowError
from snakemake.jobs import GroupJob, Job
from snakemake.resources import Resource

sys.path.insert(0, str(Path(workflow.basedir, "scripts")))

from jz3.io import UserError
from jz3.processes import MEND_SUFFIX
from jz3.workflow import (
    checks,
    environments,
    recipes,
    revisions,
    sizing,
    slurm_jobs,
    workload,
)
from jz3.workflow import layout as paths
from jz3.workflow.code_version import code_version as digest_of_program
from jz3.workflow.layout import Layout


def drop_removed(section):
    """An overlay removes an entry by setting it to null."""
    for key in [key for key, value in section.items() if value is None]:
        del section[key]
    for value in section.values():
        if isinstance(value, dict):
            drop_removed(value)


drop_removed(config)
try:
    experiment = checks.read(config, Path.cwd(), map(Path, workflow.configfiles))
except UserError as error:
    raise WorkflowError(str(error)) from None

# Without --sdm, programs run under the interpreter that runs Snakemake, and those that generate with
# vLLM in the environment beside it. Only the `sources` stage and a hosted teacher use the network.
GENERATION_STACK = environments.stack(
    experiment.compute.generation, rule_generates=True
)


def first_on_path(folder):
    """Shell command for a virtual environment; it does nothing where conda or an image has one."""
    if workflow.deployment_settings.deployment_method:
        return ":"
    return f"export PATH={shlex.quote(str(Path(folder, 'bin')))}:$PATH"


shell.prefix(
    f"set -euo pipefail; export HF_HUB_OFFLINE=1; {first_on_path(sys.prefix)}; "
)
# A resource of the rules that generate: where software lies reruns nothing.
WITH_VLLM = first_on_path(environments.vllm_folder(sys.prefix))
WITH_ENGINE = WITH_VLLM if GENERATION_STACK == "vllm" else ":"
# A teacher on GPUs is served by vLLM.
TEACHER_STACK = "vllm" if experiment.teacher_gpus else "main"
WITH_TEACHER = WITH_VLLM if TEACHER_STACK == "vllm" else ":"


layout = Layout(experiment)

# What jobs ask for, from the sizes in the configuration (docs/cluster.md).
try:
    PLAN = workload.plan(experiment)
except UserError as error:
    raise WorkflowError(str(error)) from None


def names(section):
    """Wildcard constraint: exactly the names in a part of the configuration."""
    return "|".join(section) or "(?!)"


wildcard_constraints:
    source=names(experiment.sources),
    dataset=names(experiment.datasets),
    checkpoint=names(experiment.checkpoints),
    collection=names(experiment.corpus.sources),
    benchmark=names(experiment.benchmarks),
    split="train|test",
    distillation=names(experiment.distillation),
    synthesizer=names(experiment.synthesizers),
    influence=names(experiment.influence),
    corpus=names(experiment.corpora),
    model=names(experiment.models),
    mode="cot|tool",
    shard=r"\d{5}",
    kind="train|vllm|evaluate",
    table=names(experiment.tables),


@functools.cache
def code_version(program):
    """Digest of a program and the local modules it imports, comments and layout left out."""
    try:
        return digest_of_program(Path(workflow.basedir, "scripts", program))
    except UserError as error:
        raise WorkflowError(str(error)) from None


def in_results(path):
    """A path in the results folder for a param (Snakemake expands `<results>` in files only)."""
    return f"{experiment.results}/{path}"


def option(flag, paths):
    """A command-line option with its paths, or nothing where there are none."""
    paths = [paths] if isinstance(paths, str) else list(paths)
    return f"{flag} {shlex.join(paths)}" if paths else ""


# ------------------------------------------------------------------ functions of wildcards


def known(function):
    """The function, its parameters noted: Snakemake looks them up for every job."""
    overwrite_function_params(function, inspect.signature(function).parameters)
    return function


known(Resource.evaluate)  # looked up twice for every resource of every job


def of(function, *words):
    """A function of the entries behind wildcards: `of(layout.corpus_table, "corpus")`."""
    function = functools.cache(function)
    return known(lambda wildcards: function(*(wildcards[word] for word in words)))


def recipe(make, *words):
    """For a param: what a program is told that can change bytes, as canonical JSON."""
    return of(lambda *names: canonical(make(experiment, *names).identity()), *words)


def conduct(make, *words):
    """For a resource, which reruns nothing: what it is told of how the run goes."""
    return of(lambda *names: canonical(make(experiment, *names).conduct()), *words)


def canonical(value):
    """Plain values as text that does not depend on the order of keys."""
    return json.dumps(value, sort_keys=True)


def given(flag, name):
    """For a param: a command-line option with the rule's input of this name, if there is any."""
    return known(lambda wildcards, input: option(flag, input[name]))


# ------------------------------------------------------------------ resources


def megabytes(number):
    """Host memory that grows with the attempts."""
    return known(lambda wildcards, attempt: number * attempt)


@known
def table_memory(wildcards, input, attempt):
    """Megabytes of host memory of a program that holds the tables it reads."""
    return int((sizing.PROGRAM_MB + 12 * input.size_mb) * attempt)


@known
def pooling_memory(wildcards, input, attempt):
    """Megabytes of host memory for joining passages: what tells duplicates is held."""
    return int((sizing.PROGRAM_MB + sizing.POOL_SHARE * input.size_mb) * attempt)


@known
def drawing_memory(wildcards, input, attempt):
    """Megabytes of host memory for the prompts of a corpus: the passages drawn are held."""
    prompts = experiment.written_corpora[wildcards.corpus].prompts
    if not prompts:  # every passage
        return table_memory(wildcards, input, attempt)
    return int((sizing.PROGRAM_MB + prompts * sizing.DRAW_BYTES / 1e6) * attempt)


def asked(rule, name, threads=None):
    """Resources of a rule: `resources: **asked("train_model", "{model}", threads=2)`.

    `name` is the entry of the plan, from the rule's wildcards. A job on several nodes runs srun
    itself, which Slurm's executor is told by `mpi`; a resource that is None is not asked for. What
    a rule writes as `threads` is cut to the cores of the machine that Snakemake runs on, and is
    asked for here again: a job's cores are not for the head node to decide.
    """

    def work(wildcards):
        return PLAN[rule, name.format(**dict(wildcards.items()))]

    def cpus(wildcards):
        made = work(wildcards)
        return sizing.CPUS_PER_GPU * made.gpus // made.nodes or threads

    requests = {
        "gpu": lambda wildcards: work(wildcards).gpus,
        "nodes": lambda wildcards: work(wildcards).nodes,
        "cpus_per_task": cpus,
        "mem_mb": lambda wildcards, attempt: sizing.memory(
            work(wildcards), experiment.sizing, attempt
        ),
        "runtime": lambda wildcards, attempt: sizing.minutes(
            work(wildcards), experiment.sizing, attempt
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
    return {resource: known(function) for resource, function in requests.items()}


@functools.cache
def node_request(kind):
    """What one kind of job asks of a node."""
    return workload.node_request(experiment, list(PLAN.values()), kind)


# ------------------------------------------------------------------ what is not tried again


def waits_for_its_user(job):
    """Whether the job's last attempt ended with something that only its user can mend."""
    return any(Path(f"{log}{MEND_SUFFIX}").exists() for log in job.log)


def attempts_left(job):
    """`retries`, but none where another attempt would meet the same mistake, on a GPU."""
    parts = job.jobs if job.is_group() else [job]
    return (
        0
        if any(map(waits_for_its_user, parts))
        else max(p.rule.restart_times for p in parts)
    )


def forget_mistakes():
    """A new run takes nobody's word of the last one's mistakes."""
    for note in Path(experiment.results, "logs").rglob(f"*{MEND_SUFFIX}"):
        note.unlink(missing_ok=True)


Job.restart_times = GroupJob.restart_times = property(attempts_left)


# ------------------------------------------------------------------ before anything starts


def admitted():
    """Marks of the node checks that a whole run begins with.

    Targets ask for them rather than long jobs: a check that is repeated, or switched off, must not
    make finished work again.
    """
    kinds = workload.NODE_KINDS if experiment.sizing.check_nodes else []
    return [f"<results>/preflight/{kind}.admitted" for kind in kinds]


def refuse_orphans():
    """Stop where Slurm jobs of a killed run still write here."""
    try:
        slurm_jobs.refuse(Path.cwd(), on_slurm=not workflow.local_exec)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def refuse_moving_revisions():
    """Stop where this run would fetch from the hub what may be something else tomorrow."""
    jobs = list(workflow.dag.needrun_jobs())
    datasets = [
        job.wildcards.dataset for job in jobs if job.rule.name == "fetch_dataset"
    ]
    checkpoints = [
        job.wildcards.checkpoint for job in jobs if job.rule.name == "fetch_model"
    ]
    try:
        revisions.refuse(experiment, sorted(datasets), sorted(checkpoints))
    except UserError as error:
        raise WorkflowError(str(error)) from None
