"""Run every program of a corpus of tool solutions; put in what it really prints.

A row whose program fails becomes "not_executed", one that prints something else the second time
"not_deterministic"; an answer that is not what was printed is dealt with as the configuration says.
Rows rejected before pass unchanged.
"""

import argparse
from pathlib import Path

from jz3 import io, program
from jz3.execution.solutions import execute_rows, tally
from jz3.records import PROBLEMS
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Read, run, write."""
    before = io.read_rows(options.problems, PROBLEMS)
    rows = execute_rows(before, options.recipe)
    program.say(", ".join(f"{count} {name}" for name, count in tally(rows, before).items()))
    origin = program.origin(__file__, options, [options.problems])
    io.write_table(options.output, rows, PROBLEMS, origin)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--problems", type=Path, required=True, help="table of problems")
    arguments.add_argument("--output", type=Path, required=True, help="the same after execution")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.ExecuteSolutions))
