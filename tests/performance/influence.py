"""Speed of influence scores against LESS's procedure, with equal scores; or a 7B shape on a GPU.

    python tests/performance/influence.py --base MODEL [--rank 16 --dimension 512]
    python tests/performance/influence.py --gpu-shape 7b

Both do the same work in one process with one thread: features of candidates against targets at two
checkpoints of a real reference run, on the texts of `influence_works.py` uncut. Ours is the product
itself. The peer is LESS as released: one sample at a time, `loss.backward()`, Adam's feature, fp16
stacks of 16, TRAK's BasicProjector (Rademacher, 8192, seed 0, blocks of 128), cosines of the
projected. It gets the faster choice where ours was measured against it: eager attention, and
float32 inside the projector (float16 products are ten times slower on a processor without them).

Times are process CPU-seconds. Its projection is timed on its first stack; the other samples are
then projected in one call, to save time. With another `--dimension` the time is scaled to 8192 and
projected scores are not compared; it needs two blocks at least, since the projector keeps a single
one, where it makes 64 anew for each stack. Needs envs/bench.txt beside the product's packages, and
the data described in tests/real_input.yaml at tests/real/. Ends with one line of JSON.
"""

import argparse
import contextlib
import json
import resource
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "scripts"))

import torch
from influence_works import LORA, RECIPE, make_data
from jz3 import io, processor
from jz3.influence import adam_features, sample_gradients
from jz3.influence import reference_run as reference
from jz3.influence import scores as influence
from jz3.influence.sample_gradients import Sample
from jz3.influence.target_directions import Directions, target_directions
from jz3.influence.texts import candidate_texts, target_texts
from jz3.records import PROBLEMS

CANDIDATES, TARGETS, LENGTH, SEED = 24, 8, 512, 17
LESS_DIMENSION, LESS_STACK = 8192, 16
SHAPES = {  # hidden, inner, layers, heads, key-value heads, vocabulary; LoRA rank; samples, tokens
    "7b": ((4096, 14336, 32, 32, 8, 32000), 128, 512, 512),
    "tiny": ((64, 128, 2, 4, 2, 400), 8, 16, 48),
}


class Clock:
    """Seconds by phase; a phase inside another one is not counted twice."""

    def __init__(self, now=time.process_time):
        self.now, self.seconds, self.inner = now, defaultdict(float), [0.0]

    @contextlib.contextmanager
    def __call__(self, phase: str):
        began = self.now()
        self.inner.append(0.0)
        try:
            yield
        finally:
            took = self.now() - began
            self.seconds[phase] += took - self.inner.pop()
            self.inner[-1] += took

    def wrapped(self, phase: str, function):
        """The function, timed as `phase`."""

        def timed(*arguments, **named):
            with self(phase):
                return function(*arguments, **named)

        return timed


def texts() -> tuple[list[tuple], list[tuple], list[dict]]:
    """Candidates and targets as (identity, prompt, output), and all candidate rows."""
    targets, _, rows = make_data()
    by_source = defaultdict(list)
    for row in rows:
        by_source[row["source"]].append(row)
    mixed = [row for group in zip(*by_source.values(), strict=False) for row in group]
    return (
        candidate_texts(mixed[:CANDIDATES]),
        target_texts(targets[:TARGETS], "cot"),
        rows,
    )


def reference_run(base: Path, folder: Path, rank: int) -> list[reference.Checkpoint]:
    """The checkpoints of a short reference run, made in `folder` if it has none yet."""
    import train_reference

    folder.mkdir(parents=True, exist_ok=True)
    lora = LORA | {"rank": rank, "alpha": 4 * rank}
    run = folder / f"reference-{rank}"
    if not run.exists():
        io.write_table(folder / "candidates.parquet", texts()[2], PROBLEMS, {})
        options = argparse.Namespace(
            candidates=folder / "candidates.parquet", base=base, output=run, state=None, code="",
            recipe=RECIPE | {"lora": lora, "share": 0.15}, seed=SEED,
        )  # fmt: skip
        train_reference.main(options)
    return reference.load_all(run, lora)


# ---------------------------------------------------------------- ours


def ours(
    base: Path, checkpoints, lora: dict, dtype: str, folder: Path, tokens: int = 0
) -> tuple[dict, dict]:
    """Scores by candidate, and CPU-seconds by phase; batches of `tokens` (0: as usual)."""
    clock = Clock()
    candidates, targets, _ = texts()
    with clock("load"):
        model, tokenizer = sample_gradients.load_model(base, dtype)
        model = sample_gradients.add_lora(model, lora, SEED)
    with clock("tokenise"):
        samples = sample_gradients.encode_scorable(tokenizer, candidates, LENGTH)
        aims = {"gsm8k": sample_gradients.encode_scorable(tokenizer, targets, LENGTH)}
    core = model.get_base_model()
    takes = []

    def backward(self, batch, take, whole=sample_gradients.SampleGradients.__call__):
        takes.append(take)
        with clock("backward"):
            return whole(self, batch, clock.wrapped("product", take))

    with (
        clock("other"),
        mock.patch.object(core, "forward", clock.wrapped("forward", core.forward)),
        mock.patch.object(
            adam_features, "adam_feature", clock.wrapped("feature", adam_features.adam_feature)
        ),
        mock.patch.object(sample_gradients.SampleGradients, "__call__", backward),
    ):
        file = folder / "targets.safetensors"
        with tempfile.TemporaryDirectory() as state:
            target_directions(model, checkpoints, aims, file, Path(state), {})
        shapes = sample_gradients.weight_shapes(model)
        aim = Directions(file, checkpoints, shapes)
        with (
            tempfile.TemporaryDirectory() as state,
            io.Journal(Path(state) / "cosines.jsonl", "batch") as journal,
        ):
            found = influence.score(
                model, checkpoints, aim, samples, "released", journal, tokens=tokens
            )
    return {sample.identity: score[0] for sample, score in found.items()}, dict(clock.seconds)


# ---------------------------------------------------------------- LESS's procedure


def less_vector(model, weights: dict, sample: Sample) -> torch.Tensor:
    """The flat float32 LoRA gradient of one sample, by a plain backward pass."""
    model.zero_grad()
    ids, labels = (torch.tensor([part]) for part in (sample.input_ids, sample.labels))
    model(
        input_ids=ids, labels=labels, attention_mask=torch.ones_like(ids), use_cache=False
    ).loss.backward()
    return torch.cat([weight.grad.flatten().float() for weight in weights.values()])


def less(base: Path, checkpoints, lora: dict, dtype: str, dimension: int, block: int) -> dict:
    """Exact and projected scores by candidate, CPU-seconds by phase, seconds per projection."""
    from trak.projectors import BasicProjector, ProjectionType

    clock = Clock()
    candidates, targets, _ = texts()
    with clock("load"):
        model, tokenizer = sample_gradients.load_model(base, dtype)
        model = sample_gradients.add_lora(model, lora, SEED).eval()
        model.get_base_model().set_attn_implementation("eager")
    with clock("tokenise"):
        samples = sample_gradients.encode_scorable(tokenizer, candidates, LENGTH)
        aims = sample_gradients.encode_scorable(tokenizer, targets, LENGTH)
    weights = sample_gradients.lora_weights(model)
    rates = torch.tensor([checkpoint.learning_rate for checkpoint in checkpoints])
    rates = rates / rates.sum()
    exact, stored = torch.zeros(len(samples)), []
    for rate, checkpoint in zip(rates, checkpoints, strict=True):
        reference.set_weights(model, checkpoint)
        first, second = (
            torch.cat([kind[name].flatten() for name in weights]) for kind in checkpoint.moments()
        )
        rows = []
        for sample in samples:
            with clock("forward and backward"):
                vector = less_vector(model, weights, sample)
            with clock("feature"):
                first_now = 0.9 * first + 0.1 * vector
                second_now = 0.999 * second + 0.001 * vector**2
                rows.append(first_now / torch.sqrt(second_now + 1e-8))
        for sample in aims:
            with clock("forward and backward"):
                rows.append(less_vector(model, weights, sample))
        stored += [row.to(torch.float16) for row in rows]
        units = [row.double() / row.double().norm() for row in rows]
        towards = torch.stack(units[len(samples) :]).mean(0)
        exact += rate * torch.stack([unit @ towards for unit in units[: len(samples)]]).float()
    del model
    projector = BasicProjector(
        grad_dim=len(stored[0]),
        proj_dim=dimension,
        seed=0,
        proj_type=ProjectionType.rademacher,
        device="cpu",
        dtype=torch.float32,
        block_size=block,
    )
    began = time.process_time()
    projected = [projector.project(torch.stack(stored[:LESS_STACK]), model_id=0)]
    per_sample = (time.process_time() - began) / LESS_STACK * LESS_DIMENSION / dimension
    result = {
        "exact": dict(zip([s.identity for s in samples], exact.tolist(), strict=True)),
        "seconds": dict(clock.seconds) | {"projection": per_sample * len(stored)},
    }
    if dimension == LESS_DIMENSION:
        projected.append(projector.project(torch.stack(stored[LESS_STACK:]), model_id=0))
        every = torch.nn.functional.normalize(torch.cat(projected).double(), dim=1)
        score = torch.zeros(len(samples), dtype=torch.float64)
        for rate, part in zip(rates, every.split(len(samples) + len(aims)), strict=True):
            score += rate * (part[: len(samples)] @ part[len(samples) :].T).mean(1)
        result["projected"] = dict(zip(result["exact"], score.tolist(), strict=True))
    return result


def spearman(first: dict, second: dict) -> float:
    """Rank correlation of two scores by key (no ties)."""
    ranks = [
        {key: rank for rank, key in enumerate(sorted(scores, key=scores.get))}
        for scores in (first, second)
    ]
    count = len(first)
    return 1 - 6 * sum((ranks[0][key] - ranks[1][key]) ** 2 for key in first) / (
        count * (count**2 - 1)
    )


def compare(options) -> dict:
    """Ours and the peer; see the module's docstring."""
    folder = options.folder
    checkpoints = reference_run(options.base, folder, options.rank)
    lora = checkpoints[0].lora
    before = peak_gigabytes()
    scores, seconds = ours(options.base, checkpoints, lora, options.dtype, folder)
    memory = peak_gigabytes()
    count = (len(scores) + TARGETS) * len(checkpoints)
    result = {
        "step": "influence", "unit": "gradients per CPU-second, end to end",
        "ours": round(count / sum(seconds.values()), 3),
        "gradients": count, "rank": options.rank, "dtype": options.dtype,
        "seconds": {phase: round(value, 2) for phase, value in seconds.items()},
        "share_of_product": round(seconds["product"] / sum(seconds.values()), 4),
        "peak_gigabytes": round(memory, 2), "peak_before": round(before, 2),
    }  # fmt: skip
    result["spread_of_scores"] = max(scores.values()) - min(scores.values())
    if options.alone:
        alone, _ = ours(options.base, checkpoints, lora, options.dtype, folder, tokens=1)
        return result | {"largest_difference": max(abs(scores[key] - alone[key]) for key in alone)}
    print(json.dumps(result), flush=True)
    peer = less(options.base, checkpoints, lora, options.dtype, options.dimension, options.block)
    rate = count / sum(peer["seconds"].values())
    result["peers"] = {"LESS with traker's BasicProjector": round(rate, 4)}
    result["peer_seconds"] = {name: round(value, 2) for name, value in peer["seconds"].items()}
    result["times"] = round(result["ours"] / rate, 1)
    result["largest_difference"] = max(abs(scores[key] - peer["exact"][key]) for key in scores)
    result["spearman_exact"] = spearman(scores, peer["exact"])
    if "projected" in peer:
        result["spearman_projected"] = round(spearman(scores, peer["projected"]), 4)
    return result


def peak_gigabytes() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


# ---------------------------------------------------------------- a 7B shape


def gpu_shape(name: str) -> dict:
    """Tokens per second of `scores.score` on a random model against 4 x parameters FLOP each."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape, rank, count, length = SHAPES[name]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16
    keys = (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "vocab_size",
    )  # fmt: skip
    config = LlamaConfig(**dict(zip(keys, shape, strict=True)), max_position_embeddings=4096)
    torch.manual_seed(SEED)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    parameters = sum(weight.numel() for weight in model.parameters())
    lora = LORA | {"rank": rank, "alpha": 4 * rank}
    model = sample_gradients.add_lora(model, lora, SEED)
    weights = sample_gradients.lora_weights(model)
    with torch.no_grad():
        for weight in weights.values():
            weight.normal_(std=0.02)
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-5)
    for weight in weights.values():
        weight.grad = torch.randn_like(weight) * 1e-3
    optimizer.step()
    optimizer.zero_grad()
    generator = torch.Generator().manual_seed(SEED)
    samples = []
    for number in range(count):
        own = length - int(torch.randint(length // 4, (1,), generator=generator))
        ids = tuple(torch.randint(config.vocab_size, (own,), generator=generator).tolist())
        prompt = own // 4
        samples.append(Sample(str(number), ids, (-100,) * prompt + ids[prompt:]))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        reference.save(folder / "epoch-1", model, optimizer, lora, 1, 1e-5)
        del optimizer
        checkpoints = reference.load_all(folder, lora)
        (folder / "state").mkdir()
        target_directions(
            model, checkpoints, {"t": samples[:8]}, folder / "t", folder / "state", {}
        )
        aim = Directions(folder / "t", checkpoints, sample_gradients.weight_shapes(model))

        def score(some: list[Sample], path: Path) -> float:
            began = time.perf_counter() if device == "cuda" else time.process_time()
            with io.Journal(path, "batch") as journal:
                influence.score(model, checkpoints, aim, some, "released", journal)
            if device == "cuda":
                torch.cuda.synchronize()
            return (time.perf_counter() if device == "cuda" else time.process_time()) - began

        score(samples[:16], folder / "warm.jsonl")
        loading = score([], folder / "none.jsonl")
        seconds = score(samples, folder / "timed.jsonl") - loading
    tokens = sum(len(sample.input_ids) for sample in samples)
    peak = peak_flops(device, dtype)
    floor = 4 * parameters * tokens / peak
    memory = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else peak_gigabytes()
    return {
        "step": "influence_gpu_shape", "unit": "tokens per second", "shape": name,
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU, one thread",
        "parameters": parameters, "lora_weights": sum(w.numel() for w in weights.values()),
        "ours": round(tokens / seconds, 1), "floor": round(tokens / floor, 1),
        "share_of_floor": round(floor / seconds, 3), "matmul_tflops": round(peak / 1e12, 3),
        "peak_gigabytes": round(memory, 2),
    }  # fmt: skip


def peak_flops(device: str, dtype: torch.dtype) -> float:
    """FLOP per second of large matrix products, measured: what the floor is taken from."""
    size = 8192 if device == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        if device == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--base", type=Path, help="folder of the model")
    arguments.add_argument("--folder", type=Path, help="where to keep the reference run")
    arguments.add_argument("--rank", type=int, default=128, help="of LoRA; LESS's: 128")
    arguments.add_argument("--dtype", default="bfloat16", choices=processor.DTYPES)
    arguments.add_argument("--dimension", type=int, default=LESS_DIMENSION, help="of the peer's")
    arguments.add_argument("--block", type=int, default=128, help="of the peer's projector")
    arguments.add_argument(
        "--alone", action="store_true", help="compare with batches of one instead of the peer"
    )
    arguments.add_argument("--gpu-shape", choices=list(SHAPES), help="a random model instead")
    options = arguments.parse_args()
    if options.dimension <= options.block:
        arguments.error("--dimension: two blocks at least (--block)")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        result = gpu_shape(options.gpu_shape) if options.gpu_shape else compare(options)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
