"""Add up what a run cost, from its products and the times of its jobs: CSV, Markdown and LaTeX.

--recipe: "gpus" ({rule: {name: GPUs of a job}}) and "gpu_hour_dollars".
"""

import argparse
from pathlib import Path

from jz3 import program
from jz3.io import UserError, write_json, write_text
from jz3.tables import costs, sidecar


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


if __name__ == "__main__":
    parser = program.parser(__doc__)
    parser.add_argument(
        "--products", nargs="+", type=Path, required=True,
        help="completions, problems, candidates, histories and answers of the run",
    )  # fmt: skip
    parser.add_argument("--timings", type=Path, required=True, help="folder of Snakemake's times")
    parser.add_argument("--journal", type=Path, help="the teacher's journal, if there is one")
    for form in ("csv", "markdown", "latex", "sidecar"):
        parser.add_argument(f"--{form}", required=True)
    program.run(main, parser)
