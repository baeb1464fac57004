"""What a candidate does to the model: the update that Adam would make for it alone (LESS).

LESS (Xia et al. 2024, arXiv 2402.04333) compares candidates by the direction of that update, from
the optimizer's moments at a checkpoint of the reference run, and not by their plain gradients,
whose length falls with the length of the text.
"""

from collections.abc import Callable, Iterator

import torch

from .. import io
from . import reference_run
from .reference_run import Checkpoint
from .sample_gradients import Sample, SampleGradients, Take

FORMS = ("released", "adam")


def adam_feature(
    gradient: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    *,
    step: int,
    betas: tuple[float, float],
    eps: float,
    form: str,
) -> torch.Tensor:
    """The direction Adam would step for `gradient`, given its moments after `step` updates.

    gradient: (samples, weights); first, second: (weights,), exp_avg and exp_avg_sq. form
    "released", as in LESS's code: eps inside the root, no bias correction. form "adam", as the
    optimizer steps: bias correction at step + 1, eps outside the root.
    """
    # In place: these are passes over memory, and nothing else in scoring has as many.
    first = torch.add(betas[0] * first, gradient, alpha=1 - betas[0])
    second = torch.addcmul(betas[1] * second, gradient, gradient, value=1 - betas[1])
    if form == "released":
        return first.div_(second.add_(eps).sqrt_())
    second.div_(1 - betas[1] ** (step + 1))
    return first.div_(1 - betas[0] ** (step + 1)).div_(second.sqrt_().add_(eps))


def check(form: str) -> None:
    """UserError where `form` is not known."""
    if form not in FORMS:
        raise io.UserError(
            f'influence.feature: "{form}" is not known; use {" or ".join(FORMS)}.'
            f"{io.did_you_mean(form, FORMS)}"
        )


def norms(squares: torch.Tensor, batch: list[Sample]) -> torch.Tensor:
    """Roots of the samples' sums of squares; UserError naming one that is zero or not finite."""
    for sample, square in zip(batch, squares.tolist(), strict=True):
        if not 0 < square < float("inf"):
            raise io.UserError(
                f"problem {sample.identity}: its gradient has norm {square**0.5}, hence no"
                " direction. Try dtype float32, or drop the problem."
            )
    return squares.sqrt()


class CandidateFeatures:
    """Features of a batch at one checkpoint, whose weights it puts into the model."""

    def __init__(self, sample_gradients: SampleGradients, checkpoint: Checkpoint, form: str):
        reference_run.set_weights(sample_gradients.model, checkpoint)
        self.sample_gradients, self.checkpoint, self.form = sample_gradients, checkpoint, form
        self.first, self.second = (
            {name: tensor.flatten().to(sample_gradients.device) for name, tensor in kind.items()}
            for kind in checkpoint.moments()
        )

    def __call__(self, batch: list[Sample], take: Take) -> None:
        """Call `take(weight name, features (samples, weights) float32)` for each LoRA matrix.

        Raises UserError naming the sample whose loss is not finite.
        """
        at = self.checkpoint

        def feature(name: str, gradient: torch.Tensor) -> None:
            direction = adam_feature(
                gradient.flatten(1),
                self.first[name],
                self.second[name],
                step=at.step,
                betas=at.betas,
                eps=at.eps,
                form=self.form,
            )
            take(name, direction)

        self.sample_gradients(batch, feature)


def batch_name(checkpoint: Checkpoint, number: int) -> str:
    """What a journal calls a batch at a checkpoint."""
    return f"epoch-{checkpoint.epoch}/{number}"


def unfinished_batches(
    checkpoint: Checkpoint,
    work: list[list[Sample]],
    journal: io.Journal,
    advance: Callable[[int], None],
) -> Iterator[tuple[str, list[Sample]]]:
    """Name and samples of each batch of `work` that `journal` (key "batch") does not name yet.

    The caller appends its record before it asks for the next. `advance(n)` is told of every n
    samples done, before or now.
    """
    for number, batch in enumerate(work):
        name = batch_name(checkpoint, number)
        if name not in journal:
            yield name, batch
        advance(len(batch))
