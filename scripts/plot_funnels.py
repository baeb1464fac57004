"""Draw what was kept of passages and problems, and why the rest was not, as SVG."""

import argparse

from jz3 import program


def main(options: argparse.Namespace) -> None:
    """Read all counts and draw them."""
    from jz3.report import funnel_figure

    funnel_figure.funnels(options.output, options.funnels)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--funnels", nargs="+", required=True, help="funnel.json files")
    arguments.add_argument("--output", required=True, help="SVG file")
    return arguments


if __name__ == "__main__":
    program.run(main, parser())
