"""Draw what was kept of passages and problems, and why the rest was not, as SVG."""

import argparse

from jz3 import program


def main(options: argparse.Namespace) -> None:
    """Read all counts and draw them."""
    from jz3.report import funnel_figure

    funnel_figure.funnels(options.output, options.funnels)


if __name__ == "__main__":
    parser = program.parser(__doc__)
    parser.add_argument("--funnels", nargs="+", required=True, help="funnel.json files")
    parser.add_argument("--output", required=True, help="SVG file")
    program.run(main, parser)
