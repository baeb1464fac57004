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
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import torch  # noqa: E402
import transformers  # noqa: E402
from jz3.training import attention  # noqa: E402
from jz3.training.train import load_model, train  # noqa: E402
from tiny_model import make_tokenizer  # noqa: E402


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


def make_model(shape, device=None):
    """A random model with float32 weights, made where it will be trained unless `device` says.

    Each device draws its own weights.
    """
    torch.manual_seed(0)
    with torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")):
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape))


def measure(model, updates, recipe, folder, warm=False):
    """Train on packs; what it took: a dict of figures.

    warm: train a little before, for kernels and caches; a sharded model trains but once.
    """
    rows = list(packs(updates * recipe["global_batch"], recipe["length"], model.config.vocab_size))
    parameters = sum(weight.numel() for weight in model.parameters())
    if warm:
        train(model, rows[: 2 * recipe["global_batch"]], recipe, seed=0)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    began = time.monotonic()
    trainer = train(model, rows, recipe, seed=0, history=folder / "history.jsonl")
    seconds = time.monotonic() - began
    first = trainer.is_world_process_zero()  # which alone writes the history
    lines = (folder / "history.jsonl").read_text().splitlines() if first else []
    return {
        "parameters": parameters,
        "tokens_per_second": len(rows) * recipe["length"] / seconds,
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "peak_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0,
        "losses": [json.loads(line)["loss"] for line in lines],
        "attention": attention.kernel(trainer.args.device, getattr(torch, recipe["dtype"])),
    }


def measure_trl(model, updates, recipe, folder):
    """Tokens per second of trl's SFTTrainer on the same rows.

    It keeps no attention inside documents, unless flash-attn is there.
    """
    import datasets
    import trl

    make_tokenizer().save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = list(packs(updates * recipe["global_batch"], recipe["length"], model.config.vocab_size))

    def run(rows):
        settings = trl.SFTConfig(
            output_dir=str(folder / "trl"), max_length=None, packing=False, num_train_epochs=1,
            per_device_train_batch_size=recipe["micro_batch"], save_strategy="no",
            gradient_accumulation_steps=recipe["global_batch"] // recipe["micro_batch"],
            bf16=recipe["dtype"] == "bfloat16", use_cpu=not torch.cuda.is_available(),
            gradient_checkpointing=recipe["gradient_checkpointing"], optim="adamw_torch_fused",
            learning_rate=recipe["learning_rate"], max_grad_norm=recipe["gradient_clip"],
            weight_decay=recipe["weight_decay"], logging_steps=1, report_to="none",
            disable_tqdm=True, dataset_kwargs={"skip_prepare_dataset": True},
        )  # fmt: skip
        data = datasets.Dataset.from_list([{"input_ids": row["input_ids"]} for row in rows])
        trainer = trl.SFTTrainer(model, settings, train_dataset=data, processing_class=tokenizer)
        began = time.monotonic()
        trainer.train()
        return time.monotonic() - began

    run(rows[: 2 * recipe["global_batch"]])
    return {"tokens_per_second": len(rows) * recipe["length"] / run(rows)}


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
    if options.processes:
        make_model(options.shape, "cpu").save_pretrained(folder)
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={options.processes}", __file__, *sys.argv[1:4]]
        os.execv(sys.executable, [*command, "--folder", str(folder)])
    model = load_model(folder) if options.folder else make_model(options.shape)
    made = measure(model, options.updates, options.recipe, folder)
    if int(os.environ.get("RANK", "0")) == 0:
        print(json.dumps(made))


if __name__ == "__main__":
    main()
