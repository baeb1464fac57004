"""Every job of a configuration that is worth counting: its requests, tokens, money and disk.

Rules take their requests from `plan` (rules/common.smk) and `snakemake estimate` adds it up: what
is announced is what is asked for. The configuration's `sizing` says how long texts are.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from .. import io
from . import environments
from .entries import Model, ReleasedCorpus, TrainedSynthesizer
from .experiment import Experiment
from .recipes import CheckNode
from .settings import Mode
from .sizing import (
    NODE_SHARE,
    OPTIMIZER_BYTES,
    PROGRAM_MB,
    QUANTISED_BYTES,
    WEIGHT_BYTES,
    Work,
    computing_hours,
    engine_start_hours,
    generation_gpus,
    generation_memory,
    mapped_memory,
    nodes_of,
    training_gpus,
    training_memory,
)

SERVER_MB = 8000  # of host memory for a local teacher
FILTER_BYTES = 15_000  # of host memory per problem: question, sketch, index (13,400 measured)
FILTER_RATE = 2_000.0  # problems filtered per second (4,700 measured)
STORE_RATE = 50e6  # bytes of stored features scored per second
PACK_BYTES = 9  # of host memory per token, twice what it holds while it grows
PACK_RATE = 300_000.0  # tokens packed per second (530,000 measured on two cores)
ROW_BYTES = 4  # per token of a stored text, compressed
QUESTION_TOKENS = 100  # of a benchmark problem
STATES = 3  # of a training at once: two are kept while the next is written
JOURNAL_HOURS = 0.02  # of a job that reads one benchmark's answers from its journals


def plan(experiment: Experiment) -> dict[tuple[str, str], Work]:
    """Every job that is worth counting, by rule and name, in the order of the stages.

    Texts that are not yet written count with the mean lengths of `sizing.tokens`; problems that a
    filter will reject are counted as kept. Raises UserError for a training that no number of GPUs
    divides evenly.
    """
    works = [
        *_fetching(experiment),
        *_teaching(experiment),
        *_synthesizers(experiment),
        *_influence(experiment),
        *_synthesis(experiment),
        *_students(experiment),
        *_evaluation(experiment),
    ]
    return {(work.rule, work.name): work for work in works}


def _size(experiment: Experiment, checkpoint: str) -> tuple[float, float]:
    """Billions of parameters: all, and those that one token passes through."""
    entry = experiment.checkpoints[checkpoint]
    return entry.parameters, entry.active


def lengths(experiment: Experiment, mode: Mode) -> tuple[int, int]:
    """Mean tokens of a synthesis prompt, and of a problem with its solution."""
    tokens = experiment.sizing.tokens
    mean = tokens.cot if mode == "cot" else tokens.tool
    return mean.prompt, mean.answer


def _training(
    experiment: Experiment, entry: Model | TrainedSynthesizer, tokens: float
) -> dict[str, Any]:
    """Requests of a full fine-tuning job, `tokens` in all passes."""
    sizing, settings = experiment.sizing, experiment.recipe_of(entry)
    billions, active = _size(experiment, entry.base)
    try:
        gpus = training_gpus(
            sizing,
            billions,
            experiment.compute.gpus.train,
            settings.global_batch // settings.micro_batch,
            OPTIMIZER_BYTES[settings.optimizer or "adamw"],
        )
    except io.UserError as error:
        raise io.UserError(f"recipes.{entry.recipe}: {error}") from None
    flop = (8 if settings.gradient_checkpointing else 6) * active * 1e9 * tokens
    return {
        "gpus": gpus,
        "nodes": nodes_of(sizing, gpus),
        "memory_mb": training_memory(sizing, billions, gpus),
        "tokens": tokens,
        "hours": computing_hours(flop, sizing.training_tflops, gpus),
    }


def _generation(
    experiment: Experiment, checkpoint: str, tokens: float, jobs: int = 1
) -> dict[str, Any]:
    """Requests of generation jobs that read and write `tokens` in all."""
    sizing = experiment.sizing
    billions, active = _size(experiment, checkpoint)
    held, engine = _held(experiment, checkpoint), experiment.engine_of(checkpoint)
    gpus = generation_gpus(sizing, billions, experiment.compute.gpus.generate, held)
    return {
        "jobs": jobs,
        "gpus": gpus,
        "memory_mb": (
            mapped_memory(billions, gpus, held)
            if gpus and engine == "vllm"
            else generation_memory(billions, held)
        ),
        "tokens": tokens,
        "hours": computing_hours(2 * active * 1e9 * tokens / jobs, sizing.generation_tflops, gpus),
        "start_hours": engine_start_hours(engine, billions, held),
    }


def _weights(experiment: Experiment, checkpoint: str) -> float:
    return _held(experiment, checkpoint) * 1e9 * _size(experiment, checkpoint)[0]


def _held(experiment: Experiment, checkpoint: str) -> float:
    """Bytes per parameter of a stored model."""
    return QUANTISED_BYTES if checkpoint in experiment.quantised else WEIGHT_BYTES


def _fetching(experiment: Experiment) -> Iterator[Work]:
    for name in experiment.checkpoints:
        billions, _ = _size(experiment, name)
        yield Work(
            "sources",
            "fetch_model",
            name,
            memory_mb=generation_memory(billions),
            disk=_weights(experiment, name),
        )


def _teaching(experiment: Experiment) -> Iterator[Work]:
    teacher = experiment.teacher
    price = experiment.price
    for name, entry in experiment.distillation.items():
        prompt, answer = lengths(experiment, entry.mode)
        answer = min(answer, teacher.max_tokens)
        requests = entry.passages
        asked = new_requests(experiment, name)
        hours = requests * experiment.sizing.teacher_seconds / teacher.concurrency / 3600
        if teacher.requests_per_minute:
            hours = max(hours, requests / teacher.requests_per_minute / 60)
        served = _served(experiment, requests * (prompt + answer))
        yield Work(
            "distillation",
            "ask_teacher",
            name,
            tokens=asked * (prompt + answer),
            # of all requests: which of two jobs comes first is not known
            **{
                "memory_mb": PROGRAM_MB if teacher.base_url else SERVER_MB,
                "hours": hours,
                **served,
            },
            dollars=asked * (prompt * price.input + answer * price.output) / 1e6,
            disk=requests * answer * ROW_BYTES,
        )


def _served(experiment: Experiment, tokens: float) -> dict[str, Any]:
    """Requests of a job that serves a checkpoint on GPUs and asks it for `tokens` in all."""
    checkpoint, gpus = experiment.teacher.serve.checkpoint, experiment.teacher_gpus
    if not (checkpoint and gpus):
        return {}
    billions, active = _size(experiment, checkpoint)
    speed = experiment.sizing.generation_tflops
    return {
        "gpus": gpus,
        "memory_mb": SERVER_MB + mapped_memory(billions, gpus),
        "hours": computing_hours(2 * active * 1e9 * tokens, speed, gpus),
        "start_hours": engine_start_hours("vllm", billions),
    }


def new_requests(experiment: Experiment, name: str) -> int:
    """Requests of a distillation whose answers no other one brings: random picks begin alike."""
    entry = experiment.distillation[name]
    if entry.pick != "random":
        return entry.passages
    shorter = (
        other.passages
        for other_name, other in experiment.distillation.items()
        if (other.pick, other.mode) == ("random", entry.mode)
        and (other.passages, other_name) < (entry.passages, name)
    )
    return entry.passages - max(shorter, default=0)


def _synthesizers(experiment: Experiment) -> Iterator[Work]:
    for name, entry in experiment.trained_synthesizers.items():
        picked = [experiment.distillation[d] for d in entry.distillation]
        tokens = sum(d.passages * sum(lengths(experiment, d.mode)) for d in picked)
        tokens *= experiment.recipe_of(entry).epochs
        yield Work(
            "synthesizers",
            "train_synthesizer",
            name,
            **_training(experiment, entry, tokens),
            disk=_weights(experiment, entry.base),
        )


def _influence(experiment: Experiment) -> Iterator[Work]:
    for name, entry in experiment.influence.items():
        made = {p for p in experiment.DECIDING if experiment.maker(name, p) == name}
        prompt, answer = lengths(experiment, entry.mode)
        candidates = entry.passages
        if "candidates" in made:
            written = candidates * (prompt + answer)
            yield Work(
                "influence",
                "synthesize_candidates",
                name,
                **_generation(
                    experiment, experiment.synthesizers[entry.synthesizer].start, written
                ),
                disk=candidates * answer * ROW_BYTES,
            )
        shards = entry.shards
        projected = entry.is_projected
        for rule, product, samples, jobs in (
            ("train_reference", "reference", candidates * entry.reference.share, 1),
            ("target_gradients", "gradients", sum(t.problems for t in entry.targets), 1),
            ("store_features", "features", candidates * projected, shards),
            ("score_influence", "shards", candidates * (not projected), shards),
        ):
            if product in made and samples:
                yield _gradients(experiment, name, rule, samples * answer, jobs)
        if projected and "shards" in made:  # products with what is stored: minutes
            yield Work(
                "influence",
                "score_influence",
                name,
                jobs=shards,
                gpus=min(1, experiment.compute.gpus.train),  # that profiles/slurm counts on
                hours=stored_bytes(experiment, name) / STORE_RATE / shards / 3600,
            )


def _gradients(experiment: Experiment, name: str, rule: str, tokens: float, jobs: int) -> Work:
    """Jobs of an influence entry that go through `tokens` in all, once per epoch."""
    entry = experiment.influence[name]
    billions, active = _size(experiment, entry.reference.base)
    tokens *= experiment.recipe_of(entry).epochs
    # No gradients of the frozen weights: 4 operations per weight and token; training repeats the
    # forward pass of what it did not keep.
    flop = (6 if rule == "train_reference" else 4) * active * 1e9 * tokens
    gpus = min(1, experiment.compute.gpus.train)
    return Work(
        "influence",
        rule,
        name,
        jobs=jobs,
        gpus=gpus,
        memory_mb=training_memory(experiment.sizing, billions, gpus),
        tokens=tokens,
        hours=computing_hours(flop / jobs, experiment.sizing.training_tflops, gpus),
        disk=stored_bytes(experiment, name) if rule == "store_features" else 0.0,
    )


def stored_bytes(experiment: Experiment, name: str) -> float:
    """Size of the stored features of an influence entry, all shards."""
    entry = experiment.influence[name]
    epochs = experiment.recipe_of(entry).epochs
    number = {"float16": 2, "float32": 4}[entry.projection.dtype]
    return entry.passages * epochs * entry.projection.dimension * number


def _synthesis(experiment: Experiment) -> Iterator[Work]:
    for name, entry in experiment.written_corpora.items():
        prompt, answer = lengths(experiment, entry.mode)
        base = experiment.synthesizers[entry.synthesizer].start
        tokens = entry.prompts * (prompt + answer)
        yield Work(
            "synthesis",
            "synthesize",
            name,
            **_generation(experiment, base, tokens, entry.shards),
            disk=entry.prompts * answer * ROW_BYTES * 2,  # as shards, and filtered
        )
        yield Work(
            "synthesis",
            "filter_problems",
            name,
            memory_mb=int(PROGRAM_MB + entry.prompts * FILTER_BYTES / 1e6),
            hours=entry.prompts / FILTER_RATE / 3600,
        )


def state_bytes(works: Iterable[Work]) -> float:
    """Disk of unfinished training, if all models train at once: weights and two moments each."""
    return STATES * 12 / WEIGHT_BYTES * sum(w.disk for w in works if w.rule == "train_model")


def corpus_tokens(experiment: Experiment, name: str) -> float:
    """Training tokens of a corpus, before anything is rejected."""
    entry = experiment.corpora[name]
    if isinstance(entry, ReleasedCorpus):
        return experiment.datasets[entry.released].tokens or 0
    return entry.prompts * lengths(experiment, entry.mode)[1]


def finetuning_tokens(experiment: Experiment, name: str) -> float:
    """Training tokens of a fine-tuning set (files of the user's are not counted)."""
    entry = experiment.finetuning[name]
    total = sum(experiment.datasets[d].tokens or 0 for d in entry.datasets or ())
    for benchmark in entry.benchmarks or ():
        rows = experiment.split(benchmark, "train").taken
        total += sum(rows * lengths(experiment, mode)[1] for mode in entry.modes)
    return total


def _students(experiment: Experiment) -> Iterator[Work]:
    for name, entry in experiment.trained_models.items():
        tokens = sum(corpus_tokens(experiment, corpus) for corpus in entry.pretrain or ())
        tokens += sum(finetuning_tokens(experiment, part) for part in entry.finetune or ())
        yield Work(
            "training",
            "pack_corpus",
            name,
            memory_mb=int(PROGRAM_MB + tokens * PACK_BYTES / 1e6),
            tokens=tokens,
            hours=tokens / PACK_RATE / 3600,
            disk=tokens * ROW_BYTES,
        )
        tokens *= experiment.recipe_of(entry).epochs
        yield Work(
            "training",
            "train_model",
            name,
            **_training(experiment, entry, tokens),
            disk=_weights(experiment, entry.base),
        )


def _evaluation(experiment: Experiment) -> Iterator[Work]:
    cells = sorted(experiment.all_evaluations)
    for (model, mode), own in groupby(cells, key=lambda cell: (cell.model, cell.mode)):
        base, benchmarks = experiment.models[model].base, [cell.benchmark for cell in own]
        if together := experiment.generates_together(model):
            tokens = sum(_answered(experiment, mode, benchmark)[0] for benchmark in benchmarks)
            yield Work(
                "evaluation",
                "generate_answers",
                f"{model}/{mode}",
                **_generation(experiment, base, tokens),
            )
        for benchmark in benchmarks:
            tokens, disk = _answered(experiment, mode, benchmark)
            own_request = (
                {"hours": JOURNAL_HOURS} if together else _generation(experiment, base, tokens)
            )
            name = f"{model}/{mode}/{benchmark}"
            yield Work("evaluation", "answer_benchmark", name, disk=disk, **own_request)


def _answered(experiment: Experiment, mode: Mode, benchmark: str) -> tuple[float, float]:
    """Tokens read and written for one benchmark, and bytes of its answers."""
    settings = experiment.evaluation
    answer = min(lengths(experiment, mode)[1], settings.max_new_tokens)
    rounds = 2 if mode == "tool" else 1  # as a rule: the program, then the words after it
    rows = experiment.split(benchmark, "test").taken * settings.samples
    return rows * rounds * (QUESTION_TOKENS + answer), rows * answer * ROW_BYTES


# ---------------------------------------------------------------- nodes

NODE_KINDS = ("train", "vllm", "evaluate")  # by the software that the jobs use: envs/
_PROGRAMS = {
    "train": ("train_synthesizer", "train_reference", "train_model"),
    "vllm": ("synthesize", "synthesize_candidates", "generate_answers", "answer_benchmark"),
    "evaluate": (),
}


def execution_memory(experiment: Experiment) -> int:
    """Megabytes of host memory for running model-written programs."""
    return 2000 + experiment.execution.workers * experiment.execution.memory_mb


def node_request(experiment: Experiment, works: Sequence[Work], kind: str) -> CheckNode:
    """What the largest job of a kind asks of one node, and what the run leaves on the disk."""
    asking = [work for work in works if work.rule in _PROGRAMS[kind]]
    if kind == "vllm":  # a teacher served on GPUs as well
        asking += [work for work in works if work.rule == "ask_teacher" and work.gpus]
    memory = max((work.memory_mb for work in asking), default=execution_memory(experiment))
    return CheckNode(
        results=experiment.results,
        gpus=max((work.gpus // work.nodes for work in asking), default=0),
        memory_mb=memory,
        disk=sum(work.disk for work in works) + state_bytes(works),
        gpu_memory_gb=experiment.sizing.gpu_memory_gb,
        dtype=experiment.numerics("train" if kind == "train" else "generate")["dtype"],
        stack=environments.stack(experiment.compute.generation, kind == "vllm"),
        accept_versions=experiment.compute.accept_versions,
        accept_missing=experiment.execution.accept_missing,
    )


def node_threads(experiment: Experiment, kind: str) -> int:
    """Cores of one kind of job."""
    return experiment.execution.workers if kind == "evaluate" else experiment.compute.threads


def node_memory(experiment: Experiment, request: CheckNode) -> int:
    """Megabytes that a job of a kind is given, as far as a node has them."""
    return int(min(request.memory_mb, NODE_SHARE * experiment.sizing.node_memory_gb))


def gpus_of_jobs(works: Iterable[Work]) -> dict[str, dict[str, int]]:
    """GPUs of a job, by rule and name."""
    found: dict[str, dict[str, int]] = {}
    for work in works:
        found.setdefault(work.rule, {})[work.name] = work.gpus
    return found
