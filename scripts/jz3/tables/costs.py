"""What a run cost, from its own records: tokens, dollars, time and GPU-hours, step by step.

Tokens and the teacher's dollars are counted in the products; times are those that Snakemake wrote
of the last run of each job (`<results>/timings/{stage}/{rule}.{wildcards}.tsv`).
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..distillation.journal import NANO, TeacherJournal
from ..io import UserError, open_parquet, read_json_lines
from . import text_table
from .text_table import Grid, number, short

# Beside planning, and the tables that show the costs.
STAGES = (
    "sources", "corpus", "benchmarks", "distillation", "synthesizers", "influence", "synthesis",
    "training", "evaluation",
)  # fmt: skip
TOTAL = "all"
UNUSED = "unused answers"


@dataclass
class Cost:
    """One step: a rule, for one entry of the configuration where that has its own line.

    jobs: that have a record of their time; seconds: of these jobs, added up; gpu_seconds: times
    the GPUs that each was given; tokens: read and written by models, or trained on; dollars: paid
    to the teacher's provider for the answers in use.
    """

    stage: str
    rule: str
    entry: str
    jobs: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    tokens_read: int = 0
    tokens_written: int = 0
    tokens_trained: int = 0
    dollars: float = 0.0


COLUMNS = tuple(field.name for field in fields(Cost))


def collect(
    products: Iterable[Path],
    timings: Path,
    gpus: dict[str, dict[str, int]],
    journal: Path | None = None,
) -> tuple[list[Cost], int]:
    """The costs in the order of the stages, and how many records of time belong to no entry.

    products: completions, problems and rejected problems, candidates, histories, answers; what
    they are is read off their paths. gpus: per rule and name the GPUs of a job (`workload.plan`); a
    record of such a rule for any other name is left over from another configuration. journal: the
    teacher's; what it charged beyond the answers in use has a line of its own.
    """
    costs: dict[tuple[str, str, str], Cost] = {}

    def of(stage: str, rule: str, entry: str) -> Cost:
        return costs.setdefault((stage, rule, entry), Cost(stage, rule, entry))

    for path in map(Path, products):
        _count(path, of)
    if journal and journal.exists():
        with TeacherJournal(journal) as paid:
            charged = paid.totals()[0] / NANO
        beyond = charged - sum(cost.dollars for cost in costs.values())
        if beyond > 1 / NANO:
            of("distillation", UNUSED, "").dollars = beyond
    strays = 0
    for path in sorted(timings.glob("*/*.tsv")):
        rule, *wildcards = path.name.removesuffix(".tsv").split(".")
        if path.parent.name not in STAGES:
            continue
        names = ["/".join(wildcards[: k + 1]) for k in range(len(wildcards))]
        known = [name for name in names if name in gpus.get(rule, {})]
        if rule in gpus and not known:
            strays += 1
            continue
        cost = of(path.parent.name, rule, _shown(rule, known[0]) if known else "")
        for row in _timing(path):
            cost.jobs += 1
            cost.seconds += row["s"]
            cost.cpu_seconds += row["cpu_time"]
            cost.gpu_seconds += row["s"] * (gpus[rule][known[0]] if known else 0)
    order = {stage: place for place, stage in enumerate(STAGES)}
    return sorted(costs.values(), key=lambda cost: order[cost.stage]), strays


def _shown(rule: str, name: str) -> str:
    """Evaluations have a line per model and mode, everything else one per entry."""
    return name.rsplit("/", 1)[0] if rule == "answer_benchmark" else name


def _count(path: Path, of) -> None:
    """Add the tokens and dollars that one product records."""
    stage, entry, file = path.parts[-3:]
    if file == "completions.parquet":
        columns = _columns(path, "prompt_tokens", "completion_tokens", "cost")
        cost = of("distillation", "ask_teacher", entry)
        cost.tokens_read += columns["prompt_tokens"]
        cost.tokens_written += columns["completion_tokens"]
        cost.dollars += columns["cost"]
    elif file == "candidates.parquet":
        cost = of("influence", "synthesize_candidates", entry)
        cost.tokens_written += _columns(path, "completion_tokens")["completion_tokens"]
    elif file in ("problems.parquet", "rejected.parquet"):
        cost = of("synthesis", "synthesize", entry)
        cost.tokens_written += _columns(path, "completion_tokens")["completion_tokens"]
    elif file == "history.jsonl":
        synthesizer = stage == "synthesizers"
        cost = of("synthesizers", "train_synthesizer", entry) if synthesizer else of(
            "training", "train_model", entry
        )  # fmt: skip
        cost.tokens_trained += read_json_lines(path)[-1]["tokens"]
    elif file == "answers.parquet":
        columns = _columns(path, "prompt_tokens", "completion_tokens")
        cost = of("evaluation", "answer_benchmark", "/".join(path.parts[-4:-2]))
        cost.tokens_read += columns["prompt_tokens"]
        cost.tokens_written += columns["completion_tokens"]
    else:
        raise UserError(f"{path}: not a product whose tokens are counted.")


def _columns(path: Path, *names: str) -> dict[str, Any]:
    """Sums of columns (an empty table, or nulls only: 0), without reading the texts beside them."""
    import pyarrow.compute as pc

    with open_parquet(path) as file:
        if missing := set(names) - set(file.schema_arrow.names):
            raise UserError(f'{path}: column "{min(missing)}" is missing. Delete it and rerun.')
        table = file.read(columns=list(names))
    return {name: pc.sum(table[name]).as_py() or 0 for name in names}


def _timing(path: Path) -> list[dict[str, float]]:
    """Rows of a record of time: seconds by the clock, and of processor time (0: not measured)."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    found = []
    for row in rows:
        values = {}
        for key in ("s", "cpu_time"):
            try:
                values[key] = float(row.get(key) or 0)
            except ValueError:
                values[key] = 0.0  # Snakemake writes NA for what it could not sample
        found.append(values)
    return found


# ---------------------------------------------------------------- as a table


def to_rows(costs: list[Cost], gpu_hour_dollars: float) -> list[dict[str, Any]]:
    """Rows for `text_table.to_csv`: the costs and their total, with the price of the GPU time."""
    total = Cost(TOTAL, "", "")
    for cost in costs:
        for name in COLUMNS[3:]:
            setattr(total, name, getattr(total, name) + getattr(cost, name))
    rows = []
    for cost in [*costs, total]:
        row = {name: getattr(cost, name) for name in COLUMNS}
        for name in ("seconds", "cpu_seconds", "gpu_seconds"):
            row[name] = f"{row[name]:.2f}"
        row["dollars"] = f"{row['dollars']:.6f}"
        rows.append(row | {"gpu_dollars": f"{cost.gpu_seconds / 3600 * gpu_hour_dollars:.2f}"})
    return rows


CSV_COLUMNS = (*COLUMNS, "gpu_dollars")


def time(seconds: float) -> str:
    """Seconds as hours, minutes or seconds, whichever is readable."""
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _amount(value: float | str) -> str:
    return number(value, digits=2) if float(value) else "-"


def layout(rows: list[dict[str, str]], strays: int = 0) -> Grid:
    """The table for readers; columns of which nothing is known are left out."""
    gpu = any(float(row["gpu_seconds"]) for row in rows)
    paid = any(float(row["dollars"]) for row in rows)
    header = ["stage", "step", "jobs", "read", "written", "trained on", "time", "processor"]
    header += ["GPU-hours", "GPU dollars"] * gpu + ["teacher dollars"] * paid
    lines, before = [], ""
    for row in rows:
        seconds, cpu = float(row["seconds"]), float(row["cpu_seconds"])
        line = [
            row["stage"] if row["stage"] != before else "",
            " ".join(filter(None, [row["rule"], row["entry"]])),
            f"{int(row['jobs']):,}",
            *(short(row[f"tokens_{kind}"]) for kind in ("read", "written", "trained")),
            time(seconds) if seconds else "-",
            time(cpu) if cpu else "-",
        ]
        if gpu:
            line += [_amount(float(row["gpu_seconds"]) / 3600), _amount(row["gpu_dollars"])]
        if paid:
            line += [_amount(row["dollars"])]
        lines.append(line)
        before = row["stage"]
    notes = [
        "read, written, trained on: tokens of prompts, of answers, and of training sequences. Of"
        " synthesis only the tokens written are recorded.",
        "time: wall-clock time of the jobs, added up as if one followed the other; of the last run"
        " of each job, so a job that was stopped and went on counts from there.",
        "Paper: unknown. No value of the paper's cost table could be verified, so none is shown.",
    ]
    if gpu:
        notes.insert(2, "GPU-hours: time of a job times the GPUs it was given.")
    if paid:
        notes.insert(
            2,
            f"teacher dollars: at the prices configured; {UNUSED}: requests whose answer no entry"
            " uses, or never came (these at their worst case).",
        )
    if strays:
        notes.append(f"{strays} records of time belong to no entry of the configuration: left out.")
    caption = "What this run cost, step by step, from its own records."
    return Grid("Table cost", header, lines, 2, caption, notes)


def text_forms(rows: list[dict[str, Any]], strays: int) -> dict[str, str]:
    """The table as csv, markdown and latex."""
    text = [{key: str(value) for key, value in row.items()} for row in rows]
    grid = layout(text, strays)
    return {
        "csv": text_table.to_csv(rows, CSV_COLUMNS),
        "markdown": text_table.markdown(grid, 1),
        "latex": text_table.NEEDS + text_table.latex(grid, "cost", (len(rows) - 1,)),
    }
