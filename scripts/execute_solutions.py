"""Run every program of a corpus of tool solutions; put in what it really prints.

A row whose program fails becomes "not_executed"; a stated answer that differs from what was printed
is marked and replaced by it. Rows rejected before pass unchanged.
"""

from pathlib import Path

from jz3 import io, program
from jz3.execution.programs import execute_rows, isolation
from jz3.records import PROBLEMS


def main(options):
    """Read, run, write."""
    rows = io.read_rows(options.problems, PROBLEMS)
    rows = execute_rows(rows, options.recipe)
    ran = sum(row["executed"] is not None for row in rows)
    program.say(
        f"{ran} programs, {sum(bool(row['executed']) for row in rows)} ran,"
        f" {sum(bool(row['answer_agrees']) for row in rows)} print their answer;"
        f" confined by: {isolation()}"
    )
    origin = io.provenance("execute_solutions.py", options.code, [options.problems], options.seed)
    io.write_table(options.output, rows, PROBLEMS, origin)


parser = program.parser(__doc__)
parser.add_argument("--problems", type=Path, required=True, help="table of problems")
parser.add_argument("--output", type=Path, required=True, help="the same after execution")

if __name__ == "__main__":
    program.run(main, parser)
