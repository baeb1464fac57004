"""Grade a model's answers twice: strictly, and by the authors' rules (paper section 4.1).

Writes both verdicts per answer, and a list of the answers on which they differ.
"""

import argparse
import csv
from io import StringIO
from pathlib import Path

from jz3 import io, program, records

TEXT_END = 400  # characters of the answer's end that the list of disagreements shows
COLUMNS = (
    "problem_id",
    "benchmark",
    "sample",
    "question",
    "gold",
    "predicted",
    "predicted_released",
    "strict",
    "released",
    "text_end",
)


def main(options: argparse.Namespace) -> None:
    """Read ANSWERS; write GRADES and the disagreements."""
    from jz3.grading.strict import grade
    from jz3.grading.symbolic import WORKER

    answers = io.read_rows(options.answers, records.ANSWERS)
    grades, different = [], []
    with program.Progress(len(answers), "grading", "answer") as bar:
        for answer, (row, theirs) in zip(answers, grade(answers), strict=True):
            grades.append(row)
            if row["strict"] != row["released"]:
                end = answer["text"][-TEXT_END:]
                texts = {"question": answer["question"], "text_end": end}
                different.append({**row, **texts, "predicted_released": theirs})
            bar.update()
    origin = program.origin(__file__, options, [options.answers])
    table = StringIO(newline="")
    writer = csv.DictWriter(table, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(different)
    io.write_text(options.disagreements, table.getvalue())
    io.write_table(options.output, grades, records.GRADES, origin)
    right = {name: sum(row[name] for row in grades) for name in ("strict", "released")}
    program.say(
        f"{len(grades)} answers: {right['strict']} right by the strict grader,"
        f" {right['released']} by the authors' rules, {len(different)} different verdicts,"
        f" {WORKER.timeouts} comparisons cut off"
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--answers", type=Path, required=True, help="table of answers")
    arguments.add_argument("--output", type=Path, required=True, help="table of grades")
    arguments.add_argument("--disagreements", type=Path, required=True, help="CSV of differences")
    return arguments


if __name__ == "__main__":
    program.run(main, parser())
