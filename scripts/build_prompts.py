"""Put each picked passage into the prompt of its level."""

import argparse
from pathlib import Path

from jz3 import io, program, prompts, records
from jz3.corpus import sampling


def main(options: argparse.Namespace) -> None:
    """Read picks and templates, write prompts."""
    templates = prompts.load_prompts(options.prompts)
    rows = []
    for pick in io.read_rows(options.picks, records.PICKS):
        level, mode = pick["level"], pick["mode"]
        if level not in templates:
            raise io.UserError(
                f'{options.prompts}: no prompt for level "{level}".'
                f"{io.did_you_mean(level, templates)}"
            )
        rows.append(sampling.prompt_row(pick, level, mode, templates[level]))
    origin = program.origin(__file__, options, [options.picks, options.prompts], seeded=False)
    io.write_table(options.output, rows, records.PROMPTS, origin)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--picks", type=Path, required=True)
    arguments.add_argument("--prompts", type=Path, required=True, help="prompt folder")
    arguments.add_argument("--output", type=Path, required=True)
    return arguments


if __name__ == "__main__":
    program.run(main, parser())
