"""Every job of a configuration that is worth counting: its requests, tokens, money and disk.

Rules take their requests from `plan` (rules/common.smk) and `snakemake estimate` adds it up: what
is announced is what is asked for. The configuration's `sizing` says how long texts are.
"""

from collections.abc import Iterable
from typing import Any

from .. import io
from . import sharing
from .sizing import (
    PROGRAM_MB,
    WEIGHT_BYTES,
    Work,
    computing_hours,
    generation_gpus,
    generation_memory,
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
STATES = 2  # of a training kept at once


def plan(config: dict[str, Any]) -> dict[tuple[str, str], Work]:
    """Every job that is worth counting, by rule and name, in the order of the stages.

    Texts that are not yet written count with the mean lengths of `sizing.tokens`; problems that a
    filter will reject are counted as kept. Raises UserError for a training that no number of GPUs
    divides evenly.
    """
    works = [
        *_fetching(config),
        *_teaching(config),
        *_synthesizers(config),
        *_influence(config),
        *_synthesis(config),
        *_students(config),
        *_evaluation(config),
    ]
    return {(work.rule, work.name): work for work in works}


def _size(config: dict[str, Any], checkpoint: str) -> tuple[float, float]:
    """Billions of parameters: all, and those that one token passes through."""
    entry = config["checkpoints"][checkpoint]
    return entry["parameters"], entry.get("active_parameters", entry["parameters"])


def _lengths(config: dict[str, Any], mode: str) -> tuple[int, int]:
    """Mean tokens of a synthesis prompt, and of a problem with its solution."""
    tokens = config["sizing"]["tokens"][mode]
    return tokens["prompt"], tokens["answer"]


def _training(config: dict[str, Any], checkpoint: str, recipe: str, tokens: float) -> dict:
    """Requests of a full fine-tuning job, `tokens` in all passes."""
    sizing, settings = config["sizing"], config["recipes"][recipe]
    billions, active = _size(config, checkpoint)
    try:
        gpus = training_gpus(
            sizing,
            billions,
            config["compute"]["gpus"]["train"],
            settings["global_batch"] // settings["micro_batch"],
        )
    except io.UserError as error:
        raise io.UserError(f"recipes.{recipe}: {error}") from None
    flop = (8 if settings["gradient_checkpointing"] else 6) * active * 1e9 * tokens
    return {
        "gpus": gpus,
        "nodes": nodes_of(sizing, gpus),
        "memory_mb": training_memory(sizing, billions, gpus),
        "tokens": tokens,
        "hours": computing_hours(flop, sizing["training_tflops"], gpus),
    }


def _generation(config: dict[str, Any], checkpoint: str, tokens: float, jobs: int = 1) -> dict:
    """Requests of generation jobs that read and write `tokens` in all."""
    sizing = config["sizing"]
    billions, active = _size(config, checkpoint)
    gpus = generation_gpus(sizing, billions, config["compute"]["gpus"]["generate"])
    return {
        "jobs": jobs,
        "gpus": gpus,
        "memory_mb": generation_memory(billions),
        "tokens": tokens,
        "hours": computing_hours(
            2 * active * 1e9 * tokens / jobs, sizing["generation_tflops"], gpus
        ),
    }


def _weights(config: dict[str, Any], checkpoint: str) -> float:
    return WEIGHT_BYTES * 1e9 * _size(config, checkpoint)[0]


def _base(config: dict[str, Any], section: str, name: str) -> str:
    entry = config[section][name]
    return entry.get("released") or entry["base"]


def _fetching(config):
    for name in config["checkpoints"]:
        billions, _ = _size(config, name)
        yield Work(
            "sources",
            "fetch_model",
            name,
            memory_mb=generation_memory(billions),
            disk=_weights(config, name),
        )


def _teaching(config):
    teacher = config["teacher"]
    price = teacher["prices"][teacher["model"]]
    for name, entry in config["distillation"].items():
        prompt, answer = _lengths(config, entry["mode"])
        answer = min(answer, teacher["max_tokens"])
        requests = entry["passages"]
        asked = new_requests(config, name)
        hours = requests * config["sizing"]["teacher_seconds"] / teacher["concurrency"] / 3600
        if teacher["requests_per_minute"]:
            hours = max(hours, requests / teacher["requests_per_minute"] / 60)
        yield Work(
            "distillation",
            "ask_teacher",
            name,
            tokens=asked * (prompt + answer),
            memory_mb=PROGRAM_MB if teacher["base_url"] else SERVER_MB,
            hours=hours,  # of all requests: which of two jobs comes first is not known
            dollars=asked * (prompt * price["input"] + answer * price["output"]) / 1e6,
            disk=requests * answer * ROW_BYTES,
        )


def new_requests(config: dict[str, Any], name: str) -> int:
    """Requests of a distillation whose answers no other one brings: random picks begin alike."""
    entry = config["distillation"][name]
    if entry["pick"] != "random":
        return entry["passages"]
    shorter = (
        other["passages"]
        for other_name, other in config["distillation"].items()
        if (other["pick"], other["mode"]) == ("random", entry["mode"])
        and (other["passages"], other_name) < (entry["passages"], name)
    )
    return entry["passages"] - max(shorter, default=0)


def _synthesizers(config):
    for name, entry in config["synthesizers"].items():
        if "released" in entry:
            continue
        picked = [config["distillation"][d] for d in entry["distillation"]]
        tokens = sum(d["passages"] * sum(_lengths(config, d["mode"])) for d in picked)
        tokens *= config["recipes"][entry["recipe"]]["epochs"]
        yield Work(
            "synthesizers",
            "train_synthesizer",
            name,
            **_training(config, entry["base"], entry["recipe"], tokens),
            disk=_weights(config, entry["base"]),
        )


def _influence(config):
    for name, entry in config["influence"].items():
        made = {p for p in sharing.SETTINGS if sharing.maker(config, name, p) == name}
        prompt, answer = _lengths(config, entry["mode"])
        candidates = entry["passages"]
        if "candidates" in made:
            written = candidates * (prompt + answer)
            yield Work(
                "influence",
                "synthesize_candidates",
                name,
                **_generation(config, _base(config, "synthesizers", entry["synthesizer"]), written),
                disk=candidates * answer * ROW_BYTES,
            )
        projection, shards = entry["projection"], entry["shards"]
        projected = projection["kind"] != "none"
        for rule, product, samples, jobs in (
            ("train_reference", "reference", candidates * entry["reference"]["share"], 1),
            ("target_gradients", "gradients", sum(t["problems"] for t in entry["targets"]), 1),
            ("store_features", "features", candidates * projected, shards),
            ("score_influence", "shards", candidates * (not projected), shards),
        ):
            if product in made and samples:
                yield _gradients(config, name, rule, samples * answer, jobs)
        if projected and "shards" in made:  # products with what is stored: minutes
            yield Work(
                "influence",
                "score_influence",
                name,
                jobs=shards,
                gpus=min(1, config["compute"]["gpus"]["train"]),  # that profiles/slurm counts on
                hours=stored_bytes(config, name) / STORE_RATE / shards / 3600,
            )


def _gradients(config: dict[str, Any], name: str, rule: str, tokens: float, jobs: int) -> Work:
    """Jobs of an influence entry that go through `tokens` in all, once per epoch."""
    reference = config["influence"][name]["reference"]
    billions, active = _size(config, reference["base"])
    tokens *= config["recipes"][reference["recipe"]]["epochs"]
    # No gradients of the frozen weights: 4 operations per weight and token; training repeats the
    # forward pass of what it did not keep.
    flop = (6 if rule == "train_reference" else 4) * active * 1e9 * tokens
    gpus = min(1, config["compute"]["gpus"]["train"])
    return Work(
        "influence",
        rule,
        name,
        jobs=jobs,
        gpus=gpus,
        memory_mb=training_memory(config["sizing"], billions, gpus),
        tokens=tokens,
        hours=computing_hours(flop / jobs, config["sizing"]["training_tflops"], gpus),
        disk=stored_bytes(config, name) if rule == "store_features" else 0.0,
    )


def stored_bytes(config: dict[str, Any], name: str) -> float:
    """Size of the stored features of an influence entry, all shards."""
    entry = config["influence"][name]
    epochs = config["recipes"][entry["reference"]["recipe"]]["epochs"]
    number = {"float16": 2, "float32": 4}[entry["projection"]["dtype"]]
    return entry["passages"] * epochs * entry["projection"]["dimension"] * number


def _synthesis(config):
    for name, entry in config["corpora"].items():
        if "released" in entry:
            continue
        prompt, answer = _lengths(config, entry["mode"])
        base = _base(config, "synthesizers", entry["synthesizer"])
        tokens = entry["prompts"] * (prompt + answer)
        yield Work(
            "synthesis",
            "synthesize",
            name,
            **_generation(config, base, tokens, entry["shards"]),
            disk=entry["prompts"] * answer * ROW_BYTES * 2,  # as shards, and filtered
        )
        yield Work(
            "synthesis",
            "filter_problems",
            name,
            memory_mb=int(PROGRAM_MB + entry["prompts"] * FILTER_BYTES / 1e6),
            hours=entry["prompts"] / FILTER_RATE / 3600,
        )


def state_bytes(works: Iterable[Work]) -> float:
    """Disk of unfinished training, if all models train at once: weights and two moments, twice."""
    return STATES * 12 / WEIGHT_BYTES * sum(w.disk for w in works if w.rule == "train_model")


def corpus_tokens(config: dict[str, Any], name: str) -> float:
    """Training tokens of a corpus, before anything is rejected."""
    entry = config["corpora"][name]
    if "released" in entry:
        return config["datasets"][entry["released"]].get("tokens", 0)
    return entry["prompts"] * _lengths(config, entry["mode"])[1]


def finetuning_tokens(config: dict[str, Any], name: str) -> float:
    """Training tokens of a fine-tuning set (files of the user's are not counted)."""
    entry = config["finetuning"][name]
    total = sum(config["datasets"][d].get("tokens", 0) for d in entry.get("datasets", []))
    for benchmark in entry.get("benchmarks", []):
        rows = problems(config["benchmarks"][benchmark]["splits"]["train"])
        total += sum(rows * _lengths(config, mode)[1] for mode in entry["modes"])
    return total


def problems(split: dict[str, Any]) -> int:
    """Problems of a split: those taken, or all that it has."""
    return split.get("problems") or split.get("size", 0)


def _students(config):
    for name, entry in config["models"].items():
        if not entry.keys() & {"pretrain", "finetune"}:
            continue
        tokens = sum(corpus_tokens(config, corpus) for corpus in entry.get("pretrain", []))
        tokens += sum(finetuning_tokens(config, part) for part in entry.get("finetune", []))
        yield Work(
            "training",
            "pack_corpus",
            name,
            memory_mb=int(PROGRAM_MB + tokens * PACK_BYTES / 1e6),
            tokens=tokens,
            hours=tokens / PACK_RATE / 3600,
            disk=tokens * ROW_BYTES,
        )
        tokens *= config["recipes"][entry["recipe"]]["epochs"]
        yield Work(
            "training",
            "train_model",
            name,
            **_training(config, entry["base"], entry["recipe"], tokens),
            disk=_weights(config, entry["base"]),
        )


def _evaluation(config):
    settings = config["evaluation"]
    cells = {
        (model, table["mode"], benchmark)
        for table in config["tables"].values()
        for model in table["models"]
        for benchmark in table["benchmarks"]
    }
    for model, mode, benchmark in sorted(cells):
        answer = min(_lengths(config, mode)[1], settings["max_new_tokens"])
        rounds = 2 if mode == "tool" else 1  # as a rule: the program, then the words after it
        rows = problems(config["benchmarks"][benchmark]["splits"]["test"]) * settings["samples"]
        tokens = rows * rounds * (QUESTION_TOKENS + answer)
        yield Work(
            "evaluation",
            "answer_benchmark",
            f"{model}/{mode}/{benchmark}",
            **_generation(config, config["models"][model]["base"], tokens),
            disk=rows * answer * ROW_BYTES,
        )
