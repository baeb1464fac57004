"""Let a synthesizer write problems: one shard of a corpus (paper, section 3.4).

Every completion becomes a row, with its status: kept, truncated or unparsed.
"""

import argparse
from pathlib import Path

from jz3 import io, program
from jz3.records import PROBLEMS, PROMPTS
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Ask, write."""
    from jz3.synthesis.write import count_statuses, journal_in, write_problems

    asked = io.read_rows(options.prompts, PROMPTS)
    inputs = [options.prompts, options.synthesizer]
    told = recipes.Synthesize(**options.recipe).identity()
    journal = journal_in(options.state, told, inputs, options.code, options.seed)
    what = f"shard {options.prompts.stem}"
    rows = write_problems(asked, options.synthesizer, options.recipe, options.seed, journal, what)
    program.say(f"{what}: {count_statuses(rows)}")
    origin = program.origin(__file__, options, inputs)
    io.write_table(options.output, rows, PROBLEMS, origin)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--prompts", type=Path, required=True, help="table of prompts")
    arguments.add_argument("--synthesizer", type=Path, required=True, help="checkpoint that writes")
    arguments.add_argument("--output", type=Path, required=True, help="table of problems")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.Synthesize))
