"""A tiny world in which influence is estimated: a random model of two layers, candidates, targets."""

import argparse
import random
import signal
import subprocess
import sys
from pathlib import Path

import torch
from jz3 import io
from jz3.influence import reference_run, sample_gradients
from jz3.influence.texts import candidate_texts, kept
from jz3.records import BENCHMARK, PROBLEMS, SCORES

LORA = {"rank": 4, "alpha": 16, "dropout": 0.1, "targets": ["q_proj", "k_proj", "v_proj", "o_proj"]}
TRAINING = {
    "learning_rate": 2e-3, "schedule": "linear", "warmup_ratio": 0.03, "stable_ratio": 0.0,
    "minimum_ratio": 0.0, "epochs": 2, "global_batch": 1, "micro_batch": 1, "length": 96,
    "weight_decay": 0.0, "gradient_clip": 1.0, "gradient_checkpointing": False, "save_steps": 2,
    "dtype": "float32", "threads": 1, "share": 0.5, "lora": LORA,
}  # fmt: skip
TARGETS = [
    {"benchmark": "apples", "split": "train", "problems": 3, "by_subject": False},
    {"benchmark": "mixed", "split": "train", "problems": 3, "by_subject": True},
]
GRADIENTS = {
    "mode": "cot",
    "targets": TARGETS,
    "lora": LORA,
    "length": 96,
    "dtype": "float32",
    "threads": 1,
    "projection": {"kind": "none", "dimension": 8, "dtype": "float32"},
}
SCORING = {
    "feature": "released", "aggregate": "max", "lora": LORA, "length": 96, "dtype": "float32",
    "threads": 1, "shards": 1,
}  # fmt: skip
PROJECTED = {"kind": "sjlt", "dimension": 512, "dtype": "float32"}
STORING = {key: SCORING[key] for key in SCORING if key != "aggregate"} | {"projection": PROJECTED}
WORDS = [
    "red",
    "blue",
    "tree",
    "stone",
    "river",
    "seven",
    "circle",
    "angle",
    "root",
    "prime",
    "cloud",
    "paper",
    "north",
    "limit",
]


# ---------------------------------------------------------------- a tiny world


def problem(question: str, solution: str, status: str = "kept", mode: str = "cot") -> dict:
    empty = dict.fromkeys(PROBLEMS.names)
    return empty | {
        "problem_id": io.digest(question), "passage_id": io.digest([question]), "source": "web",
        "level": "grade", "mode": mode, "question": question, "solution": solution, "answer": "",
        "completion": "", "prompt": "", "finish_reason": "stop", "completion_tokens": 9,
        "status": status,
    }  # fmt: skip


def target(benchmark: str, number: int, subject: str = "", solution: str | None = None) -> dict:
    solution = f"{number} + 3 = {number + 3}. The answer is \\boxed{{{number + 3}}}."
    return {
        "problem_id": io.digest([benchmark, number]), "benchmark": benchmark, "split": "train",
        "subject": subject, "question": f"Tom has {number} apples and buys 3. How many {subject}?",
        "answer": str(number + 3), "solution": solution, "program": "", "choices": [],
    }  # fmt: skip


def nonsense(seed: int, words: int = 12) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def write(path: Path, rows: list[dict], schema) -> Path:
    io.write_table(path, rows, schema, {})
    return path


def make_world(folder: Path) -> Path:
    """A random model of 2 layers, candidates, and two benchmarks."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [nonsense(s) for s in range(50)] + [target("a", n)["question"] for n in range(50)],
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<eos>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>").save_pretrained(
        folder / "base"
    )
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=400, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        initializer_range=0.1, bos_token_id=None, eos_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    rows = [problem(nonsense(n), nonsense(100 + n, 5 + 3 * n)) for n in range(9)]
    planted = target("apples", 0)
    rows.append(problem(planted["question"], planted["solution"]))
    rows.append(problem("rejected", "never seen", status="duplicate"))
    write(folder / "candidates.parquet", rows, PROBLEMS)
    write(folder / "apples.parquet", [target("apples", n) for n in range(3)], BENCHMARK)
    mixed = [target("mixed", n, "algebra" if n < 6 else "sets") for n in range(8)]
    write(folder / "mixed.parquet", mixed, BENCHMARK)
    return folder


def options(world: Path, recipe: dict, output: Path, **others) -> argparse.Namespace:
    made = {
        "candidates": world / "candidates.parquet", "base": world / "base", "seed": 5, "code": "c",
        "targets": [world / "apples.parquet", world / "mixed.parquet"], "state": None,
    }  # fmt: skip
    return argparse.Namespace(**(made | {"recipe": recipe, "output": output} | others))


def train(world: Path, output: Path, recipe: dict = TRAINING, **others) -> Path:
    import train_reference

    train_reference.main(options(world, recipe, output, **others))
    return output


def aim(world: Path, reference_folder: Path, output: Path, recipe=GRADIENTS, **others) -> Path:
    import target_gradients

    target_gradients.main(options(world, recipe, output, reference=reference_folder, **others))
    return output


def store(world: Path, output: Path, recipe: dict = STORING, shard: int = 0, **others) -> Path:
    import store_features

    made = {"reference": world / "reference", "shard": shard} | others
    store_features.main(options(world, recipe, output, **made))
    return output


def rate(world: Path, output: Path, recipe: dict = SCORING, **others) -> Path:
    """Scores of all shards, joined."""
    import aggregate_scores
    import score_influence

    made = {
        "reference": world / "reference", "gradients": world / "targets.safetensors",
        "features": None,
    }  # fmt: skip
    shards = []
    for shard in range(recipe["shards"]):
        shards.append(output.with_suffix(".shards") / f"{shard:05d}.parquet")
        score_influence.main(options(world, recipe, shards[-1], shard=shard, **(made | others)))
    aggregate_scores.main(options(world, recipe, output, shards=shards))
    return output


def finish(world: Path) -> Path:
    """The world after train_reference, target_gradients and score_influence."""
    train(world, world / "reference")
    aim(world, world / "reference", world / "targets.safetensors")
    rate(world, world / "scores.parquet")
    return world


def scores_of(path: Path) -> list[dict]:
    return io.read_table(path, SCORES, extra_prefix="score_").to_pylist()


def lora_model(world: Path, checkpoint=None):
    model, tokenizer = sample_gradients.load_model(world / "base", "float32")
    model = sample_gradients.add_lora(model, LORA, 3)
    if checkpoint:
        reference_run.set_weights(model, checkpoint)
    else:  # B is zero at the start, which would hide the gradients of A
        torch.manual_seed(2)
        for weight in sample_gradients.lora_weights(model).values():
            torch.nn.init.normal_(weight, std=0.1)
    return model, tokenizer


def candidate_samples(world: Path, tokenizer) -> list[sample_gradients.Sample]:
    """The candidates that were kept, tokenised."""
    rows = kept(io.read_rows(world / "candidates.parquet", PROBLEMS), "")
    return sample_gradients.encode(tokenizer, candidate_texts(rows), SCORING["length"])


def backward(model, sample: sample_gradients.Sample) -> dict[str, torch.Tensor]:
    """The gradient of one sample, by transformers' own loss and a plain backward pass."""
    model.eval().requires_grad_(False)
    weights = sample_gradients.lora_weights(model)
    for weight in weights.values():
        weight.requires_grad_(True)
        weight.grad = None
    ids, labels = (torch.tensor([part]) for part in (sample.input_ids, sample.labels))
    model(input_ids=ids, labels=labels).loss.backward()
    return {name: weight.grad.clone() for name, weight in weights.items()}


def flat(parts: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([part.flatten() for part in parts.values()]).double()


# ---------------------------------------------------------------- interruptions

KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
from influence_world import *
from jz3.influence.sample_gradients import SampleGradients
whole, calls = SampleGradients.__call__, []
def counted(self, batch, take):
    calls.append(1)
    if len(calls) == {count}:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, batch, take)
SampleGradients.__call__ = counted
{call}
"""


def kill_at_batch(count: int, call: str) -> None:
    """Run `call` in a process that gets SIGKILL before its `count`-th batch of gradients."""
    here = Path(__file__).parent
    path = [str(here), str(here.parent / "scripts")]
    script = KILLED.format(path=path, count=count, call=call)
    ended = subprocess.run([sys.executable, "-c", script])
    assert ended.returncode == -signal.SIGKILL


def count_batches(monkeypatch) -> list:
    """A list that grows by one with every batch of gradients from now on."""
    calls, whole = [], sample_gradients.SampleGradients.__call__
    monkeypatch.setattr(
        sample_gradients.SampleGradients,
        "__call__",
        lambda self, batch, take: calls.append(1) or whole(self, batch, take),
    )
    return calls
