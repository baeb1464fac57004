"""Counts and texts in the short form that a reader wants."""

import re

_COUNTS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_THOUGHT = re.compile(r"<(/?)(?:think(?:ing)?|thought|reasoning|scratchpad)>", re.I)


def short(value: float | str, unit: str = "") -> str:
    """A count with three digits and a letter for thousands, millions, ... ("-" for none).

    With a unit the letters are its prefixes: "3.6 GB", but "3.6B" of things.
    """
    value = float(value or 0)
    if not value:
        return "-"
    space = " " if unit else ""
    for scale, letter in _PREFIXES if unit else _COUNTS:
        if value >= 0.9995 * scale:
            return f"{value / scale:.3g}{space}{letter}{unit}"
    return f"{value:.3g}{space}{unit}"


def shorten(text: str, most: int) -> str:
    """The text, or its first `most` characters and a mark that more was there."""
    return text if len(text) <= most else text[:most].rstrip() + " [...]"


def without_thoughts(text: str) -> str:
    """What is said after thinking; nothing where a thought never ends."""
    said: list[str] = []
    place, thinking = 0, False
    for mark in _THOUGHT.finditer(text):
        if mark[1]:
            if not thinking:
                said.clear()  # the opening mark stood in the prompt
            place, thinking = mark.end(), False
        elif not thinking:
            said.append(text[place : mark.start()])
            thinking = True
    if not thinking:
        said.append(text[place:])
    return " ".join(said)
