"""Jinja templates of `rules/report/`: the page, and cards, which are Markdown or a part of it."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
from markupsafe import Markup

from ..tables.text_table import Grid, escape_markdown, markdown_table
from . import corpus_card, influence_card

FOLDER = Path(__file__).resolve().parents[3] / "rules" / "report"


def environment(escape: bool) -> jinja2.Environment:
    """Templates of the folder; with `escape` what they are given becomes HTML text."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"escaped": _escaped, "table": _table, "fenced": _fenced}
    return made


def markdown(name: str, card: dict[str, Any]) -> str:
    """A whole card as Markdown. name: corpus_card | influence_card; card: its summary."""
    return _render(name, card, environment(escape=False), "markdown.j2").strip() + "\n"


def html(name: str, card: dict[str, Any]) -> Markup:
    """A card as a part of the page: without its title, and without an influence run's texts."""
    return Markup(_render(name, card, environment(escape=True), "html.j2"))


def _render(name: str, card: dict[str, Any], templates: jinja2.Environment, words: str) -> str:
    about: ModuleType = {"corpus_card": corpus_card, "influence_card": influence_card}[name]
    tables = about.tables(card)
    if templates.autoescape:
        tables["ends"] = {}  # the page shows these texts whole
    writer = templates.get_template(words).module
    return templates.get_template(f"{name}.j2").render(card=card, tables=tables, w=writer)


def _escaped(text: str) -> str:
    return "\n".join(map(escape_markdown, text.split("\n")))


def _table(grid: Grid) -> str:
    return markdown_table(grid.header, grid.rows, grid.left) if grid.rows else "(none)"


def _fenced(text: str) -> str:
    """The text as it is, in a fence longer than any run of backticks inside it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
