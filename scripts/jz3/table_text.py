"""A result table for readers: one layout, rendered as Markdown, as LaTeX, and by the report."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .tables import AVERAGE, GRADERS, OURS, PAPER

MODES = {"cot": "natural-language solutions", "tool": "solutions by program"}


@dataclass
class Cell:
    """What one cell shows: `score`, and beside ours `interval` and `count` ("45/200")."""

    score: str
    interval: str = ""
    count: str = ""
    marked: bool = False


@dataclass
class Line:
    """One model: `kind` says whether it was published ("paper") or measured ("this run")."""

    label: str
    kind: str
    cells: list[Cell]


@dataclass
class Sheet:
    """A table ready to print: the main part and two lists of comparisons (empty if none)."""

    name: str
    caption: str
    benchmarks: list[str]
    lines: list[Line]
    notes: list[str]
    gains: list[list[str]] = field(default_factory=list)
    against: list[list[str]] = field(default_factory=list)
    reference: str = ""

    @property
    def gain_header(self) -> list[str]:
        """Columns of `gains`."""
        return ["model", "benchmark", f"points over {self.reference}", "interval", "p (Holm)"]

    @property
    def against_header(self) -> list[str]:
        """Columns of `against`."""
        return ["model", "benchmark", "this run", "paper", "difference", "verdict"]


def number(text: str, signed: bool = False) -> str:
    """A CSV number with one decimal ("-" where there is none), with a true minus sign."""
    if not text:
        return "-"
    shown = f"{float(text):+.1f}" if signed else f"{float(text):.1f}"
    return "0.0" if float(shown) == 0 else shown.replace("-", "\N{MINUS SIGN}")


def interval(low: str, high: str, signed: bool = False) -> str:
    """[low, high] with one decimal each; empty where there is none."""
    return f"[{number(low, signed)}, {number(high, signed)}]" if low else ""


def chance(text: str) -> str:
    """A p value for readers."""
    return "-" if not text else "< 0.001" if float(text) < 0.001 else f"{float(text):.3f}"


def layout(rows: Sequence[dict[str, str]]) -> Sheet:
    """Arrange the rows of one table (`tables.build`, `tables.read_csv`)."""
    ours = [row for row in rows if row["kind"] == OURS]
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in rows))
    by_model: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        by_model.setdefault((row["kind"], row["row"]), []).append(row)
    level = 1 - float(ours[0]["confidence"])
    lines = [
        Line(model, kind, [_cell(row, level) for row in part])
        for (kind, model), part in sorted(by_model.items(), key=lambda item: item[0][0] != PAPER)
    ]
    sheet = Sheet(
        name=rows[0]["table"],
        caption=f"Accuracy in percent, {MODES[rows[0]['mode']]} ({rows[0]['mode']}).",
        benchmarks=benchmarks,
        lines=lines,
        notes=_notes(rows, ours, benchmarks, level),
        reference=ours[0]["row"],
    )
    sheet.gains = [
        [
            row["row"], row["benchmark"], number(row["gain"], signed=True),
            interval(row["gain_low"], row["gain_high"], signed=True), chance(row["p"]),
        ]
        for row in ours if row["gain"]
    ]  # fmt: skip
    sheet.against = [
        [
            row["row"], row["benchmark"],
            f"{number(row['score'])} {interval(row['low'], row['high'])}",
            number(row["paper"]), number(row["difference"], signed=True), row["verdict"],
        ]
        for row in ours if row["paper"]
    ]  # fmt: skip
    return sheet


def _cell(row: dict[str, str], level: float) -> Cell:
    count = ""
    if row["n"]:
        count = f"{row['correct']}/{int(row['n']) * int(row['samples'])}"
    marked = bool(row["p"]) and float(row["p"]) < level
    return Cell(number(row["score"]), interval(row["low"], row["high"]), count, marked)


def _notes(rows, ours: list[dict], benchmarks: list[str], level: float) -> list[str]:
    confidence = f"{100 * (1 - level):g} %"
    first = ours[0]
    sizes = {}
    for row in ours:
        if row["n"]:
            part = ", subset" if row["subset"] == "yes" else ""
            sizes[row["benchmark"]] = f"{row['benchmark']} (n = {row['n']}{part})"
    notes = [
        f"This run: {', '.join(sizes.values())}; {confidence} Wilson intervals; correct/answers;"
        f" graded by the {first['grader']} rules."
    ]
    samples = max(int(row["samples"]) for row in ours if row["samples"])
    if samples > 1:
        notes.append(f"Each score is the mean over {samples} sampled answers per problem.")
    if AVERAGE in benchmarks:
        notes.append("average: unweighted mean of the benchmarks of this table.")
    if any(row["p"] for row in ours):
        test = "McNemar" if samples == 1 else "sign-flip"
        notes.append(
            f"*: differs from {first['row']} on the same problems (exact {test} test, corrected by"
            f" Holm over the table, p < {level:.2g})."
        )
    if any(row["kind"] == PAPER for row in rows):
        notes.append(
            'Paper: as published by the authors, on the full test sets; "-": not published.'
        )
    if any(row["verdict"] for row in ours):
        notes.append(
            "within noise: the published value lies in the interval of this run; above, below: this"
            " run is above or below it."
        )
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


# ---------------------------------------------------------------- Markdown


def escape_markdown(text: str) -> str:
    """Text that a Markdown table shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#~$])", r"\\\1", text.replace("\n", " "))


def _markdown_rows(header: list[str], rows: list[list[str]], left: int) -> str:
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])


def markdown(sheet: Sheet) -> str:
    """The table as GitHub-flavoured Markdown."""
    header = ["model", "", *map(escape_markdown, sheet.benchmarks)]
    rows = []
    for line in sheet.lines:
        cells = []
        for cell in line.cells:
            parts = [cell.score + ("*" if cell.marked else ""), cell.interval, cell.count]
            cells.append(escape_markdown(" ".join(filter(None, parts))))
        rows.append([escape_markdown(line.label), line.kind, *cells])
    blocks = [f"# Table {sheet.name}", sheet.caption, _markdown_rows(header, rows, 2)]
    blocks.append("\n".join(f"- {escape_markdown(note)}" for note in sheet.notes))
    for title, head, part in (
        (f"Against {sheet.reference}", sheet.gain_header, sheet.gains),
        ("Against the paper", sheet.against_header, sheet.against),
    ):
        if part:
            shown = [[escape_markdown(text) for text in row] for row in part]
            head = [escape_markdown(text) for text in head]
            blocks += [f"## {escape_markdown(title)}", _markdown_rows(head, shown, 2)]
    return "\n\n".join(blocks) + "\n"


# ---------------------------------------------------------------- LaTeX

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"$<$", ">": r"$>$", "|": r"$|$", "\N{MINUS SIGN}": "$-$", '"': "''",
    "[": "{[}", "]": "{]}", "\n": " ",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is (brackets too, which a `\\\\` before them would swallow)."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _latex_table(caption: str, label: str, columns: str, header: list[str], body: list[str]) -> str:
    return "\n".join([
        r"\begin{table}[ht]",
        r"\centering\small",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(header) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ])  # fmt: skip


def latex(sheet: Sheet) -> str:
    """The table as a LaTeX fragment; it needs `\\usepackage{booktabs}` and nothing else."""
    body: list[str] = []
    for before, line in zip([None, *sheet.lines], sheet.lines, strict=False):
        if before and before.kind != line.kind:
            body.append(r"\midrule")
        cells = []
        for cell in line.cells:
            mark = "$^{*}$" if cell.marked else ""
            aside = rf" {{\scriptsize {escape_latex(cell.interval)}}}" if cell.interval else ""
            cells.append(escape_latex(cell.score) + mark + aside)
        body.append(" & ".join([escape_latex(line.label), line.kind, *cells]) + r" \\")
    caption = " ".join(escape_latex(text) for text in [sheet.caption, *sheet.notes])
    header = ["model", "", *map(escape_latex, sheet.benchmarks)]
    columns = "ll" + "r" * len(sheet.benchmarks)
    parts = ["% needs \\usepackage{booktabs}"]
    parts.append(_latex_table(caption, sheet.name, columns, header, body))
    for title, head, rows in (
        (f"Table {sheet.name} against {sheet.reference}.", sheet.gain_header, sheet.gains),
        (f"Table {sheet.name} against the paper.", sheet.against_header, sheet.against),
    ):
        if rows:
            label = f"{sheet.name}-{'gains' if rows is sheet.gains else 'paper'}"
            lines = [" & ".join(map(escape_latex, row)) + r" \\" for row in rows]
            columns = "ll" + "r" * (len(head) - 2)
            head = [escape_latex(text) for text in head]
            parts.append(_latex_table(escape_latex(title), label, columns, head, lines))
    return "\n\n".join(parts) + "\n"
