"""Does influence choose what helps? Planted targets are found; training on the chosen lowers loss.

    python tests/performance/influence_works.py --base MODEL [--folder FOLDER]

Real GSM8K problems are the targets; the candidates come from six sources of different relevance.
Needs the data described in tests/real_input.yaml at tests/real/. The real programs make the scores.
Then, for each seed, from a random half of the candidates: train LoRA on the best by score, and on
as many drawn at random, with equal initial weights and settings, and compare the loss on held-out
GSM8K problems. `--folder` keeps what is finished; a run with the same folder goes on from there.
Some 22 CPU-minutes on one core. Ends with one line of JSON.
"""

import argparse
import itertools
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import mean, stdev

ROOT = Path(__file__).parent.parent.parent
REAL = ROOT / "tests" / "real"
sys.path.insert(0, str(ROOT / "scripts"))

import aggregate_scores  # noqa: E402
import score_influence  # noqa: E402
import target_gradients  # noqa: E402
import torch  # noqa: E402
import train_reference  # noqa: E402
from jz3 import io  # noqa: E402
from jz3.benchmarks import word_problems  # noqa: E402
from jz3.benchmarks.prepare import prepare  # noqa: E402
from jz3.influence import sample_gradients  # noqa: E402
from jz3.influence.texts import candidate_texts, target_texts  # noqa: E402
from jz3.records import BENCHMARK, PROBLEMS, SCORES  # noqa: E402
from jz3.training import packing  # noqa: E402
from jz3.training.train import train  # noqa: E402

SEED = 17
LENGTH = 128  # tokens; longer candidates are cut
QUESTION = 240  # characters; candidates and targets with longer questions are left out
PER_SOURCE = 28
TARGETS, PLANTED, HELD_OUT = 24, 12, 64
CHOSEN = 24  # candidates trained on
LORA = {
    "rank": 16,
    "alpha": 64,
    "dropout": 0.1,
    "targets": ["q_proj", "k_proj", "v_proj", "o_proj"],
}
RECIPE = {
    "learning_rate": 2e-4, "schedule": "linear", "warmup_ratio": 0.03, "stable_ratio": 0.0,
    "minimum_ratio": 0.0, "epochs": 2, "global_batch": 2, "micro_batch": 2, "length": LENGTH,
    "weight_decay": 0.0, "gradient_clip": 1.0, "gradient_checkpointing": False, "save_steps": 1000,
    "dtype": "bfloat16", "threads": 1,
}  # fmt: skip
NAMES = ["Priya", "Omar", "Ingrid", "Mateo", "Yuki", "Kofi", "Leila", "Bruno"]


# ---------------------------------------------------------------- data


def gsm8k() -> list[dict]:
    """Short GSM8K training problems, in an order by content."""
    entry = {
        "fields": {"question": "{question}", "answer": "{answer}", "solution": "{answer}"},
        "take": "after_hashes",
        "clean": ["calculator"],
    }
    path = REAL / "benchmarks/gsm8k/train.jsonl"
    if not path.exists():
        sys.exit(f"{path}: not there. Put the data, or a link to it, at tests/real/.")
    rows, _ = prepare(entry, "gsm8k", "train", [path], SEED)
    return [r for r in rows if len(r["question"]) <= QUESTION and len(r["solution"]) <= 300]


def grams(text: str) -> set[tuple[str, ...]]:
    """The 10-grams of words of a text."""
    words = re.findall(r"\w+", text.lower())
    return set(zip(*(words[n:] for n in range(10)), strict=False))


def released(name: str, heading: str) -> list[tuple[str, str]]:
    """Question and solution of a sample of the authors' corpora."""
    rows = io.read_json_lines(REAL / f"released/{name}_data_sampled.jsonl")
    pattern = re.compile(rf"## Question\n(.*)\n\n## {heading}\n", re.DOTALL)
    return [(m[1], row["output"]) for row in rows if (m := pattern.fullmatch(row["input"]))]


def prose() -> list[tuple[str, str]]:
    """Paragraphs of research papers, cut in two: text that is no problem at all."""
    paragraphs = [
        " ".join(part.split())
        for path in sorted((REAL / "corpus/papers").glob("*.tex"))
        for part in path.read_text(errors="replace").split("\n\n")
        if len(part) > 300
    ]
    return [(text[:160], text[160:500]) for text in paragraphs]


def candidate(source: str, question: str, solution: str) -> dict:
    """A PROBLEMS row."""
    return dict.fromkeys(PROBLEMS.names) | {
        "problem_id": io.digest([source, question]), "passage_id": io.digest(question),
        "source": source, "level": "grade", "mode": "tool" if source == "tool" else "cot",
        "question": question, "solution": solution, "answer": "", "completion": "", "prompt": "",
        "finish_reason": "stop", "completion_tokens": 0, "status": "kept",
    }  # fmt: skip


def variant(row: dict, number: int) -> dict:
    """A target with other names and numbers, told in other words at its start."""
    names = sorted(
        set(re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}", row["question"] + " " + row["solution"]))
        | set(
            re.findall(r"^[A-Z][a-z]{2,}(?= (?:has|is|had|buys|bought|earns|and))", row["question"])
        )
    )
    renamed = {name: NAMES[(number + place) % len(NAMES)] for place, name in enumerate(names)}

    def change(text: str) -> str:
        text = re.sub(r"\b[A-Z][a-z]+\b", lambda m: renamed.get(m[0], m[0]), text)
        return re.sub(r"\b\d+\b", lambda m: str(int(m[0]) + 2), text)

    question = "Work this out. " + change(row["question"])
    return candidate("planted", question, change(row["solution"]))


def make_data() -> tuple[list[dict], list[dict], list[dict]]:
    """Target problems, held-out problems, candidates (the planted ones have that source)."""
    rows = gsm8k()
    targets, held_out = rows[:TARGETS], rows[TARGETS : TARGETS + HELD_OUT]
    made = word_problems.generate("train", PER_SOURCE, SEED)
    pools = {
        "word_problems": [(row["question"], row["solution"]) for row in made],
        "sft": released("finetune", "Solution"),
        "pretrain": released("cot_pretrain", "Solution"),
        "tool": released("tool_pretrain", "Code Solution"),
        "math": [
            (row["problem"], row["solution"])
            for row in io.read_json_lines(REAL / "benchmarks/math/test.jsonl")
        ],
        "prose": prose(),
    }
    seen = set().union(*(grams(row["question"]) for row in targets + held_out))
    candidates = [variant(row, number) for number, row in enumerate(targets[:PLANTED])]
    for source, pairs in pools.items():
        fit = [
            (question, solution)
            for question, solution in pairs
            if len(question) <= QUESTION and solution.strip() and not grams(question) & seen
        ]
        fit.sort(key=lambda pair: io.digest([SEED, *pair]))
        candidates += [candidate(source, *pair) for pair in fit[:PER_SOURCE]]
    return targets, held_out, candidates


# ---------------------------------------------------------------- scores, by the real programs


def make_scores(base: Path, folder: Path) -> None:
    """Reference run, target directions and scores, as the workflow makes them."""
    targets = [{"benchmark": "gsm8k", "split": "train", "problems": 0, "by_subject": False}]
    common = {"lora": LORA, "length": LENGTH, "dtype": "bfloat16", "threads": 1}
    aims = {"mode": "cot", "targets": targets, "projection": {"kind": "none", "dimension": 0}}
    # (program, product, recipe)
    steps = [
        (train_reference, "reference", RECIPE | {"lora": LORA, "share": 0.25}),
        (target_gradients, "targets.safetensors", common | aims),
        (score_influence, "shard.parquet", common | {"feature": "released", "shards": 1}),
        (aggregate_scores, "scores.parquet", {"aggregate": "max"}),
    ]
    for module, name, recipe in steps:
        if not (folder / name).exists():
            options = argparse.Namespace(
                candidates=folder / "candidates.parquet", base=base, code="", seed=SEED,
                targets=[folder / "gsm8k.parquet"], reference=folder / "reference",
                gradients=folder / "targets.safetensors", features=None, shard=0,
                shards=[folder / "shard.parquet"], recipe=recipe, output=folder / name,
                state=folder / f"state-{name}",
            )  # fmt: skip
            module.main(options)


# ---------------------------------------------------------------- training and held-out loss


def fresh_model(base: Path, seed: int):
    """The base model with new LoRA weights."""
    model, tokenizer = sample_gradients.load_model(base, "bfloat16")
    return sample_gradients.add_lora(model, LORA, seed), tokenizer


def loss(model, samples: list[sample_gradients.Sample]) -> float:
    """Mean over samples of the loss per output token (nats)."""
    model.eval()
    losses = []
    with torch.no_grad():
        for sample in samples:
            ids, labels = (torch.tensor([part]) for part in (sample.input_ids, sample.labels))
            first = next(n for n, label in enumerate(sample.labels) if label != packing.IGNORED)
            logits = model(input_ids=ids, logits_to_keep=ids.shape[1] - first + 1).logits
            losses.append(
                torch.nn.functional.cross_entropy(logits[0, :-1].float(), labels[0, first:]).item()
            )
    return mean(losses)


def loss_after(base: Path, rows: list[dict], held_out: list[dict], seed: int) -> float:
    """Held-out loss of the base model, trained on `rows` if there are any."""
    model, tokenizer = fresh_model(base, seed)
    if rows:
        samples = sample_gradients.encode(tokenizer, candidate_texts(rows), LENGTH)
        documents = [packing.Document(list(s.input_ids), list(s.labels)) for s in samples if s]
        train(model, packing.pack(documents, LENGTH), RECIPE, seed=seed, state=None)
    return loss(model, sample_gradients.encode(tokenizer, target_texts(held_out, "cot"), LENGTH))


def sign_flip(differences: list[float]) -> float:
    """Two-sided p-value of a mean of zero: all flips of the pairs' signs (exact)."""
    observed = abs(sum(differences)) * (1 - 1e-12)
    flips = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips]
    return sum(total >= observed for total in sums) / len(sums)


# ---------------------------------------------------------------- main


def recall(rows: list[dict], scores: dict[str, float]) -> float:
    """Share of the planted among the best, as many as there are planted ones."""
    planted = sum(row["source"] == "planted" for row in rows)
    best = sorted(rows, key=lambda row: -scores[row["problem_id"]])[:planted]
    return sum(row["source"] == "planted" for row in best) / planted


def measure(base: Path, folder: Path, seeds: int) -> dict:
    """Both questions; see the module's docstring."""
    folder.mkdir(parents=True, exist_ok=True)
    targets, held_out, candidates = make_data()
    io.write_table(folder / "gsm8k.parquet", targets, BENCHMARK, {})
    io.write_table(folder / "candidates.parquet", candidates, PROBLEMS, {})
    make_scores(base, folder)
    table = io.read_table(folder / "scores.parquet", SCORES, extra_prefix="score_").to_pylist()
    scores = {row["problem_id"]: row["total"] for row in table}
    rows = [row for row in candidates if row["problem_id"] in scores]
    by_source = {
        source: round(mean(scores[r["problem_id"]] for r in rows if r["source"] == source), 5)
        for source in dict.fromkeys(row["source"] for row in rows)
    }
    print("mean score by source:", by_source)
    unrelated = [row for row in rows if row["source"] not in ("sft", "word_problems")]
    found = {"among unrelated": recall(unrelated, scores), "among all": recall(rows, scores)}
    print("planted targets recalled:", found)
    pool = [row for row in rows if row["source"] != "planted"]
    chosen_sources: Counter[str] = Counter()
    with io.Journal(folder / "losses.jsonl", "run") as journal:
        for seed in range(-1, seeds):
            half = random.Random(f"half {seed}").sample(pool, len(pool) // 2)
            best = sorted(half, key=lambda row: -scores[row["problem_id"]])[:CHOSEN]
            drawn = random.Random(f"drawn {seed}").sample(half, CHOSEN)
            arms = {"untrained": []} if seed < 0 else {"chosen": best, "random": drawn}
            chosen_sources.update(row["source"] for row in arms.get("chosen", []))
            for arm, subset in arms.items():
                run = f"{seed}/{arm}"
                if run not in journal:
                    value = loss_after(base, subset, held_out, seed + 1)
                    journal.append({"run": run, "loss": value})
                print(f"seed {seed} {arm}: held-out loss {journal.records[run]['loss']:.4f}")
        losses = {run: record["loss"] for run, record in journal.records.items()}
    chosen, at_random = (
        [losses[f"{seed}/{arm}"] for seed in range(seeds)] for arm in ("chosen", "random")
    )
    differences = [a - b for a, b in zip(chosen, at_random, strict=True)]
    print("sources of the chosen:", dict(chosen_sources.most_common()))
    return {
        "step": "influence_works",
        "unit": "held-out loss, nats per token",
        "ours": round(mean(chosen), 4),
        "peers": {"random": round(mean(at_random), 4)},
        "untrained": round(losses["-1/untrained"], 4),
        "difference": round(mean(differences), 4),
        "deviation": round(stdev(differences), 4),
        "better": sum(d < 0 for d in differences),
        "seeds": seeds,
        "p": round(sign_flip(differences), 5),
        "recall": found,
        "candidates": len(rows),
        "score_by_source": by_source,
        "chosen_by_source": dict(chosen_sources.most_common()),
        "seconds": round(time.process_time(), 1),
    }


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--base", type=Path, required=True, help="folder of the model")
    arguments.add_argument("--folder", type=Path, help="where to keep what is finished")
    arguments.add_argument("--seeds", type=int, default=10, help="paired runs")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        result = measure(options.base, options.folder or Path(temporary), options.seeds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
