"""Add up what a run cost, from its products and the times of its jobs: CSV, Markdown and LaTeX.

--recipe: "gpus" ({rule: {name: GPUs of a job}}) and "gpu_hour_dollars".
"""

import argparse
from pathlib import Path

from jz3 import program
from jz3.io import UserError, write_json, write_text
from jz3.tables import costs, sidecar
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Count, add up and write the forms of the table, and the files that were counted."""
    if not options.timings.is_dir():
        raise UserError(f"{options.timings}: no such folder; no job has left its time.")
    steps, strays = costs.collect(
        options.products, options.timings, options.recipe["gpus"], options.journal
    )
    table = costs.with_total(steps, options.recipe["gpu_hour_dollars"])
    for form, text in costs.text_forms(table, strays).items():
        write_text(getattr(options, form), text)
    write_json(options.sidecar, sidecar.of_files("cost", options.products, options.code))
    program.say(f"table cost: {len(steps)} steps, {costs.time(steps['seconds'].sum())}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument(
        "--products", nargs="+", type=Path, required=True,
        help="completions, problems, candidates, histories and answers of the run",
    )  # fmt: skip
    arguments.add_argument(
        "--timings", type=Path, required=True, help="folder of Snakemake's times"
    )
    arguments.add_argument("--journal", type=Path, help="the teacher's journal, if there is one")
    for form in ("csv", "markdown", "latex", "sidecar"):
        arguments.add_argument(f"--{form}", required=True)
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.BuildCostTable))
