"""Write the data card of one synthetic corpus: its facts as JSON, and a page of them as Markdown.

--recipe: {"corpus": name} and the corpus's entry in the configuration.
"""

import argparse

from jz3 import program
from jz3.io import read_json, read_rows, write_json, write_text
from jz3.records import PROBLEMS
from jz3.report import cards, corpus_card
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Describe what was kept and what was left out."""
    kept = read_rows(options.problems, PROBLEMS)
    rejected = read_rows(options.rejected, PROBLEMS, allow_empty=True)
    facts = corpus_card.summary(options.recipe, kept, rejected, read_json(options.report))
    write_json(options.facts, facts)
    write_text(options.output, cards.markdown("corpus_card", facts))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--problems", required=True, help="kept problems (Parquet)")
    arguments.add_argument("--rejected", required=True, help="problems left out (Parquet)")
    arguments.add_argument("--report", required=True, help="the filter's report (JSON)")
    arguments.add_argument("--facts", required=True, help="JSON file")
    arguments.add_argument("--output", required=True, help="Markdown file")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.DataCard))
