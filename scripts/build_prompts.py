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
    origin = io.provenance("build_prompts", options.code, [options.picks, options.prompts])
    io.write_table(options.output, rows, records.PROMPTS, origin)


if __name__ == "__main__":
    parser = program.parser(__doc__)
    parser.add_argument("--picks", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, required=True, help="prompt folder")
    parser.add_argument("--output", type=Path, required=True)
    program.run(main, parser)
