"""Figures as SVG: same input, same bytes; text stays text; three inks that the report can recolour.

A figure by itself is dark on white. `page` replaces the inks by the page's own colours, so that
the same file reads well in dark mode.
"""

import io as text_io
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..io import UserError, read_json_lines, rng, write_text
from ..tables.published import AVERAGE
from ..tables.score_table import OURS, PAPER
from ..text import short

# The inks that the report exchanges for its page's colours (light or dark). Each value is used for
# nothing else; hence a white that is not quite white.
PAPER_INK, INK, QUIET, FAINT = "#fffffe", "#1f2329", "#6e7782", "#d3d8de"
BLUE = "#0072b2"  # the one colour of the set that is too dark for a dark page
PAGE_COLOURS = {
    PAPER_INK: "var(--page)",
    INK: "var(--ink)",
    QUIET: "var(--quiet)",
    FAINT: "var(--faint)",
    BLUE: "var(--blue)",
}

# Okabe and Ito's set, without its yellow and black: told apart with any colour vision and legible
# on white and on near-black.
COLOURS = (BLUE, "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("-", "--", ":", "-.")
WIDTH = 9.0  # inches

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "jz3",  # element ids from content, not from chance
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # names are shown as they are
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": PAPER_INK,
    "axes.facecolor": PAPER_INK,
    "legend.frameon": False,
}


def save(path: str | Path, height: float, draw: Callable[[Figure], None]) -> None:
    """Let `draw` fill a figure of `height` inches and write it as SVG, atomically."""
    with plt.rc_context(_STYLE):
        figure = plt.figure(figsize=(WIDTH, height), layout="constrained")
        try:
            draw(figure)
            text = text_io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        finally:
            plt.close(figure)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    write_text(path, "\n".join(lines) + "\n")


# ---------------------------------------------------------------- scores of a table


def scores(path: str | Path, rows: Sequence[dict[str, str]]) -> None:
    """One panel per benchmark: our models as dots with intervals, the paper's values in grey.

    rows: of one table (`score_table.read_csv`). The value published for the very model that a row
    replicates is a tall grey tick in that row; all published values are grey ticks below. Each
    panel shows the range that its own values need, so that intervals of a point or two are seen.
    """
    ours = [row for row in rows if row["kind"] == OURS]
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in ours))
    models = list(dict.fromkeys(row["row"] for row in ours))
    published: dict[str, list[float]] = {name: [] for name in benchmarks}
    for row in rows:
        if row["kind"] != OURS and row["score"]:
            published[row["benchmark"]].append(float(row["score"]))
    strip = any(published.values())
    names = [*models, *(["published models"] if strip else [])]
    across = min(3, len(benchmarks))
    down = math.ceil(len(benchmarks) / across)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(down, across, sharey=True, squeeze=False)
        panels = [axes for line in grid for axes in line]
        for axes in panels[len(benchmarks) :]:
            axes.set_visible(False)
        for axes, name in zip(panels, benchmarks, strict=False):
            _score_panel(axes, name, [r for r in ours if r["benchmark"] == name], models)
            places = [len(models)] * len(published[name])
            axes.plot(published[name], places, "|", color=QUIET, markersize=10, alpha=0.8)
            axes.set_yticks(range(len(names)), names)
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="y", visible=False)
            axes.set_xlim(*_score_range(rows, name))
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
        note = f"correct answers, %, with {100 * float(ours[0]['confidence']):g} % intervals"
        figure.supxlabel(note + ("; grey: published" if strip else ""), fontsize=10)

    save(path, down * (0.8 + 0.46 * len(names)) + 0.4, draw)


def _score_range(rows: Sequence[dict[str, str]], benchmark: str) -> tuple[float, float]:
    """Percent from left to right of a panel: all its values with a margin, 20 points at least."""
    values = [
        float(row[key])
        for row in rows
        if row["benchmark"] == benchmark and row["kind"] in (OURS, PAPER)
        for key in ("score", "low", "high", "paper")
        if row[key]
    ]
    low, high = min(values), max(values)
    margin = max(0.08 * (high - low), (20 - (high - low)) / 2)
    return max(-3.0, low - margin), min(103.0, high + margin)


def _score_panel(axes: Axes, name: str, rows: list[dict[str, Any]], models: list[str]) -> None:
    axes.set_title("average" if name == AVERAGE else name)
    for row in rows:
        place = models.index(row["row"])
        colour = COLOURS[place % len(COLOURS)]
        score, low, high = (float(row[key]) for key in ("score", "low", "high"))
        axes.plot([low, high], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot(score, place, "o", color=colour, markersize=6)
        axes.annotate(
            f"{score:.1f}",
            (score, place),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9,
        )
        if row["paper"]:
            axes.plot(
                float(row["paper"]), place, "|", color=QUIET, markersize=14, markeredgewidth=2,
                zorder=1.5,
            )  # fmt: skip


# ---------------------------------------------------------------- training curves


def losses(path: str | Path, histories: Sequence[str | Path]) -> None:
    """Loss against tokens: one panel per kind of training, one line per training.

    histories: `<results>/<kind>/<name>/history.jsonl` with {tokens, loss[, stage]} per update;
    losses of different kinds are of different data and so stand apart. A thin vertical line marks
    where the stage of a training changes. Long runs show a running mean over the single losses.
    """
    kinds: dict[str, list[tuple[str, list[dict[str, Any]]]]] = {}
    for file in sorted(map(Path, histories)):
        kinds.setdefault(file.parts[-3] if len(file.parts) > 2 else "", []).append(
            (file.parent.name, _history(file))
        )
    across = min(2, len(kinds))
    down = math.ceil(len(kinds) / across)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(down, across, squeeze=False).ravel()
        for axes in panels[len(kinds) :]:
            axes.set_visible(False)
        for axes, (kind, runs) in zip(panels, kinds.items(), strict=False):
            axes.set_title(kind)
            for place, (name, history) in enumerate(runs):
                _loss_line(axes, place, name, history)
            axes.set_ylabel("loss per token, nats")
            axes.set_xlabel("tokens")
            axes.set_ylim(bottom=0)
            axes.set_xlim(left=0)
            axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(_count))
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(6))
            axes.legend(loc="upper right", fontsize=9)

    save(path, 3.1 * down, draw)


def _history(file: Path) -> list[dict[str, Any]]:
    rows = read_json_lines(file)
    for number, row in enumerate(rows, 1):
        for key in ("tokens", "loss"):
            if not isinstance(row.get(key), int | float):
                raise UserError(
                    f'{file}, line {number}: no number "{key}". Train that model again.'
                )
    if not rows:
        raise UserError(f"{file}: the history is empty. Train that model again.")
    return rows


def _loss_line(axes: Axes, place: int, name: str, history: list[dict[str, Any]]) -> None:
    colour = COLOURS[place % len(COLOURS)]
    dash = DASHES[place // len(COLOURS) % len(DASHES)]
    tokens = [row["tokens"] for row in history]
    loss = [row["loss"] for row in history]
    window = max(1, len(loss) // 25)
    smooth = [
        sum(loss[max(0, k - window + 1) : k + 1]) / min(window, k + 1) for k in range(len(loss))
    ]
    if window > 1:
        axes.plot(tokens, loss, color=colour, linewidth=0.7, alpha=0.3)
    marker = "o" if len(loss) == 1 else None
    axes.plot(tokens, smooth, dash, color=colour, linewidth=1.8, label=name, marker=marker)
    for before, row in pairwise(history):
        if row.get("stage") != before.get("stage"):
            axes.axvline(before["tokens"], color=colour, linewidth=0.9, linestyle=(0, (2, 2)))
            axes.annotate(
                str(row.get("stage", "")),
                (before["tokens"], 0.04),
                xycoords=("data", "axes fraction"),
                xytext=(-3, 0),
                textcoords="offset points",
                rotation=90,
                ha="right",
                va="bottom",
                fontsize=8,
                color=QUIET,
            )


def _count(value: float, _: object = None) -> str:
    return short(value) if value else "0"


# ---------------------------------------------------------------- influence


def influence(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """How the influence scores spread, by source and by level.

    rows: of `records.SCORES`. Per group: median (dot), middle half (thick line), middle four
    fifths (thin line), and each score where there are at most 300.
    """
    groups = {
        key: {
            name: sorted(row["total"] for row in rows if row[key] == name)
            for name in sorted({row[key] for row in rows})
        }
        for key in ("source", "level")
    }
    most = max(map(len, groups.values()))

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 2, sharex=True)
        for place, (axes, (key, parts)) in enumerate(zip(panels, groups.items(), strict=True)):
            axes.set_title(f"by {key}")
            ordered = sorted(parts.items(), key=lambda item: -median(item[1]))
            for line, (name, values) in enumerate(ordered):
                _spread(axes, line, name, values, COLOURS[place])
            labels = [f"{name} ({len(values)})" for name, values in ordered]
            axes.set_yticks(range(len(ordered)), labels)
            axes.set_ylim(most - 0.5, -0.5)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="y", visible=False)
            axes.axvline(0, color=QUIET, linewidth=0.8)
        figure.supxlabel("influence score (number of problems in brackets)", fontsize=10)

    save(path, 1.2 + 0.42 * most, draw)


def _spread(axes: Axes, line: int, name: str, values: list[float], colour: str) -> None:
    if len(values) <= 300:
        heights = rng(0, "jitter", name)
        places = [line + heights.uniform(-0.22, 0.22) for _ in values]
        axes.plot(values, places, "o", color=colour, markersize=3, alpha=0.5, markeredgewidth=0)
    if len(values) >= 5:
        tenths = quantiles(values, n=20, method="inclusive")
        axes.plot([tenths[1], tenths[17]], [line, line], color=INK, linewidth=1)
        axes.plot([tenths[4], tenths[14]], [line, line], color=INK, linewidth=3.4)
    axes.plot(median(values), line, "o", color=INK, markersize=6, markeredgecolor=PAPER_INK)
