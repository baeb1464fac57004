"""A grid of text with its caption, as Markdown and as LaTeX: the one form of everything tabular."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ..io import UserError


@dataclass
class Grid:
    """Rows of text under a header; the first `left` columns are words, the others numbers.

    A cell may hold a second line, after a newline: what Markdown puts behind the first, LaTeX and
    the report below it.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    left: int = 1
    caption: str = ""
    notes: list[str] = field(default_factory=list)


def number(text: str | float, signed: bool = False, digits: int = 1) -> str:
    """A CSV number with `digits` decimals ("-" where there is none), with a true minus sign."""
    if text == "":
        return "-"
    shown = f"{float(text):{'+' if signed else ''},.{digits}f}"
    return shown.lstrip("+-") if not float(shown.replace(",", "")) else shown.replace("-", "−")


def interval(low: str, high: str, signed: bool = False) -> str:
    """[low, high] with one decimal each; empty where there is none."""
    return f"[{number(low, signed)}, {number(high, signed)}]" if low else ""


def chance(text: str) -> str:
    """A p value for readers."""
    return "-" if not text else "< 0.001" if float(text) < 0.001 else f"{float(text):.3f}"


# ---------------------------------------------------------------- CSV


def to_csv(table: pd.DataFrame) -> str:
    """A frame as CSV text with a header."""
    return str(table.to_csv(index=False, lineterminator="\n"))


def read_csv(path: str | Path, columns: Sequence[str], words: Sequence[str]) -> pd.DataFrame:
    """A table that `to_csv` made; `words` are the columns of text, the others are numbers.

    Raises UserError if the file is not one.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as stream:
            table = pd.read_csv(
                stream,
                dtype=dict.fromkeys(words, str),
                keep_default_na=False,
                index_col=False,
            )
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Run the workflow again to make it.") from None
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a table ({error}); build it again.") from None
    if missing := [column for column in columns if column not in table.columns]:
        raise UserError(f'{path}: column "{missing[0]}" is missing; build the table again.')
    if table.empty:
        raise UserError(f"{path}: the table is empty; build it again.")
    for column in set(columns) - set(words):
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise UserError(f'{path}: column "{column}" is not all numbers; build it again.')
    return table


# ---------------------------------------------------------------- Markdown


def escape_markdown(text: str) -> str:
    """Text that a Markdown table shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#~$])", r"\\\1", text.replace("\n", " "))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table alone; the first `left` columns are words, the others numbers."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    lines = [[escape_markdown(text) for text in row] for row in [header, *rows]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [lines[0], rule, *lines[1:]])


def markdown(grid: Grid, level: int = 2) -> str:
    """The grid as GitHub-flavoured Markdown under a heading of `level`."""
    blocks = [f"{'#' * level} {escape_markdown(grid.title)}"]
    blocks += [escape_markdown(grid.caption)] if grid.caption else []
    blocks.append(markdown_table(grid.header, grid.rows, grid.left))
    if grid.notes:
        blocks.append("\n".join(f"- {escape_markdown(note)}" for note in grid.notes))
    return "\n\n".join(blocks) + "\n"


# ---------------------------------------------------------------- LaTeX

NEEDS = "% needs \\usepackage{booktabs}\n\n"
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"$<$", ">": r"$>$", "|": r"$|$", "\N{MINUS SIGN}": "$-$", '"': "''",
    "[": "{[}", "]": "{]}", "\n": " ", "\N{MULTIPLICATION SIGN}": r"$\times$",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is (brackets too, which a `\\\\` before them would swallow)."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def latex(grid: Grid, label: str, rules: tuple[int, ...] = ()) -> str:
    """The grid as a LaTeX table with booktabs; a rule goes before each row number in `rules`."""
    body: list[str] = []
    for place, row in enumerate(grid.rows):
        if place in rules:
            body.append(r"\midrule")
        firsts, seconds = zip(*(text.partition("\n")[::2] for text in row), strict=True)
        body.append(" & ".join(map(escape_latex, firsts)) + r" \\")
        if any(seconds):
            small = [rf"{{\scriptsize {escape_latex(s)}}}" if s else "" for s in seconds]
            body.append(" & ".join(small) + r" \\")
    caption = " ".join(escape_latex(t) for t in [grid.caption or f"{grid.title}.", *grid.notes])
    columns = "l" * grid.left + "r" * (len(grid.header) - grid.left)
    return "\n".join([
        r"\begin{table}[ht]",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(escape_latex, grid.header)) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]) + "\n"  # fmt: skip
