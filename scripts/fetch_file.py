"""Fetch one file of the configuration's `sources` and check its bytes.

The recipe is the source's entry: `sha256` and the `places` to try, in order.
"""

import argparse
from pathlib import Path

from jz3 import program
from jz3.sources.files import fetch


def main(options: argparse.Namespace) -> None:
    """Fetch the file."""
    fetch(options.recipe, options.output, options.name)


if __name__ == "__main__":
    arguments = program.parser(__doc__)
    arguments.add_argument("--name", required=True, help="name of the source")
    arguments.add_argument("--output", required=True, type=Path, help="where the file goes")
    program.run(main, arguments)
