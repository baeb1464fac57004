"""How much a synthetic problem would help on the targets: influence by gradients (§ 3.3).

The paper follows LESS (Xia et al. 2024, arXiv 2402.04333). For a candidate z, reference
checkpoints i with mean learning rates e_i, and a subtask t with target problems V_t:

    score_t(z) = sum_i e_i / (sum_j e_j) * mean over z' in V_t of cos(feature_i(z), gradient_i(z'))

where gradient_i is the plain gradient of the LoRA weights and feature_i(z) the update that Adam
would make for z alone, with its moments at checkpoint i. Each subtask is one direction per
checkpoint (`target_directions`), so the products are taken as each gradient is made (`score`: no
projection, no store), or with features that were projected and stored before (`score_stored`: for
other targets later). `selection` makes one number of the subtasks' scores, and chooses.

Memory of `score`, with D LoRA weights (1.8 million in the miniature, 109 million for a 7B model at
rank 128): one model, one checkpoint's moments and targets, (2 + subtasks) x D floats, and one LoRA
matrix's features of one batch.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from .. import io
from .adam_features import CandidateFeatures, batch_name, norms, unfinished_batches
from .feature_store import Store
from .reference_run import Checkpoint
from .sample_gradients import Sample, SampleGradients, batches, weight_shapes
from .target_directions import Directions

if TYPE_CHECKING:
    from peft import PeftModel

_ROWS = 4096  # of a store, read at once


def combine(cosines: list[list[float]], learning_rates: list[float]) -> list[float]:
    """Scores by subtask: cosines (checkpoints x subtasks), weighted by learning rate.

    The weights sum to 1. Raises UserError where all learning rates are zero.
    """
    whole = sum(learning_rates)
    if not whole > 0:
        raise io.UserError(
            "The reference run had learning rate 0 in every epoch: too few updates for its"
            " warm-up. Give it more candidates or epochs, or a smaller global_batch."
        )
    return [
        sum(rate / whole * cosine for rate, cosine in zip(learning_rates, column, strict=True))
        for column in zip(*cosines, strict=True)
    ]


def score(
    model: "PeftModel",
    checkpoints: list[Checkpoint],
    directions: Directions,
    samples: list[Sample],
    form: str,
    journal: io.Journal,
    advance: Callable[[int], None] = lambda count: None,
    tokens: int = 0,
) -> dict[Sample, list[float]]:
    """Score of each sample for each subtask of `directions`, without projection.

    `form`: see `adam_features.adam_feature`. `journal` (key "batch") keeps the cosines of finished
    batches, of at most `tokens` tokens (0: as is best for the device); batches depend on the
    samples alone, so a continued run gives the same bits. Raises UserError naming the sample whose
    loss or gradient is not finite.
    """
    with SampleGradients(model) as sample_gradients:
        work = batches(samples, tokens or sample_gradients.batch_tokens)
        for checkpoint in checkpoints:
            cosines = None
            for name, batch in unfinished_batches(checkpoint, work, journal, advance):
                cosines = cosines or _Cosines(sample_gradients, checkpoint, directions, form)
                journal.append({"batch": name, "cosines": cosines(batch)})
    rates = [checkpoint.learning_rate for checkpoint in checkpoints]
    scores = {}
    for number, batch in enumerate(work):
        found = [journal.records[batch_name(c, number)]["cosines"] for c in checkpoints]
        for sample, by_checkpoint in zip(batch, zip(*found, strict=True), strict=True):
            scores[sample] = combine(list(by_checkpoint), rates)
    return scores


class _Cosines:
    """Mean cosines of candidates with the targets at one checkpoint: (samples x subtasks).

    Takes one LoRA matrix's features at a time; only sums of squares and products are kept.
    """

    def __init__(
        self,
        sample_gradients: SampleGradients,
        checkpoint: Checkpoint,
        directions: Directions,
        form: str,
    ):
        self.features = CandidateFeatures(sample_gradients, checkpoint, form)
        self.device = sample_gradients.device
        shapes = weight_shapes(sample_gradients.model)
        sizes = [rows * columns for _, (rows, columns) in shapes]
        pieces = torch.split(directions.at(checkpoint).to(self.device), sizes, dim=1)
        self.targets = {name: piece for (name, _), piece in zip(shapes, pieces, strict=True)}

    def __call__(self, batch: list[Sample]) -> list[list[float]]:
        subtasks = len(next(iter(self.targets.values())))
        squares = torch.zeros(len(batch), dtype=torch.float64, device=self.device)
        products = torch.zeros(len(batch), subtasks, dtype=torch.float64, device=self.device)

        def take(name: str, feature: torch.Tensor) -> None:
            # Within a matrix in float32: a cosine is off by 1e-7, at a third of float64's time.
            squares.add_(torch.linalg.vecdot(feature, feature))
            products.add_(feature @ self.targets[name].T)

        self.features(batch, take)
        cosines: list[list[float]] = (products / norms(squares, batch)[:, None]).tolist()
        return cosines


def score_stored(
    store: Store, checkpoints: list[Checkpoint], directions: Directions
) -> list[list[float]]:
    """Scores of a store's candidates for each subtask of `directions`, in the order of its rows."""
    cosines = []
    for checkpoint in checkpoints:
        rows, targets = store.at(checkpoint), directions.at(checkpoint).double()
        found: list[list[float]] = []
        for start in range(0, len(rows), _ROWS):
            part = torch.from_numpy(rows[start : start + _ROWS].astype("float64"))
            found += (part @ targets.T).tolist()
        cosines.append(found)
    rates = [checkpoint.learning_rate for checkpoint in checkpoints]
    return [combine(list(one), rates) for one in zip(*cosines, strict=True)]
