"""Let long jobs start: fail where something found on their node would make them fail."""

import argparse
from pathlib import Path

from jz3 import io, program
from jz3.workflow import preflight, recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Log what was found; raise UserError naming what would fail."""
    report = io.read_json(options.findings)
    for line in preflight.lines(report):
        program.say(line)
    if (there := report["dtype"]) != options.recipe["dtype"]:
        raise io.UserError(
            f"compute.dtype: auto is {options.recipe['dtype']} on this machine and {there} on"
            f" {report['host']}; what is made there would be out of date here. Name one of them."
        )
    if wrong := preflight.failures(report):
        raise io.UserError(
            f"{report['host']} cannot run the {report['kind']} jobs: {' | '.join(wrong)}"
            " (where this check is mistaken, set sizing.check_nodes to false)"
        )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--findings", type=Path, required=True, help="of check_node, JSON")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.AdmitJobs))
