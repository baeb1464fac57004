"""Hub revisions that may move: a run on one cannot be repeated once its branch has moved on."""

from collections.abc import Collection

from ..io import UserError
from .experiment import Experiment
from .fetched import HubWeights

ADVICE = (
    "Write the commit (40 digits, on the repository's page), or accept the day's with"
    " accept_moving_revisions: true."
)


def moving(
    experiment: Experiment,
    datasets: Collection[str] | None = None,
    checkpoints: Collection[str] | None = None,
) -> list[str]:
    """Places of revisions that are no commits, of some entries or of all."""
    if datasets is None:
        datasets = experiment.datasets
    if checkpoints is None:
        checkpoints = experiment.checkpoints
    weights = {name: experiment.checkpoints[name] for name in checkpoints}
    return [
        *(
            f"datasets.{name}.revision ({experiment.datasets[name].revision})"
            for name in datasets
            if experiment.datasets[name].moves
        ),
        *(
            f"checkpoints.{name}.revision ({entry.revision})"
            for name, entry in weights.items()
            if isinstance(entry, HubWeights) and entry.moves
        ),
    ]


def refuse(experiment: Experiment, datasets: Collection[str], checkpoints: Collection[str]) -> None:
    """Raise UserError where what is about to be fetched may be something else tomorrow."""
    found = moving(experiment, datasets, checkpoints)
    if found and not experiment.accept_moving_revisions:
        raise UserError(
            f"{len(found)} hub revision{'s' if len(found) > 1 else ''} may move:"
            f" {', '.join(found)}. {ADVICE}"
        )
