"""Fetch one split of a hub dataset at its commit and write it as one Parquet file.

The table's provenance holds the commit and the files with their digests.
"""

import argparse
from pathlib import Path

from jz3 import io, program
from jz3.sources import splits
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Fetch the split."""
    entry: splits.Entry = options.recipe
    origin = program.origin(__file__, options, [], seeded=False)
    came = splits.fetch(entry, options.output, options.name, origin)
    if options.record:
        io.write_json(options.record, came)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--name", required=True, help="entry of `datasets`")
    arguments.add_argument("--output", type=Path, required=True, help="Parquet file")
    arguments.add_argument("--record", type=Path, help="where it came from (JSON)")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.FetchDataset))
