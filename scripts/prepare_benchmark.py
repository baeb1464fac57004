"""Turn one split of a benchmark into the common table of problems.

The recipe is the split's entry in the configuration: a generator, or how the columns of --files
map to question, answer, solution, subject and choices.
"""

from pathlib import Path

from jz3 import io, program, records
from jz3.benchmarks.prepare import prepare


def main(options):
    """Read or generate the problems, and write them."""
    rows, notes = prepare(
        options.recipe, options.benchmark, options.split, options.files, options.seed
    )
    for note in notes:
        program.say(note)
    origin = io.provenance("prepare_benchmark", options.code, options.files, options.seed)
    io.write_table(options.output, rows, records.BENCHMARK, origin)


if __name__ == "__main__":
    arguments = program.parser(__doc__)
    arguments.add_argument("--benchmark", required=True, help="name of the benchmark")
    arguments.add_argument("--split", required=True, help="train or test")
    arguments.add_argument("--files", nargs="*", type=Path, default=[], help="files to read")
    arguments.add_argument("--output", required=True, type=Path, help="table of problems")
    program.run(main, arguments)
