"""Run every program of a corpus of tool solutions; put in what it really prints.

A row whose program fails becomes "not_executed"; a stated answer that differs from what was printed
is marked and replaced by it. Rows rejected before pass unchanged.
"""

import argparse
from pathlib import Path

from jz3 import io, program
from jz3.execution.programs import execute_rows, isolation
from jz3.records import PROBLEMS
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Read, run, write."""
    rows = io.read_rows(options.problems, PROBLEMS)
    rows = execute_rows(rows, options.recipe)
    ran = sum(row["executed"] is not None for row in rows)
    program.say(
        f"{ran} programs, {sum(bool(row['executed']) for row in rows)} ran,"
        f" {sum(bool(row['answer_agrees']) for row in rows)} print their answer;"
        f" confined by: {isolation()}"
    )
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
