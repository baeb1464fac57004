"""What was kept of the texts and of the problems written, and why the rest was not, as SVG."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..io import UserError, read_json
from .figures import COLOURS, FAINT, INK, QUIET, save

# Of corpus/funnel.json: what becomes of the pieces cut from a source's documents. Their order, as
# in the legend, tells them apart where colours do not.
PARTS = ("kept", "duplicates", "not_chosen", "too_short", "without_mathematics")
PART_COLOURS = (COLOURS[0], COLOURS[1], COLOURS[5], COLOURS[4], COLOURS[3])

# Filters named after what they look for are shown as what passes them.
PASSED = {"duplicate": "no duplicate", "contaminated": "not contaminated"}


def funnels(path: str | Path, files: Sequence[str | Path]) -> None:
    """One panel per funnel: of passages by source, of problems filter by filter.

    files: `<results>/corpus/funnel.json` and `<results>/synthesis/{corpus}/funnel.json`. Raises
    UserError for a file that is neither.
    """
    found = [(Path(file), read_json(file)) for file in files]
    panels: list[tuple[Callable[[Axes, dict[str, Any]], None], str, dict[str, Any]]] = []
    for file, funnel in found:
        if isinstance(funnel.get("sources"), dict):
            panels.append((_passages, "passages, by source", funnel["sources"]))
        elif isinstance(funnel.get("filters"), dict):
            title = f"problems of corpus {file.parent.name}, filter by filter"
            panels.append((_problems, title, funnel))
        else:
            raise UserError(f"{file}: not a funnel of passages or of problems. Make it again.")
    sizes = [
        len(part) if draw is _passages else 1 + len(part["filters"]) for draw, _, part in panels
    ]

    def draw_all(figure: Figure) -> None:
        heights = [1.5 + size for size in sizes]
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights).ravel()
        for place, (draw, title, part) in zip(axes, panels, strict=True):
            draw(place, part)
            place.set_title(title)
            place.grid(axis="y", visible=False)
            place.tick_params(axis="y", length=0)
            place.set_xlim(left=0)
            place.xaxis.set_major_locator(_whole())

    save(path, sum(0.75 + 0.34 * size for size in sizes), draw_all)


def _whole() -> MaxNLocator:
    return MaxNLocator(6, integer=True)


def _passages(axes: Axes, sources: dict[str, dict[str, Any]]) -> None:
    names = list(sources)
    starts = [0] * len(names)
    for part, colour in zip(PARTS, PART_COLOURS, strict=True):
        counts = [int(sources[name].get(part) or 0) for name in names]
        if any(counts):
            label = part.replace("_", " ")
            axes.barh(names, counts, 0.62, left=starts, color=colour, label=label)
            starts = [start + count for start, count in zip(starts, counts, strict=True)]
    for place, name in enumerate(names):
        axes.annotate(
            f"{int(sources[name].get('kept') or 0):,} of {starts[place]:,}",
            (starts[place], place), xytext=(5, 0), textcoords="offset points", va="center",
            fontsize=9,
        )  # fmt: skip
    axes.set_xlim(right=1.16 * max([*starts, 1]))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), fontsize=9, ncols=len(PARTS), handlelength=1.0,
        handletextpad=0.5, columnspacing=1.2, borderaxespad=0.1,
    )  # fmt: skip


def _problems(axes: Axes, funnel: dict[str, Any]) -> None:
    steps = [("written", funnel["written"], 0)] + [
        (PASSED.get(filter_, filter_), step["out"], step["rejected"])
        for filter_, step in (
            (name.partition(" ")[2] or name, step) for name, step in funnel["filters"].items()
        )
    ]
    for place, (_, out, rejected) in enumerate(steps):
        axes.barh(place, out, 0.62, color=COLOURS[0])
        axes.barh(place, rejected, 0.62, left=out, color=FAINT, edgecolor=QUIET, linewidth=0.6)
        lost = f", {rejected:,} rejected" if rejected else ""
        axes.annotate(
            f"{out:,}{lost}", (out + rejected, place), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=9, color=INK,
        )  # fmt: skip
    axes.set_yticks(range(len(steps)), [name.replace("_", " ") for name, _, _ in steps])
    axes.set_xlim(right=1.2 * max(1, funnel["written"]))
    axes.set_ylim(len(steps) - 0.4, -0.6)
