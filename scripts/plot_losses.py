"""Draw the training curves (loss against tokens) of several trainings as SVG.

A history is <kind>/<name>/history.jsonl; kind and name are read off its path.
"""

import argparse

from jz3 import program


def main(options: argparse.Namespace) -> None:
    """Read all histories and draw them."""
    from jz3.report import figures

    figures.losses(options.output, options.histories)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--histories", nargs="+", required=True, help="history.jsonl files")
    arguments.add_argument("--output", required=True, help="SVG file")
    return arguments


if __name__ == "__main__":
    program.run(main, parser())
