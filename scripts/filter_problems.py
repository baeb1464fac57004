"""Apply the filters of a corpus in order; keep a problem, or set it aside with the reason.

The tables are read twice, one shard at a time: for the checks, then to write, so that a corpus
of millions of problems needs memory for its questions only.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jz3 import io, program
from jz3.records import BENCHMARK, PROBLEMS
from jz3.workflow import recipes
from jz3.workflow.messages import accepts

if TYPE_CHECKING:
    from jz3.synthesis.filters import Row, Verdict

READ = (
    "problem_id", "source", "level", "prompt", "question", "solution", "answer", "finish_reason",
    "parsed", "executed", "answer_agrees", "status",
)  # fmt: skip


def main(options: argparse.Namespace) -> None:
    """Check, write both tables and the report, then complain if nothing was kept."""
    from jz3.synthesis.filters import judge

    questions = [
        (f"{row['benchmark']}:{row['problem_id']}", row["question"])
        for path in options.benchmarks
        for row in io.read_rows(path, BENCHMARK)
    ]
    earlier = [
        (row["problem_id"], row["question"]) for path in options.earlier for row in rows_of(path)
    ]
    shards = (rows_of(path) for path in options.problems)
    verdicts, funnel = judge(shards, questions, options.recipe, options.seed, earlier)
    inputs = [*options.problems, *options.benchmarks, *options.earlier]
    write_split(options, verdicts, program.origin(__file__, options, inputs))
    io.write_json(options.report, funnel)
    for name, step in funnel["filters"].items():
        program.say(f"{name}: {step['in']} in, {step['rejected']} rejected, {step['out']} out")
    if not funnel["kept"]:
        # Snakemake removes what a failed job wrote: the counts must be in the line itself.
        counts = ", ".join(f"{number} {status}" for status, number in funnel["rejected"].items())
        raise io.UserError(
            f"no problem of {funnel['written']} passed the filters ({counts}). Ask for more"
            " `prompts`, train the synthesizer on more pairs, or take a filter out."
        )


def rows_of(path: Path) -> "Iterator[Row]":
    """Rows of a table with the columns that the filters look at, some thousand at a time."""
    for batch in io.read_table(path, PROBLEMS).select(READ).to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def write_split(
    options: argparse.Namespace, verdicts: "list[Verdict]", origin: dict[str, Any]
) -> None:
    """Write the kept and the rejected rows, in the order of the shards."""
    import pyarrow as pa

    start = 0
    with (
        io.table_writer(options.output, PROBLEMS, origin) as keep,
        io.table_writer(options.rejected, PROBLEMS, origin) as reject,
    ):
        for path in options.problems:
            table = io.read_table(path, PROBLEMS)
            part = verdicts[start : start + table.num_rows]
            start += table.num_rows
            for name in ("status", "duplicate_of", "contaminated_by"):
                values = pa.array([getattr(v, name) for v in part], PROBLEMS.field(name).type)
                place = table.column_names.index(name)
                table = table.set_column(place, PROBLEMS.field(name), values)
            kept = [verdict.status == "kept" for verdict in part]
            keep(table.filter(pa.array(kept, pa.bool_())))
            reject(table.filter(pa.array([not k for k in kept], pa.bool_())))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument(
        "--problems", type=Path, nargs="+", required=True, help="tables of problems"
    )
    arguments.add_argument(
        "--benchmarks", type=Path, nargs="*", default=[], help="tables of test splits"
    )
    arguments.add_argument(
        "--earlier", type=Path, nargs="*", default=[], help="tables whose problems none may copy"
    )
    arguments.add_argument("--output", type=Path, required=True, help="table of the problems kept")
    arguments.add_argument("--rejected", type=Path, required=True, help="table of the others")
    arguments.add_argument(
        "--report", type=Path, required=True, help="counts filter by filter, JSON"
    )
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.FilterProblems))
