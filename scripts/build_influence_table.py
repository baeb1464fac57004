"""Summarise influence scores by source and level: CSV, Markdown and LaTeX.

The name of an influence run is the folder of its scores. --recipe: "confidence".
"""

import argparse
from pathlib import Path

import pandas as pd
from jz3 import program
from jz3.io import read_table, write_json, write_text
from jz3.records import SCORES
from jz3.tables import influence_table, sidecar, text_table
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Read all tables of scores, summarise and write."""
    confidence = options.recipe["confidence"]
    parts = []
    for path in options.scores:
        scores = read_table(path, SCORES, extra_prefix="score_").to_pandas()
        parts.append(influence_table.summarise(path.parent.name, scores, confidence, options.seed))
    table = pd.concat(parts, ignore_index=True)
    grid = influence_table.layout(table, confidence)
    write_text(options.csv, influence_table.to_csv(table))
    write_text(options.markdown, text_table.markdown(grid, 1))
    latex = text_table.latex(grid, "influence", influence_table.turns(table))
    write_text(options.latex, text_table.NEEDS + latex)
    write_json(options.sidecar, sidecar.of_files("influence", options.scores, options.code))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument(
        "--scores", nargs="+", type=Path, required=True, help="tables of scores (Parquet)"
    )
    for form in ("csv", "markdown", "latex", "sidecar"):
        arguments.add_argument(f"--{form}", required=True)
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.BuildInfluenceTable))
