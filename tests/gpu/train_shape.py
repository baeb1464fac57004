"""Train a random model of a shape for some updates, and say what it took, as JSON on the last line.

    python tests/gpu/train_shape.py '{"hidden_size": 2048, ...}' UPDATES RECIPE [--processes N]

With --processes it starts itself by torchrun, one process per GPU (FSDP).
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import torch  # noqa: E402
import transformers  # noqa: E402
from jz3.training.train import load_model, train  # noqa: E402


def packs(count, length, vocabulary):
    """Packs of three documents each, drawn from a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        ids = torch.randint(3, vocabulary, (length,), generator=generator).tolist()
        cuts = [0, length // 4, length // 2, length]
        positions = [i for a, b in itertools.pairwise(cuts) for i in range(b - a)]
        labels = [
            -100 if position == 0 else token for position, token in zip(positions, ids, strict=True)
        ]
        yield {"input_ids": ids, "labels": labels, "positions": positions}


def main():
    """Make the model once, train it, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", type=json.loads)
    parser.add_argument("updates", type=int)
    parser.add_argument("recipe", type=json.loads)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        config = transformers.LlamaConfig(**options.shape)
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    if options.processes:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={options.processes}", __file__, *sys.argv[1:4]]
        os.execv(sys.executable, [*command, "--folder", str(folder)])
    recipe = options.recipe
    rows = list(
        packs(
            options.updates * recipe["global_batch"], recipe["length"], options.shape["vocab_size"]
        )
    )
    model = load_model(folder)
    parameters = sum(weight.numel() for weight in model.parameters())
    history = folder / "history.jsonl"
    train(model, rows[: 2 * recipe["global_batch"]], recipe, seed=0)  # kernels, caches
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    began = time.monotonic()
    trainer = train(model, rows, recipe, seed=0, history=history)
    seconds = time.monotonic() - began
    if trainer.is_world_process_zero():
        world = int(os.environ.get("WORLD_SIZE", "1"))
        tokens = len(rows) * recipe["length"]
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        losses = [json.loads(line)["loss"] for line in history.read_text().splitlines()]
        print(json.dumps({
            "parameters": parameters, "tokens_per_second": tokens / seconds, "processes": world,
            "peak_bytes": peak, "losses": losses,
            "attention": model.config._attn_implementation,
        }))  # fmt: skip


if __name__ == "__main__":
    main()
