"""Write the report of a run: one HTML page with tables, figures, examples and provenance.

The recipe is the whole configuration. Of --scores and --candidates the page shows how they were
made.
"""

import argparse
from pathlib import Path
from typing import Any

from jz3 import program
from jz3.io import write_text


def main(options: argparse.Namespace) -> None:
    """Render the page and write it."""
    from jz3.report.page import render

    page = render(
        name=options.recipe["name"],
        table_files=options.tables,
        run_table_files=options.run_tables,
        sidecar_files=options.sidecars,
        figure_files=options.figures,
        funnel_files=options.funnels,
        influence_files=options.influences,
        score_files=options.scores,
        candidate_files=options.candidates,
        card_files=options.cards,
        disagreement_files=options.disagreements,
        fetched_files=options.fetched,
        configuration=options.recipe,
    )
    write_text(options.output, page)
    program.say(f"report: {len(page.encode()):,} bytes")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    several: dict[str, Any] = {"nargs": "*", "type": Path, "default": []}
    arguments.add_argument(
        "--tables", nargs="+", type=Path, required=True, help="build_table's CSVs"
    )
    arguments.add_argument("--run-tables", **several, help="cost.csv, influence.csv")
    arguments.add_argument(
        "--sidecars", **several, help="where the tables' numbers are from (JSON)"
    )
    arguments.add_argument("--figures", **several, help="SVG files, in the order of the page")
    arguments.add_argument("--funnels", **several, help="JSON counts of what was kept and dropped")
    arguments.add_argument("--influences", **several, help="summaries of influence_card (JSON)")
    arguments.add_argument("--scores", **several, help="scores.parquet of influence runs")
    arguments.add_argument("--candidates", **several, help="problems that were scored (Parquet)")
    arguments.add_argument("--cards", **several, help="facts of data cards (JSON)")
    arguments.add_argument("--disagreements", **several, help="graders' disagreements (CSV)")
    arguments.add_argument("--fetched", **several, help="what came from the hub (JSON)")
    arguments.add_argument("--output", type=Path, required=True, help="HTML file")
    return arguments


if __name__ == "__main__":
    program.run(main, parser())
