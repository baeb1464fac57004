"""Result tables as rows of numbers: what was published, what we measured, and how they differ.

A table is tidy: one row per model and benchmark, every measured number with the grades file it
came from and that file's digest. `layout` lays the same rows out for readers.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from ..evaluation import sampling_metrics
from ..io import UserError, did_you_mean, digest, file_digest, read_table, rng
from ..records import GRADES
from . import intervals, text_table
from .published import AVERAGE, Published, read_published

# kind: "paper" | "this run" | "not run" (published, and no benchmark of this table). score, low,
# high, paper in percent; difference (ours - paper) and gain (against the table's first model) in
# points. n: problems, of the `of` that the test set has (empty: unknown); correct: answers right by
# `grader`, of n * samples; correct_other: by the other grader. p: exact paired test against the
# first model, Holm-corrected over the table. verdict, where a row of ours has a published
# counterpart: within noise | above | below | not run | not published (the paper's cell is empty) |
# unknown (the paper's value is not known here); and "not run" of published rows without a model.
# majority, pass: maj@k and pass@k in percent, k being all samples; empty with one sample.
COLUMNS = (
    "table", "row", "kind", "benchmark", "mode", "score", "low", "high", "n", "correct", "paper",
    "difference", "verdict", "p", "grades_digest", "source", "samples", "grader", "correct_other",
    "gain", "gain_low", "gain_high", "confidence", "subset", "of", "note",
    "majority", "majority_low", "majority_high", "pass", "pass_low", "pass_high",
)  # fmt: skip
PAPER, OURS, NOT_RUN = "paper", "this run", "not run"
METRICS = ("majority", "pass")
PRINTED = 0.05  # points by which rounding may have moved a published value
GRADERS = ("strict", "released")


@dataclass(frozen=True)
class Grades:
    """One graded run of a model on a benchmark.

    right: per problem_id (the index, sorted) how many of its `samples` answers are right, by the
    table's grader ("right") and by the other one ("other"). solved: with several samples, how many
    problems the majority's answer solves (maj@k), and how many at least one answer does (pass@k).
    """

    source: str
    digest: str
    samples: int
    right: pd.DataFrame
    solved: dict[str, float]

    @property
    def n(self) -> int:
        """Problems."""
        return len(self.right)

    @property
    def share(self) -> float:
        """Expected number of problems solved by one answer each."""
        return int(self.right["right"].sum()) / self.samples


Recipe = dict[str, Any]  # an entry of `tables` with what `build` says
Row = dict[str, Any]  # one row of the table, or a part of it
Measured = dict[tuple[str, str], Grades]  # by model and benchmark


def read_grades(paths: Iterable[str | Path], recipe: Recipe) -> Measured:
    """Grades by (model, benchmark) of a table, from `evaluation/{model}/{mode}/{benchmark}/...`.

    recipe: models, benchmarks, mode, verdict. Raises UserError where a file of the table is absent,
    holds another benchmark, lacks samples of a problem, or where two models were not graded on the
    same problems.
    """
    found: dict[tuple[str, str], Path] = {}
    for path in map(Path, paths):
        if len(path.parts) < 5 or path.parts[-5] != "evaluation":
            raise UserError(
                f"{path}: not a path like evaluation/model/mode/benchmark/grades.parquet."
            )
        model, mode, benchmark = path.parts[-4:-1]
        if mode == recipe["mode"]:
            found[model, benchmark] = path
    grades: Measured = {}
    for benchmark in recipe["benchmarks"]:
        first = recipe["models"][0]
        for model in recipe["models"]:
            if (model, benchmark) not in found:
                raise UserError(
                    f'--grades: none of "{model}" on "{benchmark}" in {recipe["mode"]} mode; make'
                    f" evaluation/{model}/{recipe['mode']}/{benchmark}/grades.parquet."
                )
            path = found[model, benchmark]
            grades[model, benchmark] = graded = _read_one(path, benchmark, recipe["verdict"])
            if not graded.right.index.equals(grades[first, benchmark].right.index):
                raise UserError(
                    f"{path}: other problems than {grades[first, benchmark].source}; a table"
                    " compares models on the same ones. Grade both again."
                )
    return grades


def _read_one(path: Path, benchmark: str, verdict: str) -> Grades:
    other = GRADERS[1 - GRADERS.index(verdict)]
    table = read_table(path, GRADES).to_pandas()
    again = f"{path}: {{}} Delete it and rerun."
    for name in table.loc[table["benchmark"] != benchmark, "benchmark"]:
        raise UserError(again.format(f'holds answers to "{name}", not "{benchmark}".'))
    for problem in table.loc[table[[verdict, other]].isna().any(axis=1), "problem_id"]:
        raise UserError(again.format(f"problem {problem} has no verdict."))
    for row in table[table.duplicated(["problem_id", "sample"])].itertuples():
        raise UserError(f"{path}: problem {row.problem_id}, sample {row.sample} is graded twice.")
    problems = table.groupby("problem_id")
    sizes = problems.size()
    samples = int(sizes.max())
    for problem, size in sizes[sizes < samples].items():
        raise UserError(again.format(f"problem {problem} has {size} of {samples} samples."))
    right = problems[[verdict, other]].sum().astype(int).set_axis(["right", "other"], axis=1)
    rows = table.to_dict("records") if samples > 1 else []
    solved = {
        metric: sum(sampling_metrics.by_problem(rows, verdict, metric, samples).values())
        for metric in (METRICS if samples > 1 else ())
    }
    source = "/".join(path.parts[-5:])
    return Grades(source, file_digest(path)[:16], samples, right, solved)


def build(
    name: str, grades: Sequence[str | Path], paper: str | Path | None, recipe: Recipe, seed: int
) -> list[dict[str, str]]:
    """All rows of table `name`, as text under `COLUMNS`: the paper's first, then ours.

    recipe: an entry of `tables` (models, benchmarks, mode, verdict) with `confidence`, and where
    wanted `rows` ({model: {"paper_row": name}}), `subsets` (benchmarks of which only a part was
    run) and `sizes` (problems of a benchmark's whole test set). Rows of the paper without a value
    in any of the table's benchmarks are left out. Its printed average appears only in a table of
    exactly its benchmarks; it is never recomputed.
    """
    if AVERAGE in recipe["benchmarks"]:
        raise UserError(f'tables.{name}.benchmarks: "{AVERAGE}" names the average; rename it.')
    for key in ("models", "benchmarks"):
        if repeated := {entry for entry in recipe[key] if recipe[key].count(entry) > 1}:
            raise UserError(f"tables.{name}.{key}: {min(repeated)} is listed twice.")
    published = read_published(paper) if paper else Published((), {}, {}, {})
    measured = read_grades(grades, recipe)
    columns = [*recipe["benchmarks"], *([AVERAGE] if len(recipe["benchmarks"]) > 1 else [])]
    shared = {
        "table": name,
        "mode": recipe["mode"],
    }
    rows = [shared | row for row in _paper_rows(published, recipe, columns)]
    chances = _chances(measured, recipe)
    for model in recipe["models"]:
        beside = _beside(name, model, published, recipe)
        for benchmark in columns:
            cell = _measure(measured, model, benchmark, recipe)
            cell |= _gain(measured, name, model, benchmark, recipe, seed)
            if (model, benchmark) in chances:
                cell["p"] = f"{chances[model, benchmark]:.6g}"
            cell |= _compare(cell, beside.get(benchmark, ""))
            rows.append(shared | {"row": model, "kind": OURS, "benchmark": benchmark} | cell)
        for benchmark, value in beside.items():
            if isinstance(value, float) and benchmark not in columns:
                row = {"row": model, "kind": NOT_RUN, "benchmark": benchmark}
                rows.append(shared | row | {"paper": f"{value:.1f}", "verdict": NOT_RUN})
    return [{column: str(row.get(column, "")) for column in COLUMNS} for row in rows]


def _paper_rows(published: Published, recipe: Recipe, columns: list[str]) -> list[Row]:
    whole = set(recipe["benchmarks"]) == set(published.benchmarks)
    replicated = {row.get("paper_row") for row in recipe.get("rows", {}).values()}
    rows = []
    for model, values in published.values.items():
        if not any(benchmark in values for benchmark in recipe["benchmarks"]):
            continue
        note = published.notes[model]
        if note.startswith(AVERAGE) and not (whole and AVERAGE in columns):
            note = ""  # it speaks of a number that this table does not show
        for benchmark in columns:
            shown = benchmark != AVERAGE or whole
            score = values.get(benchmark) if shown else None
            rows.append({
                "row": model,
                "kind": PAPER,
                "benchmark": benchmark,
                "score": "" if score is None else f"{score:.1f}",
                "verdict": NOT_RUN if score is not None and model not in replicated else "",
                "source": published.sources[model],
                "note": note if benchmark == columns[-1] else "",
            })  # fmt: skip
    return rows


def _beside(name: str, model: str, published: Published, recipe: Recipe) -> dict[str, float | str]:
    """What `model` of ours is compared with: per benchmark the published value, or why none.

    Empty for a model that replicates no published row. The average only where both tables have the
    same benchmarks.
    """
    row = recipe.get("rows", {}).get(model, {}).get("paper_row")
    if not row:
        return {}
    if published.values and row not in published.values:
        raise UserError(
            f'models.{model}.paper_row: table {name} has no published row "{row}".'
            f"{did_you_mean(row, published.values)}"
        )
    values = dict(published.values.get(row, {}))
    if set(recipe["benchmarks"]) != set(published.benchmarks):
        values.pop(AVERAGE, None)
    without = {
        benchmark: "not published" if benchmark in published.benchmarks else "unknown"
        for benchmark in recipe["benchmarks"]
    }
    return without | values


def _measure(measured: Measured, model: str, benchmark: str, recipe: Recipe) -> Row:
    parts = [measured[model, b] for b in recipe["benchmarks"] if benchmark in (b, AVERAGE)]
    level = recipe["confidence"]
    cells = [(part.share, part.n) for part in parts]
    shares = [("score", "low", "high", cells)]
    for metric in METRICS:
        if all(part.solved for part in parts):
            cells = [(part.solved[metric], part.n) for part in parts]
            shares.append((metric, f"{metric}_low", f"{metric}_high", cells))
    cell = {
        key: f"{100 * value:.4f}"
        for *keys, cells in shares
        for key, value in zip(keys, intervals.macro_average(cells, level), strict=True)
    }
    cell |= {"grader": recipe["verdict"], "confidence": recipe["confidence"]}
    if benchmark == AVERAGE:
        cell["grades_digest"] = digest([part.digest for part in parts])
        cell["source"] = "mean of " + " ".join(recipe["benchmarks"])
        return cell
    (part,) = parts
    return cell | {
        "n": part.n,
        "samples": part.samples,
        "correct": part.right["right"].sum(),
        "correct_other": part.right["other"].sum(),
        "grades_digest": part.digest,
        "source": part.source,
        "subset": "yes" if benchmark in recipe.get("subsets", []) else "no",
        "of": recipe.get("sizes", {}).get(benchmark, ""),
    }


def _differences(ours: Grades, first: Grades) -> list[int]:
    """Per problem, the gain over `first` in units of 1 / lcm(samples of the two)."""
    unit = math.lcm(ours.samples, first.samples)
    gains = ours.right["right"] * (unit // ours.samples)
    return [int(gain) for gain in gains - first.right["right"] * (unit // first.samples)]


def _chances(measured: Measured, recipe: Recipe) -> dict[tuple[str, str], float]:
    first, *others = recipe["models"]
    pairs = [(model, benchmark) for model in others for benchmark in recipe["benchmarks"]]
    raw = [
        intervals.sign_flip(_differences(measured[model, benchmark], measured[first, benchmark]))
        for model, benchmark in pairs
    ]
    return dict(zip(pairs, intervals.holm(raw), strict=True))


def _gain(
    measured: Measured, name: str, model: str, benchmark: str, recipe: Recipe, seed: int
) -> Row:
    first = recipe["models"][0]
    if model == first:
        return {}
    parts = []
    for column in recipe["benchmarks"]:
        if benchmark in (column, AVERAGE):
            pair = measured[model, column], measured[first, column]
            unit = math.lcm(pair[0].samples, pair[1].samples)
            parts.append([difference / unit for difference in _differences(*pair)])
    random = rng(seed, "gain", name, model, benchmark)
    gain = intervals.paired_bootstrap(parts, recipe["confidence"], random)
    names = ("gain", "gain_low", "gain_high")
    return {key: f"{100 * value:.4f}" for key, value in zip(names, gain, strict=True)}


def _compare(cell: Row, paper: float | str) -> Row:
    """Where the published value lies: inside our interval, or is ours above or below it.

    paper: a value in percent, or the reason why there is none, which then is the verdict. A value
    that only its rounding to one decimal puts outside counts as inside.
    """
    if isinstance(paper, str):
        return {"verdict": paper}
    if paper + PRINTED < float(cell["low"]):
        verdict = "above"
    elif paper - PRINTED > float(cell["high"]):
        verdict = "below"
    else:
        verdict = "within noise"
    return {
        "paper": f"{paper:.1f}",
        "difference": f"{float(cell['score']) - paper:.4f}",
        "verdict": verdict,
    }


def to_csv(rows: Sequence[dict[str, str]]) -> str:
    """The rows as CSV text with a header."""
    return text_table.to_csv(pd.DataFrame(rows, columns=list(COLUMNS)))


def read_csv(path: str | Path) -> list[dict[str, str]]:
    """Rows of a table that `build_table` wrote. Raises UserError if the file is not one."""
    table = text_table.read_csv(path, COLUMNS, words=COLUMNS)
    rows = [{str(key): row[key] for key in row} for row in table.to_dict("records")]
    for before, after in pairwise(rows):
        if before["table"] != after["table"]:
            raise UserError(f"{path}: holds more than one table; build it again.")
    return rows
