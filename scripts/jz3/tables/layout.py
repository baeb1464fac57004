"""A table of scores for readers: one layout, as Markdown, as LaTeX, and for the report."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from . import text_table
from .published import AVERAGE
from .score_table import GRADERS, METRICS, NOT_RUN, OURS, PAPER
from .text_table import Grid, chance, interval, number

Row = dict[str, str]  # of a table of scores: text under `score_table.COLUMNS`
MODES = {"cot": "natural-language solutions", "tool": "solutions by program"}
RULES = {"strict": "this workflow's strict rules", "released": "the authors' released rules"}


@dataclass
class Cell:
    """What one cell shows: `score`, and beside ours `interval`, `count` ("45/200") and `source`."""

    score: str
    interval: str = ""
    count: str = ""
    marked: bool = False
    source: str = ""


@dataclass
class Line:
    """One model: `kind` says whether it was published ("paper") or measured ("this run")."""

    label: str
    kind: str
    cells: list[Cell]


@dataclass
class Sheet:
    """A table ready to print: the main part, and the comparisons that follow from it."""

    name: str
    caption: str
    benchmarks: list[str]
    lines: list[Line]
    notes: list[str]
    comparisons: list[Grid] = field(default_factory=list)

    def grid(self, counts: bool) -> Grid:
        """The main part; a second line of a cell holds the interval, and the count if wanted."""

        def text(cell: Cell) -> str:
            below = " ".join(filter(None, [cell.interval, cell.count if counts else ""]))
            return cell.score + "*" * cell.marked + (f"\n{below}" if below else "")

        rows = [[line.label, line.kind, *map(text, line.cells)] for line in self.lines]
        header = ["model", "", *self.benchmarks]
        return Grid(f"Table {self.name}", header, rows, 2, self.caption, self.notes)


def layout(rows: Sequence[Row]) -> Sheet:
    """Arrange the rows of one table (`score_table.build`, `score_table.read_csv`)."""
    ours = [row for row in rows if row["kind"] == OURS]
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in ours))
    by_model: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["kind"] != NOT_RUN:
            by_model.setdefault((row["kind"], row["row"]), []).append(row)
    level = 1 - float(ours[0]["confidence"])
    lines = [
        Line(model, kind, [_cell(row, level) for row in part])
        for (kind, model), part in sorted(by_model.items(), key=lambda item: item[0][0] != PAPER)
    ]
    return Sheet(
        name=rows[0]["table"],
        caption=_caption(ours),
        benchmarks=benchmarks,
        lines=lines,
        notes=_notes(rows, ours, benchmarks, level),
        comparisons=[part for part in (_against(rows), _gains(ours), _samples(ours)) if part.rows],
    )


def _cell(row: Row, level: float) -> Cell:
    count = ""
    if row["n"]:
        count = f"{row['correct']}/{int(row['n']) * int(row['samples'])}"
    marked = bool(row["p"]) and float(row["p"]) < level
    shown = interval(row["low"], row["high"])
    return Cell(number(row["score"]), shown, count, marked, row["source"] if count else "")


def _caption(ours: list[Row]) -> str:
    """What is counted, by whose rules, and on which problems."""
    sizes = {}
    for row in ours:
        if row["n"]:
            n, whole = int(row["n"]), int(row["of"] or 0)
            if row["subset"] == "yes":
                part = f"a fixed {n:,}" + (f" of {whole:,} problems" if whole else " problems")
            else:
                part = f"all {n:,} problems" if whole == n else f"{n:,} problems"
            sizes[row["benchmark"]] = f"{row['benchmark']} ({part})"
    first = ours[0]
    return (
        f"Accuracy in percent, {MODES[first['mode']]} ({first['mode']}), graded by"
        f" {RULES[first['grader']]}, on {', '.join(sizes.values())}."
    )


def _against(rows: Sequence[Row]) -> Grid:
    """Every score of ours that has a published counterpart, and what was published but not run."""
    lines = []
    for row in rows:
        if row["kind"] != PAPER and row["verdict"]:
            ours = f"{number(row['score'])} {interval(row['low'], row['high'])}".strip()
            known = bool(row["paper"])
            lines.append([
                row["row"],
                row["benchmark"],
                number(row["paper"]) if known else row["verdict"],
                ours,
                number(row["difference"], signed=True),
                row["verdict"] if known else "-",
            ])  # fmt: skip
    header = ["model", "benchmark", "paper", "this run", "difference", "verdict"]
    return Grid("Against the paper", header, lines, 2)


def _gains(ours: list[Row]) -> Grid:
    first = ours[0]["row"]
    lines = [
        [
            row["row"], row["benchmark"], number(row["gain"], signed=True),
            interval(row["gain_low"], row["gain_high"], signed=True), chance(row["p"]),
        ]
        for row in ours if row["gain"]
    ]  # fmt: skip
    header = ["model", "benchmark", f"points over {first}", "interval", "p (Holm)"]
    return Grid(f"Against {first}, on the same problems", header, lines, 2)


def _samples(ours: list[Row]) -> Grid:
    """What several sampled answers per problem give, beside the mean of them."""
    k = max((int(row["samples"]) for row in ours if row["samples"]), default=1)
    lines = [
        [row["row"], row["benchmark"], number(row["score"])]
        + [
            f"{number(row[metric])} {interval(row[f'{metric}_low'], row[f'{metric}_high'])}"
            for metric in METRICS
        ]
        for row in ours
        if row["pass"]
    ]
    header = ["model", "benchmark", "mean (pass@1)", f"maj@{k}", f"pass@{k}"]
    return Grid(f"Over {k} sampled answers per problem", header, lines, 2)


def _notes(rows: Sequence[Row], ours: list[Row], benchmarks: list[str], level: float) -> list[str]:
    confidence = f"{100 * (1 - level):g} %"
    first = ours[0]
    notes = [f"In brackets: {confidence} Wilson intervals. k/n: correct of all answers."]
    samples = max(int(row["samples"]) for row in ours if row["samples"])
    if samples > 1:
        notes.append(
            f"Each score is the mean over {samples} sampled answers per problem; intervals count"
            " problems, not answers."
        )
        notes.append(
            f"maj@{samples}: the most frequent answer is right (a tie counts as the share of it"
            f" that is); pass@{samples}: at least one answer is right."
        )
    if AVERAGE in benchmarks:
        note = "average: unweighted mean of the benchmarks of this table"
        paper = [r["score"] for r in rows if r["kind"] == PAPER and r["benchmark"] == AVERAGE]
        if paper and not any(paper):
            note += "; the paper's is over other benchmarks, and left out"
        notes.append(f"{note}.")
    if any(row["p"] for row in ours):
        test = "McNemar" if samples == 1 else "sign-flip"
        notes.append(
            f"*: differs from {first['row']} on the same problems (exact {test} test, corrected by"
            f" Holm over the table, p < {level:.2g})."
        )
        notes.append(f"Points over {first['row']}: {confidence} paired bootstrap intervals.")
    if any(row["kind"] == PAPER for row in rows):
        notes.append(
            'Paper: as published by the authors, on the full test sets; "-": not published. Rows'
            " that no model of this table replicates were not run."
        )
    notes += _verdict_notes(rows)
    other = GRADERS[1 - GRADERS.index(first["grader"])]
    differ = [
        f"{row['row']} on {row['benchmark']} {row['correct_other']}"
        for row in ours
        if row["correct"] != row["correct_other"]
    ]
    if differ:
        notes.append(f"By the {other} rules the correct answers are: {'; '.join(differ)}.")
    notes += [f"{row['row']}: {row['note'].rstrip('.')}." for row in rows if row["note"]]
    return notes


def _verdict_notes(rows: Sequence[Row]) -> list[str]:
    verdicts = {row["verdict"] for row in rows if row["kind"] != PAPER}
    notes = []
    if verdicts & {"within noise", "above", "below"}:
        notes.append(
            "within noise: the published value lies in the interval of this run; above, below: this"
            " run is above or below it."
        )
    if NOT_RUN in verdicts:
        notes.append("not run: published, but not among the benchmarks of this table.")
    if "unknown" in verdicts:
        notes.append(
            "unknown: if the paper has a value, no source at hand verifies it, so none is shown"
            " (resources/paper/README.md)."
        )
    return notes


def markdown(sheet: Sheet) -> str:
    """The table as GitHub-flavoured Markdown."""
    parts = [
        text_table.markdown(sheet.grid(counts=True), 1),
        *map(text_table.markdown, sheet.comparisons),
    ]
    return "\n".join(parts)


def latex(sheet: Sheet) -> str:
    """The table as a LaTeX fragment; it needs `\\usepackage{booktabs}` and nothing else."""
    kinds = [line.kind for line in sheet.lines]
    turn = kinds.index(OURS)
    parts = [text_table.latex(sheet.grid(counts=False), sheet.name, (turn,) if turn else ())]
    for number_, part in enumerate(sheet.comparisons, 1):
        part = Grid(f"Table {sheet.name}: {part.title}", part.header, part.rows, part.left)
        parts.append(text_table.latex(part, f"{sheet.name}-{number_}"))
    return text_table.NEEDS + "\n".join(parts)
