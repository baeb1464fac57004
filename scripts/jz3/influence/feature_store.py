"""Projected features of candidates on disk, so that other targets can be scored without a model.

A folder: `epoch-<k>.npy` (candidates, dimension), float16 or float32, each row of norm 1, to be
memory-mapped; `info.json` with the candidates' problem_ids and token counts in the order of the
rows, the LoRA weights, the projection and the checkpoints' digests. Size: candidates x checkpoints
x dimension x 2 or 4 bytes (6.6 GB for 100,000 candidates, 4 epochs, 8,192, float16). Unit rows
keep float16 away from its limits; LESS casts before it normalises.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import io
from . import reference_run
from .adam_features import CandidateFeatures, norms, unfinished_batches
from .projection import Description, Projector
from .reference_run import Checkpoint
from .sample_gradients import Sample, SampleGradients, Shapes, batches, weight_shapes

if TYPE_CHECKING:
    from peft import PeftModel

INFO_FILE = "info.json"
DTYPES = ("float16", "float32")


def file_of(checkpoint: Checkpoint) -> str:
    """Name of the file with the rows of one checkpoint."""
    return f"epoch-{checkpoint.epoch}.npy"


def fill(
    folder: Path,
    model: "PeftModel",
    checkpoints: list[Checkpoint],
    samples: list[Sample],
    form: str,
    projector: Projector,
    dtype: str,
    journal: io.Journal,
    origin: dict[str, Any],
    advance: Callable[[int], None] = lambda count: None,
    tokens: int = 0,
) -> None:
    """Write a store of the samples' features into `folder`, or finish one that was begun.

    form: see `adam_features.adam_feature`. journal (key "batch"): names the batches whose rows are
    on the disk; batches depend on the samples alone, so a continued store has the same bytes.
    Raises UserError naming the sample whose loss or gradient is not finite.
    """
    shape = len(samples), projector.dimension
    place = {sample.identity: row for row, sample in enumerate(samples)}
    with SampleGradients(model) as sample_gradients:
        work = batches(samples, tokens or sample_gradients.batch_tokens)
        for checkpoint in checkpoints:
            path = folder / file_of(checkpoint)
            if not path.exists():
                with io.atomic(path) as temporary:
                    np.lib.format.open_memmap(temporary, "w+", dtype, shape).flush()
            rows = np.lib.format.open_memmap(path, "r+")
            features = None
            for name, batch in unfinished_batches(checkpoint, work, journal, advance):
                features = features or CandidateFeatures(sample_gradients, checkpoint, form)
                made = _projected(features, projector, batch)
                rows[[place[sample.identity] for sample in batch]] = made.cpu().numpy()
                rows.flush()  # before the journal says so
                journal.append({"batch": name})
    info = {
        "problems": [sample.identity for sample in samples],
        "tokens": [len(sample.input_ids) for sample in samples],
        "weights": weight_shapes(model),
        "projection": projector.described(),
        "adapters": reference_run.digests(checkpoints),
        "feature": form,
        "dtype": dtype,
        "origin": origin,
    }
    io.write_json(folder / INFO_FILE, info)


def _projected(
    features: CandidateFeatures, projector: Projector, batch: list[Sample]
) -> torch.Tensor:
    """The batch's projected features, of norm 1: (samples, dimension) float64."""
    made = torch.zeros(
        len(batch),
        projector.dimension,
        dtype=torch.float64,
        device=features.sample_gradients.device,
    )
    features(batch, lambda name, feature: made.add_(projector(name, feature)))
    return made / norms(made.square().sum(1), batch)[:, None]


class Store:
    """A finished store, read where it lies.

    problems: problem_ids in the order of the rows; tokens: their lengths; weights, projection: as
    `target_directions.Directions` wants them. Raises UserError where the folder is no store or was
    made with another reference or another form of feature.
    """

    def __init__(self, folder: str | Path, checkpoints: list[Checkpoint], form: str):
        self.folder = Path(folder)
        if not (self.folder / INFO_FILE).exists():
            raise io.UserError(f"{folder}: no store of features. Run store_features to make it.")
        info = io.read_json(self.folder / INFO_FILE)
        self.problems: list[str] = info["problems"]
        self.tokens: list[int] = info["tokens"]
        self.weights: Shapes = info["weights"]
        self.projection: Description = info["projection"]
        if info["adapters"] != reference_run.digests(checkpoints):
            raise io.UserError(
                f"{folder}: made with another reference run than"
                f" {checkpoints[0].directory.parent}. Run store_features again."
            )
        if info["feature"] != form:
            raise io.UserError(
                f'{folder}: holds feature "{info["feature"]}", the recipe says "{form}". Run'
                " store_features again."
            )

    def at(self, checkpoint: Checkpoint) -> np.typing.NDArray[np.floating[Any]]:
        """Features at a checkpoint, memory-mapped: (candidates, dimension).

        Raises UserError where the file is missing or was cut.
        """
        path = self.folder / file_of(checkpoint)
        try:
            rows: np.typing.NDArray[np.floating[Any]] = np.load(path, mmap_mode="r")
        except (OSError, ValueError):
            raise io.UserError(
                f"{path}: missing or not whole. Delete {self.folder} and make it again."
            ) from None
        wanted = len(self.problems), self.projection["dimension"]
        if rows.shape != wanted:
            raise io.UserError(
                f"{path}: {rows.shape} numbers, {wanted} expected. Delete {self.folder} and make"
                " it again."
            )
        return rows
