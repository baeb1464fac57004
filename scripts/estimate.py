"""Print what a run would take, from its configuration alone: tokens, GPU-hours, time, money, disk.

An estimate for planning: the speeds and text lengths of the configuration's `sizing`, and the
formulas of docs/cluster.md. Nothing is fetched or computed.
"""

import argparse

from jz3 import program
from jz3.workflow import estimate, workload
from jz3.workflow.experiment import Experiment
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Print the estimate."""
    experiment = Experiment.model_validate(options.recipe)
    works = list(workload.plan(experiment).values())
    print(estimate.table(estimate.rows(works, experiment.sizing)))
    print()
    print("\n".join(estimate.notes(experiment, works)))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return program.parser(__doc__)


if __name__ == "__main__":
    program.run(main, parser(), accepts(Experiment))
