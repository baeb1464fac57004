"""Say whether a run can start: what was found on the nodes and here, one line each.

Ends with an error where anything would make a job fail.
"""

import argparse
import functools
import socket
from pathlib import Path

from jz3 import io, program
from jz3.workflow import preflight
from jz3.workflow.experiment import Experiment
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Print all findings; fail if one of them does."""
    experiment = Experiment.model_validate(options.recipe)
    checks = [
        functools.partial(preflight.software, "main", experiment.compute.accept_versions or ()),
        functools.partial(preflight.secrets, experiment),
        functools.partial(preflight.pinned, experiment),
        functools.partial(preflight.cached, experiment, Path(experiment.results)),
        functools.partial(preflight.budget, experiment),
    ]
    here = {"kind": "head", "host": socket.gethostname(), "findings": preflight.examine(checks)}
    failed = 0
    for report in [here, *map(io.read_json, options.nodes)]:
        print("\n".join(preflight.lines(report)))
        failed += len(preflight.failures(report))
    if failed:
        raise io.UserError(f"{failed} of these would make jobs fail; mend them first.")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--nodes", type=Path, nargs="+", required=True, help="findings of nodes")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(Experiment))
