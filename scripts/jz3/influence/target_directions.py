"""What influence estimation aims at: the mean direction of each subtask's gradients (§ 3.3).

The cosine with a target problem is linear in that problem's unit gradient, so a subtask is
represented exactly by the mean of its problems' unit gradients, for any number of problems.
Under a projection the unit vectors are those of the projected gradients, as in LESS.

Memory, with D LoRA weights: one model, one batch's gradients (samples x D floats) and, on writing,
subtasks x checkpoints x D floats.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .. import io
from . import adam_features, reference_run
from .projection import Description, Projector
from .reference_run import Checkpoint
from .sample_gradients import Sample, SampleGradients, Shapes, batches, size, weight_shapes

if TYPE_CHECKING:
    from peft import PeftModel

BATCH_TOKENS = 1024  # computed together: the whole gradients of a batch are held
SAVE_SECONDS = 30  # between saves of an unfinished subtask's sum


def target_directions(
    model: "PeftModel",
    checkpoints: list[Checkpoint],
    samples: dict[str, list[Sample]],
    output: Path,
    state: Path,
    origin: dict[str, Any],
    advance: Callable[[int], None] = lambda count: None,
    tokens: int = 0,
    projector: Projector | None = None,
) -> None:
    """Write, per checkpoint, each subtask's mean of unit gradients.

    `output` (safetensors): a tensor `epoch-<k>` (subtasks, D) float32 per checkpoint, or with a
    projector (subtasks, dimension); the key "jz3" of its metadata names subtasks, their sample
    counts, the LoRA weights in the order of D, the projection and the checkpoints' digests. Sums
    run in float64. `state`: folder for sums of unfinished subtasks, saved now and then;
    `advance(n)` is told of every n samples done; `tokens`: of a batch (0: as is best). Raises
    UserError naming the sample whose loss or gradient is not finite.
    """
    shapes = weight_shapes(model)
    whole = size(shapes) if projector is None else projector.dimension
    sums: dict[tuple[int, int], Path] = {}
    with SampleGradients(model) as sample_gradients:
        for checkpoint in checkpoints:
            reference_run.set_weights(model, checkpoint)
            for number, chosen in enumerate(samples.values()):
                path = state / f"epoch-{checkpoint.epoch}.{number}.safetensors"
                work = batches(chosen, tokens or BATCH_TOKENS)
                total, done = _read_sum(path, whole)
                total = total.to(sample_gradients.device)
                advance(sum(len(batch) for batch in work[:done]))
                saved = time.monotonic()
                for position, batch in enumerate(work[done:], done + 1):
                    if projector is None:
                        total += _unit_gradients(sample_gradients, shapes, batch)
                    else:
                        total += _projected_units(sample_gradients, projector, batch)
                    advance(len(batch))
                    # When to save changes no number: a sum continues from exactly its own bits.
                    if position == len(work) or time.monotonic() - saved > SAVE_SECONDS:
                        with io.atomic(path) as temporary:
                            save_file({"sum": total.cpu()}, temporary, {"batches": str(position)})
                        saved = time.monotonic()
                sums[checkpoint.epoch, number] = path
    tensors = {}
    for checkpoint in checkpoints:
        rows = [
            (_read_sum(sums[checkpoint.epoch, number], whole)[0] / len(chosen)).float()
            for number, chosen in enumerate(samples.values())
        ]
        tensors[f"epoch-{checkpoint.epoch}"] = torch.stack(rows)
    description = {
        "subtasks": list(samples),
        "problems": [len(chosen) for chosen in samples.values()],
        "weights": shapes,
        "projection": projector and projector.described(),
        "adapters": reference_run.digests(checkpoints),
        "origin": origin,
    }
    with io.atomic(output) as temporary:
        # One key: safetensors writes several in random order.
        save_file(tensors, temporary, {"jz3": json.dumps(description, sort_keys=True)})


def _read_sum(path: Path, length: int) -> tuple[torch.Tensor, int]:
    if not path.exists():
        return torch.zeros(length, dtype=torch.float64), 0
    with safe_open(path, "pt") as file:
        return file.get_tensor("sum"), int(file.metadata()["batches"])


def _unit_gradients(
    sample_gradients: SampleGradients, shapes: Shapes, batch: list[Sample]
) -> torch.Tensor:
    """Sum of the batch's gradients, each scaled to norm 1: (D,) float64."""
    found: dict[str, torch.Tensor] = {}
    sample_gradients(batch, lambda name, gradient: found.update({name: gradient.flatten(1)}))
    squares = torch.zeros(len(batch), dtype=torch.float64, device=sample_gradients.device)
    for name, _ in shapes:
        squares += found[name].double().square().sum(1)
    scale = 1 / adam_features.norms(squares, batch)
    return torch.cat([scale @ found.pop(name).double() for name, _ in shapes])


def _projected_units(
    sample_gradients: SampleGradients, projector: Projector, batch: list[Sample]
) -> torch.Tensor:
    """Sum of the batch's projected gradients, each scaled to norm 1: (dimension,) float64."""
    made = torch.zeros(
        len(batch), projector.dimension, dtype=torch.float64, device=sample_gradients.device
    )
    sample_gradients(batch, lambda name, gradient: made.add_(projector(name, gradient.flatten(1))))
    return (1 / adam_features.norms(made.square().sum(1), batch)) @ made


class Directions:
    """The file that `target_directions` wrote, checked against a reference and what it meets.

    shapes: of the LoRA weights (`sample_gradients.weight_shapes`); projection: of the candidates'
    features (`Projector.described`), None for none. Raises UserError where the file was made with
    another reference, other LoRA weights or another projection.
    """

    def __init__(
        self,
        path: str | Path,
        checkpoints: list[Checkpoint],
        shapes: Shapes,
        projection: Description | None = None,
    ):
        self.path = Path(path)
        try:
            with safe_open(self.path, "pt") as file:
                described = json.loads((file.metadata() or {})["jz3"])
        except FileNotFoundError:
            raise io.UserError(f"{path}: no such file. Run target_gradients to make it.") from None
        except (SafetensorError, KeyError, OSError):
            raise io.UserError(
                f"{path}: not a file of target gradients. Delete and rerun."
            ) from None
        self.subtasks: list[str] = described["subtasks"]
        reference_run.check_weights(shapes, described["weights"], f"{path}: other LoRA weights")
        if described["adapters"] != reference_run.digests(checkpoints):
            raise io.UserError(
                f"{path}: made with another reference run than"
                f" {checkpoints[0].directory.parent}. Run target_gradients again."
            )
        if described["projection"] != projection:
            raise io.UserError(
                f"{path}: made with projection {json.dumps(described['projection'])}, the"
                f" candidates' features with {json.dumps(projection)}. Make both with the same"
                " settings, on the same kind of machine."
            )

    def at(self, checkpoint: Checkpoint) -> torch.Tensor:
        """Mean unit gradients at a checkpoint: (subtasks, D or dimension) float32."""
        with safe_open(self.path, "pt") as file:
            rows: torch.Tensor = file.get_tensor(f"epoch-{checkpoint.epoch}")
        # A copy: last bits of sums over a mapped file depend on the length of its header.
        return rows.clone()
