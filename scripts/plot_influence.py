"""Draw how influence scores spread over sources and levels, as SVG."""

import argparse

from jz3 import program
from jz3.io import read_table
from jz3.records import SCORES


def main(options: argparse.Namespace) -> None:
    """Read one table of scores and draw it."""
    from jz3.report import figures

    rows = read_table(options.scores, SCORES, extra_prefix="score_").to_pylist()
    figures.influence(options.output, rows)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--scores", required=True, help="scores.parquet of score_influence")
    arguments.add_argument("--output", required=True, help="SVG file")
    return arguments


if __name__ == "__main__":
    program.run(main, parser())
