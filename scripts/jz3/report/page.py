"""One self-contained HTML page of a run. It shows what it is given, and asks no other machine.

The template is `rules/report/report.html.j2`. All text is escaped; LaTeX is shown as it is.
"""

import csv
import io as text_io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from ..io import UserError, read_json, table_origin
from ..tables import costs, influence_table, score_table, sidecar
from ..tables.layout import layout
from ..text import shorten
from . import cards, corpus_card, facts
from .figures import PAGE_COLOURS

LARGEST = 5_000_000  # bytes of the page
LONGEST = 3000  # characters of one text shown
MOST_ROWS = 60  # of one list of disagreements

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def render(
    *,
    name: str,
    table_files: Sequence[Path],
    run_table_files: Sequence[Path] = (),
    sidecar_files: Sequence[Path] = (),
    figure_files: Sequence[Path] = (),
    funnel_files: Sequence[Path] = (),
    influence_files: Sequence[Path] = (),
    score_files: Sequence[Path] = (),
    candidate_files: Sequence[Path] = (),
    card_files: Sequence[Path] = (),
    disagreement_files: Sequence[Path] = (),
    fetched_files: Sequence[Path] = (),
    configuration: dict[str, Any],
) -> str:
    """The page as text. Raises UserError where an input is not what the workflow makes."""
    table_rows = [score_table.read_csv(path) for path in table_files]
    sheets = [layout(rows) for rows in table_rows]
    run_files = {Path(path).stem: path for path in run_table_files}
    cost = costs.read_csv(run_files["cost"]) if "cost" in run_files else None
    influence = None
    if "influence" in run_files:
        influence = influence_table.read_csv(run_files["influence"])
    counts = [read_json(path) for path in funnel_files]
    sidecars = [sidecar.read(path) for path in sidecar_files]
    behind = facts.evidence(sidecars)
    products = [*score_files, *candidate_files]
    page = (
        cards.environment(escape=True)
        .get_template("report.html.j2")
        .render(
            name=name,
            kind=kind_of_run(configuration),
            glance=facts.glance(table_rows, counts, cost),
            sheets=sheets,
            places={row["name"]: f"file-{place}" for place, row in enumerate(behind, 1)},
            behind=behind,
            makers=facts.makers(sidecars),
            figures=_figures(figure_files, [sheet.name for sheet in sheets]),
            funnels=[
                {"name": _label(path), "parts": funnel(part)}
                for path, part in zip(funnel_files, counts, strict=True)
            ],
            cost=None if cost is None else costs.layout(cost),
            influence=None
            if influence is None
            else influence_table.layout(influence, _confidence(table_rows)),
            influences=[_influence(path) for path in influence_files],
            cards=[
                {"name": card["corpus"], "body": cards.html("corpus_card", card)}
                for card in map(corpus_card.read, card_files)
            ],
            disagreements=_disagreements(disagreement_files),
            origins=[{"name": _label(path), "text": _origin(path)} for path in products],
            fetched=facts.fetched({path: read_json(path) for path in fetched_files}),
            environment=facts.environment(sidecars),
            packages=_packages(products),
            configuration=yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True),
        )
    )
    size = len(page.encode())
    if size > LARGEST:
        heavy = max(figure_files, key=lambda path: Path(path).stat().st_size, default="none")
        raise UserError(
            f"report: {size:,} bytes, more than {LARGEST:,}; the largest figure is {heavy}."
        )
    return page


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Run the workflow again to make it.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error}).") from None


def _label(path: str | Path) -> str:
    """Name of a product for readers: its folders below the results, without the file's ending."""
    parts = list(Path(path).with_suffix("").parts)
    stages = ("corpus", "distillation", "influence", "synthesis", "models", "evaluation")
    starts = [place for place, part in enumerate(parts[:-1]) if part in stages]
    return " / ".join(parts[starts[-1] :] if starts else parts[-1:])


def kind_of_run(configuration: dict[str, Any]) -> list[str]:
    """What kind of run a configuration describes, in sentences that hold for any of them."""
    sentences = []
    checkpoints = configuration.get("checkpoints") or {}
    if checkpoints:
        sizes = sorted({entry.get("parameters", 0) for entry in checkpoints.values()})
        span = " to ".join(f"{size:g}" for size in dict.fromkeys([sizes[0], sizes[-1]]))
        sentences.append(
            f"Models that are trained and tested: {', '.join(checkpoints)} ({span} billion"
            " parameters)."
        )
    if teacher := (configuration.get("teacher") or {}).get("model"):
        asked = sum(
            d.get("passages", 0) for d in (configuration.get("distillation") or {}).values()
        )
        sentences.append(f"Teacher: {teacher}, asked for {asked:,} problems.")
    if corpora := configuration.get("corpora"):
        prompts = [
            f"{entry['prompts']:,} prompts for {name}" if entry.get("prompts")
            else f"every passage at every level for {name}"
            for name, entry in corpora.items()
            if "prompts" in entry
        ]  # fmt: skip
        if prompts:
            sentences.append(f"Synthetic corpora: {', '.join(prompts)}.")
    return sentences


# ---------------------------------------------------------------- tables


def _confidence(table_rows: Sequence[list[dict[str, str]]]) -> float:
    """Level of the intervals, which is the same in all tables of a run."""
    return next(float(r["confidence"]) for rows in table_rows for r in rows if r["confidence"])


# ---------------------------------------------------------------- figures


def _figures(files: Sequence[Path], names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Figures by where they belong: the name of a table, or ":losses", ":funnels", ":influence"."""
    found: dict[str, list[dict[str, Any]]] = {
        place: [] for place in (*names, ":losses", ":funnels", ":influence")
    }
    for place, path in enumerate(map(Path, files), 1):
        kind, _, name = path.stem.partition(".")
        titles = {
            "scores": f"Scores of table {name}",
            "losses": "Loss per supervised token against tokens seen",
            "funnels": "What became of passages and of problems",
            "influence": f"Influence scores of {name}",
        }
        if kind not in titles or (kind == "scores" and name not in names):
            raise UserError(f"{path}: the report has no place for a figure of this name.")
        svg = inline_svg(path, f"f{place}-", titles[kind])
        found[name if kind == "scores" else f":{kind}"].append({"name": titles[kind], "svg": svg})
    return found


def inline_svg(path: str | Path, prefix: str, title: str) -> Markup:
    """An SVG file as an element of a page.

    Its ids get `prefix`, its inks become the page's colours, its global style goes to the page.
    Raises UserError for anything that could run or fetch: scripts, events, outside references.
    """
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    try:
        root = ElementTree.fromstring(_text(path))
    except ElementTree.ParseError as error:
        raise UserError(f"{path}: not valid SVG ({error}). Delete it and rerun.") from None
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        kind = str(element.tag).removeprefix(f"{{{_SVG}}}")
        if kind in ("script", "foreignObject", "image", "iframe") or kind.startswith("{"):
            raise UserError(f"{path}: <{kind}> does not belong into a figure.")
        for key, value in list(element.attrib.items()):
            if key.lower().startswith("on") or "javascript:" in value.lower():
                raise UserError(f"{path}: a figure must not hold scripts ({key}).")
            outside = key in ("href", f"{{{_XLINK}}}href") and not value.startswith("#")
            if outside or re.search(r"url\((?!#)", value) or "@import" in value:
                raise UserError(f"{path}: a figure must not refer to the outside ({key}).")
            if key == "id":
                value = prefix + value
            elif key in ("href", f"{{{_XLINK}}}href"):
                value = f"#{prefix}{value[1:]}"
            value = value.replace("url(#", f"url(#{prefix}")
            for ink, colour in PAGE_COLOURS.items():
                value = value.replace(ink, colour)
            element.set(key, value)
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", title)
    text = ElementTree.tostring(root, encoding="unicode")
    return Markup(re.sub(r"\n\s*\n", "\n", text))


# ---------------------------------------------------------------- funnels


def funnel(value: Any) -> list[dict[str, Any]]:
    """Counts of any shape as tables {title, header, rows}: one per mapping of mappings.

    Plain counts come first; lists of records (rejected texts, say) are shown by their length.
    """
    made: list[dict[str, Any]] = []

    def walk(part: Any, title: str) -> None:
        if not isinstance(part, dict):
            return
        plain = [[_words(key), _count(v)] for key, v in part.items() if not isinstance(v, dict)]
        if plain:
            made.append({"title": title, "header": ["what", "count"], "rows": plain})
        deeper = {key: v for key, v in part.items() if isinstance(v, dict) and v}
        flat = {
            key: v for key, v in deeper.items() if not any(isinstance(x, dict) for x in v.values())
        }
        if len(flat) > 1 and _alike(list(flat.values())):
            columns = list(dict.fromkeys(key for row in flat.values() for key in row))
            rows = [[key, *(_count(row.get(c)) for c in columns)] for key, row in flat.items()]
            made.append({"title": title, "header": ["", *map(_words, columns)], "rows": rows})
            deeper = {key: v for key, v in deeper.items() if key not in flat}
        for key, inner in deeper.items():
            walk(inner, f"{title}: {key}" if title else str(key))

    walk(value, "")
    return made


def _alike(rows: list[dict[str, Any]]) -> bool:
    return bool(set.intersection(*(set(row) for row in rows)))


def _words(key: str) -> str:
    return key.replace("_", " ")


def _count(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, list):
        short = len(value) <= 8 and not any(isinstance(v, dict | list) for v in value)
        return ", ".join(map(str, value)) if short else f"{len(value):,} listed"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


# ---------------------------------------------------------------- influence, disagreements


def _influence(path: Path) -> dict[str, Any]:
    """One influence run from its summary (`influence_card.summary`)."""
    found = read_json(path)
    return {
        "name": found["name"],
        "overview": cards.html("influence_card", found),
        "ends": {
            title.capitalize(): [
                row
                | {"total": f"{row['total']:+#.3g}".replace("-", "\N{MINUS SIGN}")}
                | {key: shorten(row[key], LONGEST) for key in ("question", "solution", "passage")}
                for row in rows
            ]
            for title, rows in found["ends"].items()
        },
    }


def _disagreements(files: Sequence[Path]) -> dict[str, Any]:
    """Rows of all lists under their common header, each with the run that it comes from."""
    header: list[str] = []
    rows: list[dict[str, str]] = []
    counts: list[list[str]] = []
    for path in map(Path, files):
        run = "/".join(path.parts[-4:-1])
        lines = list(csv.DictReader(text_io.StringIO(_text(path), newline="")))
        only = [sum(line.get(name) == "True" for line in lines) for name in score_table.GRADERS]
        counts.append([run, str(len(lines)), *map(str, only)])
        for line in lines:
            header += [key for key in line if key is not None and key not in header]
        rows += [{"run": run} | line for line in lines[:MOST_ROWS]]
    shown = rows[: 2 * MOST_ROWS]
    return {
        "header": ["run", *header],
        "rows": [
            [shorten(row.get(key) or "", LONGEST) for key in ["run", *header]] for row in shown
        ],
        "counts": counts,
        "total": sum(int(row[1]) for row in counts),
    }


def _packages(products: Sequence[Path]) -> list[list[str]]:
    versions: dict[str, set[str]] = {}
    for path in products:
        for package, version in table_origin(path).get("packages", {}).items():
            versions.setdefault(package, set()).add(version)
    return [[package, ", ".join(sorted(versions[package]))] for package in sorted(versions)]


def _origin(path: Path) -> str:
    """Provenance of one product as indented JSON."""
    return json.dumps(table_origin(path), indent=2, sort_keys=True, ensure_ascii=False)
