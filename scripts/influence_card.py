"""Describe an influence run for a reader: what the scores choose, and the texts at both ends.

--recipe: {"influence": name, "picked": passages chosen by these scores}. Writes Markdown, and the
numbers and whole texts as JSON.
"""

import argparse
import functools
from pathlib import Path

from jz3 import io, program
from jz3.records import SCORES
from jz3.report import cards, influence_card
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Summarise and write."""
    rows = io.read_table(options.scores, SCORES, extra_prefix="score_").to_pylist()
    texts = functools.partial(influence_card.texts_of, options.candidates, options.passages)
    recipe = options.recipe
    found = influence_card.summary(recipe["influence"], rows, recipe["picked"], options.seed, texts)
    io.write_json(options.summary, found)
    io.write_text(options.output, cards.markdown("influence_card", found))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--scores", type=Path, required=True, help="SCORES table")
    arguments.add_argument("--candidates", type=Path, required=True, help="PROBLEMS table")
    arguments.add_argument("--passages", type=Path, required=True, help="PASSAGES table")
    arguments.add_argument("--summary", type=Path, required=True, help="JSON file")
    arguments.add_argument("--output", type=Path, required=True, help="Markdown file")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.InfluenceCard))
