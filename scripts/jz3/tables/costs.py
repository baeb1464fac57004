"""What a run cost, from its own records: tokens, dollars, time and GPU-hours, step by step.

Tokens and the teacher's dollars are counted in the products; times are those that Snakemake wrote
of the last run of each job (`<results>/timings/{stage}/{rule}.{wildcards}.tsv`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from ..distillation.journal import NANO, TeacherJournal
from ..io import UserError, open_parquet, read_json_lines
from ..text import short
from . import text_table
from .text_table import Grid, number

# Beside planning, and the tables that show the costs.
STAGES = (
    "sources", "corpus", "benchmarks", "distillation", "synthesizers", "influence", "synthesis",
    "training", "evaluation",
)  # fmt: skip
TOTAL = "all"
UNUSED = "unused answers"


# One step: a rule, for one entry of the configuration where that has its own line. jobs: that have
# a record of their time; seconds: of these jobs, added up; gpu_seconds: times the GPUs that each
# was given; tokens: read and written by models, or trained on; dollars: paid to the teacher's
# provider for the answers in use. gpu_dollars: price of the GPU time.
STEP = ("stage", "rule", "entry")
AMOUNTS = {
    "jobs": "d", "seconds": ".2f", "cpu_seconds": ".2f", "gpu_seconds": ".2f", "tokens_read": "d",
    "tokens_written": "d", "tokens_trained": "d", "dollars": ".6f",
}  # fmt: skip
FORMATS = AMOUNTS | {"gpu_dollars": ".2f"}
COLUMNS = (*STEP, *FORMATS)


def collect(
    products: Iterable[Path],
    timings: Path,
    gpus: dict[str, dict[str, int]],
    journal: Path | None = None,
) -> tuple[pd.DataFrame, int]:
    """STEP and AMOUNTS in the order of the stages, and how many records of time have no entry.

    products: completions, problems and rejected problems, candidates, histories, answers; what
    they are is read off their paths. gpus: per rule and name the GPUs of a job (`workload.plan`); a
    record of such a rule for any other name is left over from another configuration. journal: the
    teacher's; what it charged beyond the answers in use has a line of its own.
    """
    seen: set[tuple[Any, ...]] = set()
    records = [_counted(path, seen) for path in map(Path, products)]
    if journal and journal.exists():
        with TeacherJournal(journal) as paid:
            charged = paid.totals()[0] / NANO
        beyond = charged - sum(record.get("dollars", 0) for record in records)
        if beyond > 1 / NANO:
            records.append(_step("distillation", UNUSED, dollars=beyond))
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
        times = _timing(path)
        step = _step(path.parent.name, rule, _shown(rule, known[0]) if known else "")
        seconds = times["s"].sum()
        step |= {"jobs": len(times), "seconds": seconds, "cpu_seconds": times["cpu_time"].sum()}
        step |= {"gpu_seconds": seconds * (gpus[rule][known[0]] if known else 0)}
        records.append(step)
    whole = {name: int for name, form in AMOUNTS.items() if form == "d"}
    steps = pd.DataFrame(records, columns=[*STEP, *AMOUNTS]).fillna(dict.fromkeys(AMOUNTS, 0))
    steps = steps.groupby(list(STEP), sort=False, as_index=False).sum().astype(whole)
    return steps.sort_values("stage", key=lambda s: s.map(STAGES.index), kind="stable"), strays


def _shown(rule: str, name: str) -> str:
    """Evaluations have a line per model and mode, everything else one per entry."""
    return name.rsplit("/", 1)[0] if rule == "answer_benchmark" else name


def _step(stage: str, rule: str, entry: str = "", **amounts: float) -> dict[str, Any]:
    return {"stage": stage, "rule": rule, "entry": entry, **amounts}


def _counted(path: Path, seen: set[tuple[Any, ...]]) -> dict[str, Any]:
    """The tokens and dollars that one product records.

    seen: the teacher's answers counted so far. Distillations share those to equal requests, which
    were paid for once: each counts where it comes first.
    """
    stage, entry, file = path.parts[-3:]
    if file == "completions.parquet":
        read, written, dollars = _first_time(path, seen)
        step = _step("distillation", "ask_teacher", entry, tokens_read=read, dollars=dollars)
        return step | {"tokens_written": written}
    if file == "candidates.parquet":
        (written,) = _sums(path, "completion_tokens")
        return _step("influence", "synthesize_candidates", entry, tokens_written=written)
    if file in ("problems.parquet", "rejected.parquet"):
        (written,) = _sums(path, "completion_tokens")
        return _step("synthesis", "synthesize", entry, tokens_written=written)
    if file == "history.jsonl":
        maker = ("training", "train_model")
        if stage == "synthesizers":
            maker = ("synthesizers", "train_synthesizer")
        return _step(*maker, entry, tokens_trained=read_json_lines(path)[-1]["tokens"])
    if file == "answers.parquet":
        read, written = _sums(path, "prompt_tokens", "completion_tokens")
        entry = "/".join(path.parts[-4:-2])
        return _step(
            "evaluation", "answer_benchmark", entry, tokens_read=read, tokens_written=written
        )
    raise UserError(f"{path}: not a product whose tokens are counted.")


def _sums(path: Path, *names: str) -> list[Any]:
    """Sums of columns (an empty table, or nulls only: 0), without reading the texts beside them."""
    import pyarrow.compute as pc

    with open_parquet(path) as file:
        if missing := set(names) - set(file.schema_arrow.names):
            raise UserError(f'{path}: column "{min(missing)}" is missing. Delete it and rerun.')
        table = file.read(columns=list(names))
    return [pc.sum(table[name]).as_py() or 0 for name in names]


def _first_time(path: Path, seen: set[tuple[Any, ...]]) -> list[Any]:
    """Sums of prompt tokens, completion tokens and cost of the answers that are not in `seen`."""
    amounts = ("prompt_tokens", "completion_tokens", "cost")
    identity = ("request_id", "prompt_digest", "model", "text")
    with open_parquet(path) as file:
        if missing := {*identity, *amounts} - set(file.schema_arrow.names):
            raise UserError(f'{path}: column "{min(missing)}" is missing. Delete it and rerun.')
        table = file.read(columns=[*identity, *amounts])
    rows = zip(*(table[name].to_pylist() for name in (*identity, *amounts)), strict=True)
    sums: list[Any] = [0, 0, 0.0]
    here = set()
    for *name, text, read, written, cost in rows:
        key = (*name, hash(text))
        here.add(key)
        if key not in seen:
            sums = [a + (b or 0) for a, b in zip(sums, (read, written, cost), strict=True)]
    seen |= here
    return sums


def _timing(path: Path) -> pd.DataFrame:
    """A record of time: "s" by the clock, and "cpu_time" of the processor (0: unknown)."""
    try:
        times = pd.read_csv(path, sep="\t")
    except pd.errors.EmptyDataError:
        times = pd.DataFrame()
    times = times.reindex(columns=["s", "cpu_time"])
    for name in times:  # NA: could not be sampled
        times[name] = pd.to_numeric(times[name], errors="coerce")
    return times.fillna(0)


# ---------------------------------------------------------------- as a table


def with_total(steps: pd.DataFrame, gpu_hour_dollars: float) -> pd.DataFrame:
    """`COLUMNS`: the steps and their total, rounded as the CSV shows them."""
    total = steps[list(AMOUNTS)].sum().to_frame().T.assign(stage=TOTAL, rule="", entry="")
    table = pd.concat([steps, total.astype(steps.dtypes[list(AMOUNTS)])], ignore_index=True)
    table["gpu_dollars"] = table["gpu_seconds"] / 3600 * gpu_hour_dollars
    for name, form in FORMATS.items():
        if form != "d":
            table[name] = [float(format(value, form)) for value in table[name]]
    return table


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV text."""
    shown = {name: [format(v, form) for v in table[name]] for name, form in FORMATS.items()}
    return text_table.to_csv(table.assign(**shown))


def read_csv(path: str | Path) -> pd.DataFrame:
    """A table that `to_csv` wrote. Raises UserError if the file is none."""
    return text_table.read_csv(path, COLUMNS, words=STEP)


def time(seconds: float) -> str:
    """Seconds as hours, minutes or seconds, whichever is readable."""
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _time(seconds: float) -> str:
    return time(seconds) if seconds else "-"


def _amount(value: float) -> str:
    return number(value, digits=2) if value else "-"


def layout(table: pd.DataFrame, strays: int = 0) -> Grid:
    """The table for readers; columns of which nothing is known are left out."""
    gpu, paid = table["gpu_seconds"].any(), table["dollars"].any()
    shown = pd.DataFrame({
        "stage": table["stage"].mask(table["stage"].eq(table["stage"].shift()), ""),
        "step": (table["rule"] + " " + table["entry"]).str.strip(),
        "jobs": table["jobs"].map("{:,}".format),
        "read": table["tokens_read"].map(short),
        "written": table["tokens_written"].map(short),
        "trained on": table["tokens_trained"].map(short),
        "time": table["seconds"].map(_time),
        "processor": table["cpu_seconds"].map(_time),
    })  # fmt: skip
    if gpu:
        shown["GPU-hours"] = (table["gpu_seconds"] / 3600).map(_amount)
        shown["GPU dollars"] = table["gpu_dollars"].map(_amount)
    if paid:
        shown["teacher dollars"] = table["dollars"].map(_amount)
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
    return Grid("Table cost", shown.columns.tolist(), shown.to_numpy().tolist(), 2, caption, notes)


def text_forms(table: pd.DataFrame, strays: int) -> dict[str, str]:
    """The table as csv, markdown and latex."""
    grid = layout(table, strays)
    return {
        "csv": to_csv(table),
        "markdown": text_table.markdown(grid, 1),
        "latex": text_table.NEEDS + text_table.latex(grid, "cost", (len(table) - 1,)),
    }
