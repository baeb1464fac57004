"""Write the data card of one synthetic corpus: its facts as JSON, and a page of them as Markdown.

--recipe: {"corpus": name} and the corpus's entry in the configuration.
"""

import argparse

from jz3 import program
from jz3.io import read_json, read_rows, write_json, write_text
from jz3.records import PROBLEMS
from jz3.report import cards, corpus_card


def main(options: argparse.Namespace) -> None:
    """Describe what was kept and what was left out."""
    kept = read_rows(options.problems, PROBLEMS)
    rejected = read_rows(options.rejected, PROBLEMS, allow_empty=True)
    facts = corpus_card.summary(options.recipe, kept, rejected, read_json(options.report))
    write_json(options.facts, facts)
    write_text(options.output, cards.markdown("corpus_card", facts))


if __name__ == "__main__":
    parser = program.parser(__doc__)
    parser.add_argument("--problems", required=True, help="kept problems (Parquet)")
    parser.add_argument("--rejected", required=True, help="problems left out (Parquet)")
    parser.add_argument("--report", required=True, help="the filter's report (JSON)")
    parser.add_argument("--facts", required=True, help="JSON file")
    parser.add_argument("--output", required=True, help="Markdown file")
    program.run(main, parser)
