"""Fetch one file of the configuration's `sources` and check its bytes.

The recipe is the source's entry: `sha256` and the `places` to try, in order.
"""

import argparse
from pathlib import Path

from jz3 import program
from jz3.sources.files import fetch
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Fetch the file."""
    fetch(options.recipe, options.output, options.name)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--name", required=True, help="name of the source")
    arguments.add_argument("--output", required=True, type=Path, help="where the file goes")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.FetchFile))
