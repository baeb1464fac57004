"""Train a tiny model in several processes that share it (FSDP over gloo), as GPUs would.

    torchrun --nproc-per-node=2 tests/training/sharded.py FOLDER DTYPE KIND

Two things are patched: the product shards on GPUs only, and accelerate knows no FSDP on processors.
What the first process held after its first micro batch, and the losses, go to FOLDER/rank<n>.json.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests"), str(ROOT / "tests/training")]

import accelerate.state  # noqa: E402
import torch  # noqa: E402
from jz3.training import pack_trainer  # noqa: E402
from jz3.training.train import train  # noqa: E402
from test_train import RECIPE, alone, documents, llama, mixtral  # noqa: E402

made = accelerate.state.AcceleratorState.__init__


def sharding(self, *arguments, fsdp_plugin=None, **options):
    made(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
    if fsdp_plugin is not None:
        self.distributed_type = accelerate.state.DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin
        if self._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self._mixed_precision)


def main():
    folder, dtype, kind = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    world = int(os.environ.get("WORLD_SIZE", "1"))
    held = {}
    if world > 1:
        accelerate.state.AcceleratorState.__init__ = sharding
        pack_trainer.is_sharded = lambda gpu, world: world > 1
        step = pack_trainer.PackTrainer.training_step

        def looking(self, *arguments, **options):
            loss = step(self, *arguments, **options)
            if not held:  # two micro batches make an update: this is the first of them
                weights = [w for w in self.model_wrapped.parameters() if w.grad is not None]
                held["weights"] = sum(w.to_local().numel() for w in weights)
                held["gradients"] = sum(w.grad.to_local().numel() for w in weights)
                held["whole"] = sum(w.numel() for w in weights)
                held["kinds"] = sorted({str(w.grad.dtype) for w in weights})
            return loss

        pack_trainer.PackTrainer.training_step = looking
    recipe = RECIPE | {"global_batch": 4, "micro_batch": 1, "dtype": dtype, "epochs": 2}
    model = {"llama": llama, "mixtral": mixtral}[kind]()
    history = folder / "history.jsonl"
    trainer = train(model, alone(documents(24)), recipe, seed=3, history=history)
    if held:
        state = trainer.optimizer.state.values()
        held["moments"] = sum(moments["exp_avg"].to_local().numel() for moments in state)
    (folder / f"rank{os.environ.get('RANK', '0')}.json").write_text(json.dumps(held))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
