"""Build one table of results: the paper's published rows and ours, as CSV, Markdown and LaTeX.

Reads grades from <results>/evaluation/{model}/{mode}/{benchmark}/grades.parquet, and beside each
the answers.parquet that was graded; which model and benchmark a file belongs to is read off its
path. --recipe: an entry of `tables` with "confidence", and optionally "rows" ({model: {"paper_row":
name}}), "subsets" (benchmarks run in part) and "sizes" (problems of a whole test set).
"""

import argparse
from pathlib import Path

from jz3 import program
from jz3.io import write_json, write_text
from jz3.tables import score_table, sidecar
from jz3.tables.layout import latex, layout, markdown
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Write the three forms of the table from one set of rows, and where each number is from."""
    rows = score_table.build(
        options.name, options.grades, options.paper, options.recipe, options.seed
    )
    sheet = layout(rows)
    write_text(options.csv, score_table.to_csv(rows))
    write_text(options.markdown, markdown(sheet))
    write_text(options.latex, latex(sheet))
    made = sidecar.of_table(rows, sheet.caption, options.grades, options.paper, options.code)
    write_json(options.sidecar, made)
    ours = sum(row["kind"] == score_table.OURS for row in rows)
    program.say(f"table {options.name}: {ours} cells of ours, {len(rows) - ours} of the paper's")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--name", required=True, help="the table's name in the configuration")
    arguments.add_argument(
        "--grades", nargs="+", type=Path, required=True, help="grades.parquet files"
    )
    arguments.add_argument(
        "--paper", nargs="?", default="", help="CSV of published numbers; empty for none"
    )
    arguments.add_argument("--csv", required=True, help="the table in long form")
    arguments.add_argument("--markdown", required=True, help="the table as Markdown")
    arguments.add_argument("--latex", required=True, help="the table as a LaTeX fragment")
    arguments.add_argument("--sidecar", required=True, help="where every number comes from, JSON")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.BuildTable))
