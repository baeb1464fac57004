"""The reference run of influence estimation: its LoRA weights and Adam moments, epoch by epoch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from .. import io
from .sample_gradients import ADAPTER, Lora, Shapes, lora_weights

if TYPE_CHECKING:
    from peft import PeftModel

ADAPTER_FILE, MOMENTS_FILE, INFO_FILE = "adapter_model.safetensors", "adam.safetensors", "info.json"


class Info(TypedDict):
    """What INFO_FILE holds of an epoch: see `Checkpoint`."""

    epoch: int
    learning_rate: float
    step: int
    betas: list[float]
    eps: float
    lora: Lora


@dataclass(frozen=True)
class Checkpoint:
    """One epoch of the reference run.

    learning_rate: its mean over the epoch's updates; step: updates made so far; adapter: digest of
    the LoRA weights.
    """

    directory: Path
    epoch: int
    learning_rate: float
    step: int
    betas: tuple[float, float]
    eps: float
    lora: Lora
    adapter: str

    def moments(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Adam's exp_avg and exp_avg_sq, float32, by plain weight name.

        Raises UserError where a LoRA weight has none.
        """
        stored = load_file(self.directory / MOMENTS_FILE)
        with safe_open(self.directory / ADAPTER_FILE, "pt") as file:
            names = sorted(file.keys())
        found = []
        for kind in ("exp_avg", "exp_avg_sq"):
            for name in names:
                if f"{kind}.{name}" not in stored:
                    raise io.UserError(
                        f"{self.directory / MOMENTS_FILE}: no {kind} of {name}. Delete"
                        f" {self.directory.parent} and train it again."
                    )
            found.append({name: stored[f"{kind}.{name}"] for name in names})
        return found[0], found[1]


def save(
    directory: Path,
    model: "PeftModel",
    optimizer: torch.optim.Optimizer,
    lora: Lora,
    epoch: int,
    rate: float,
) -> None:
    """Write one epoch: the adapter as peft stores it, Adam's moments, the run's numbers."""
    named = lora_weights(model)
    moments, steps = {}, set()
    for name, weight in named.items():
        state = optimizer.state.get(weight)
        if not state:
            raise io.UserError(f"{directory}: the optimizer has no moments of {name} to save.")
        steps.add(int(state["step"]))
        for kind in ("exp_avg", "exp_avg_sq"):
            moments[f"{kind}.{name}"] = state[kind].detach().float().cpu().contiguous()
    group = optimizer.param_groups[0]
    with io.atomic(directory) as temporary:
        temporary.mkdir()
        weights = {n: w.detach().float().cpu().contiguous() for n, w in named.items()}
        save_file(weights, temporary / ADAPTER_FILE)
        save_file(moments, temporary / MOMENTS_FILE)
        configuration = model.peft_config[ADAPTER].to_dict()
        # peft's own writer would keep a path of this machine and sets in random order.
        configuration |= {"base_model_name_or_path": "", "inference_mode": True}
        configuration = {
            key: sorted(value) if isinstance(value, set) else value
            for key, value in configuration.items()
        }
        io.write_json(temporary / "adapter_config.json", configuration)
        info: Info = {
            "epoch": epoch,
            "learning_rate": rate,
            "step": max(steps),
            "betas": list(group["betas"]),
            "eps": group["eps"],
            "lora": lora,
        }
        io.write_json(temporary / INFO_FILE, info)


def load_all(reference: str | Path, lora: Lora) -> list[Checkpoint]:
    """The epochs saved in the folder of a reference run, in order.

    Raises UserError where there is none, one lacks its moments, or `lora` is not what it was
    trained with.
    """
    folders = sorted(Path(reference).glob("epoch-*"), key=lambda p: int(p.name.split("-")[1]))
    if not folders:
        raise io.UserError(f"{reference}: no epoch-1, epoch-2, ... in it. Run train_reference.")
    found = []
    for folder in folders:
        for file in (INFO_FILE, ADAPTER_FILE, MOMENTS_FILE):
            if not (folder / file).exists():
                what = "no Adam moments" if file == MOMENTS_FILE else "not a whole checkpoint"
                raise io.UserError(
                    f"{folder}: {what} ({file} is missing). Delete {reference} and train it again."
                )
        info: Info = io.read_json(folder / INFO_FILE)
        if info["lora"] != lora:
            raise io.UserError(
                f"{folder}: trained with lora {json.dumps(info['lora'])}, the recipe says"
                f" {json.dumps(lora)}. Train the reference again."
            )
        first, second = info["betas"]
        found.append(
            Checkpoint(
                directory=folder,
                epoch=info["epoch"],
                learning_rate=info["learning_rate"],
                step=info["step"],
                betas=(first, second),
                eps=info["eps"],
                lora=info["lora"],
                adapter=io.file_digest(folder / ADAPTER_FILE),
            )
        )
    return found


def digests(checkpoints: list[Checkpoint]) -> dict[str, str]:
    """The checkpoints' LoRA weights by epoch: what products made from them refer to."""
    return {f"epoch-{checkpoint.epoch}": checkpoint.adapter for checkpoint in checkpoints}


def set_weights(model: torch.nn.Module, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's LoRA weights into `model`; UserError where they do not fit."""
    weights = lora_weights(model)
    stored = load_file(checkpoint.directory / ADAPTER_FILE)
    check_weights(
        [(name, list(weight.shape)) for name, weight in weights.items()],
        [(name, list(stored[name].shape)) for name in sorted(stored)],
        f"{checkpoint.directory}: its LoRA weights do not fit the base model",
    )
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(stored[name])


def check_weights(expected: Shapes, found: Shapes, what: str) -> None:
    """UserError naming the first LoRA weight that is missing, unknown or of another shape."""
    wanted, given = ({name: list(shape) for name, shape in shapes} for shapes in (expected, found))
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            raise io.UserError(
                f"{what}: {name} is {given.get(name, 'missing')}, expected"
                f" {wanted.get(name, 'none')}. Make them from the same base and lora settings."
            )
