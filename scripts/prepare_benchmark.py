"""Turn one split of a benchmark into the common table of problems.

--recipe: `split`, its entry in the configuration: a generator, or how the columns of --files
map to question, answer, solution, subject and choices.
"""

import argparse
from pathlib import Path

from jz3 import io, program, records
from jz3.benchmarks.prepare import prepare
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Read or generate the problems, and write them."""
    rows, notes = prepare(
        options.recipe["split"], options.benchmark, options.split, options.files, options.seed
    )
    for note in notes:
        program.say(note)
    origin = program.origin(__file__, options, options.files)
    io.write_table(options.output, rows, records.BENCHMARK, origin)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--benchmark", required=True, help="name of the benchmark")
    arguments.add_argument("--split", required=True, help="train or test")
    arguments.add_argument("--files", nargs="*", type=Path, default=[], help="files to read")
    arguments.add_argument("--output", required=True, type=Path, help="table of problems")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.PrepareBenchmark))
