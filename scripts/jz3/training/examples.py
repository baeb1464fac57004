"""Training examples (prompt, completion) from the tables that hold worked problems."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from .. import io
from ..records import BENCHMARK, PROBLEMS, BenchmarkProblem
from ..templates import question_text


def read_examples(path: str | Path, modes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The examples of one file, by its columns.

    A PROBLEMS table gives its kept problems; a BENCHMARK table (a train split) its worked
    solutions, as text where `modes` has cot and as a program with its output where it has tool;
    any other Parquet or JSON-lines file must have the columns `input` and `output` (the form of
    the released corpora). Raises UserError for other columns and where no example is found.
    """
    path = Path(path)
    if path.suffix in (".jsonl", ".json"):
        rows = io.read_json_lines(path)
        examples = _from_columns(path, rows, list(rows[0]) if rows else [])
    else:
        with io.open_parquet(path, product=False) as file:
            names = file.schema_arrow.names
        if set(PROBLEMS.names) <= set(names):
            examples = _from_problems(io.read_table(path, PROBLEMS, allow_empty=True))
        elif set(BENCHMARK.names) <= set(names):
            examples = _from_benchmark(io.read_rows(path, BENCHMARK), modes)
        else:
            examples = _from_columns(path, _rows(path), names)
    count = 0
    for count, example in enumerate(examples, 1):  # noqa: B007 (the count is used below)
        yield example
    if not count:
        raise io.UserError(f"{path}: no training example in it for {' or '.join(modes)}.")


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with io.open_parquet(path, product=False) as file:
        for batch in file.iter_batches(columns=["input", "output"]):
            yield from batch.to_pylist()


def _from_columns(
    path: Path, rows: Iterable[dict[str, Any]], names: list[str]
) -> Iterator[tuple[str, str]]:
    if not {"input", "output"} <= set(names):
        raise io.UserError(
            f"{path}: neither problems, nor a benchmark split, nor a file with the columns"
            f" input and output. Columns found: {', '.join(names)}."
        )
    for number, row in enumerate(rows, 1):
        if not (isinstance(row.get("input"), str) and isinstance(row.get("output"), str)):
            raise io.UserError(f"{path}, row {number}: input and output must be texts.")
        yield row["input"], row["output"]


def _from_problems(table: pa.Table) -> Iterator[tuple[str, str]]:
    for batch in table.select(["question", "solution", "mode", "status"]).to_batches():
        for row in batch.to_pylist():
            if row["status"] == "kept":
                yield question_text(row["question"], row["mode"]), row["solution"]


def _from_benchmark(
    rows: list[BenchmarkProblem], modes: Sequence[str]
) -> Iterator[tuple[str, str]]:
    for mode in modes:
        for row in rows:
            if example := worked_example(row, mode):
                yield example


def worked_example(row: BenchmarkProblem, mode: str) -> tuple[str, str] | None:
    """The example (prompt, completion) of one BENCHMARK row; None without a solution of `mode`."""
    worked = row["solution"] if mode == "cot" else row["program"]
    if not worked.strip():
        return None
    if mode == "cot":
        text = worked.strip()
    else:
        # The program of a generated problem prints its computed answer.
        printed = f"```output\n{row['answer']}\n```"
        text = f"```python\n{worked.strip()}\n```\n{printed}"
    if "\\boxed" not in text:
        text += f"\nThe answer is \\boxed{{{row['answer']}}}."
    return question_text(row["question"], mode), text
