"""Draw a table's scores with their intervals, and the paper's values where it has them, as SVG."""

import argparse

from jz3 import program


def main(options: argparse.Namespace) -> None:
    """Read one table in long form and draw it."""
    from jz3.report import figures
    from jz3.tables import score_table

    figures.scores(options.output, score_table.read_csv(options.table))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--table", required=True, help="CSV written by build_table")
    arguments.add_argument("--output", required=True, help="SVG file")
    return arguments


if __name__ == "__main__":
    program.run(main, parser())
