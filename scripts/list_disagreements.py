"""List every answer on which the strict grader and the authors' rules differ, of all evaluations.

Each input lies in {model}/{mode}/{benchmark}/; model and mode become columns.
"""

import argparse
import csv
from io import StringIO
from pathlib import Path

from jz3 import io, program


def main(options: argparse.Namespace) -> None:
    """Read one CSV per evaluation, write one for all of them."""
    rows, columns = [], ["model", "mode"]
    for path in options.disagreements:
        model, mode = path.parts[-4:-2]
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            columns += [name for name in reader.fieldnames or () if name not in columns]
            rows += [{"model": model, "mode": mode, **row} for row in reader]
    text = StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    io.write_text(options.output, text.getvalue())
    kinds = [row["strict"] == "True" for row in rows]
    program.say(
        f"{len(rows)} disagreements of the graders: {sum(kinds)} right only by the strict one,"
        f" {len(kinds) - sum(kinds)} only by the authors' rules"
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--disagreements", type=Path, nargs="*", required=True, help="CSV files")
    arguments.add_argument("--output", type=Path, required=True, help="CSV of all")
    return arguments


if __name__ == "__main__":
    program.run(main, parser())
