"""Let a synthesizer write problems: one shard of a corpus (paper, section 3.4).

Every completion becomes a row, with its status: kept, truncated or unparsed.
"""

from pathlib import Path

from jz3 import io, program
from jz3.records import PROBLEMS, PROMPTS


def main(options):
    """Ask, write."""
    from jz3.synthesis.write import count_statuses, journal_in, write_problems

    asked = io.read_rows(options.prompts, PROMPTS)
    inputs = [options.prompts, options.synthesizer]
    journal = journal_in(options.state, options.recipe, inputs, options.code, options.seed)
    what = f"shard {options.prompts.stem}"
    rows = write_problems(asked, options.synthesizer, options.recipe, options.seed, journal, what)
    program.say(f"{what}: {count_statuses(rows)}")
    origin = io.provenance(
        "synthesize.py", options.code, inputs, options.seed, options.recipe["dtype"]
    )
    io.write_table(options.output, rows, PROBLEMS, origin)


parser = program.parser(__doc__)
parser.add_argument("--prompts", type=Path, required=True, help="table of prompts")
parser.add_argument("--synthesizer", type=Path, required=True, help="checkpoint that writes")
parser.add_argument("--output", type=Path, required=True, help="table of problems")

if __name__ == "__main__":
    program.run(main, parser)
