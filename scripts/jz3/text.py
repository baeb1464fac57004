"""Counts and texts in the short form that a reader wants."""

import re

_COUNTS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_THOUGHT = re.compile(r"<(/?)(?:think(?:ing)?|thought|reasoning|scratchpad)>", re.I)

_COURTESY = re.compile(
    r"\s*\b(?:let me know|feel free to|(?:i )?hope (?:this|that)|would you like|do you want me to"
    r"|(?:please )?(?:tell me|ask) if|if you (?:have|need|would like|want|'d like)|happy to help"
    r"|is there anything else)\b.{0,300}\Z",
    re.I | re.S,
)
_LINE_START = re.compile(r"(?:\A|[.!?)}$*]\s+|\n\s*)\W*\Z")


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


def without_courtesy(text: str) -> str:
    """The text without what a chat says to its user at the end, from where a sentence begins."""
    found = _COURTESY.search(text, max(0, len(text) - 400))
    if found is None:
        return text
    before = text[: found.start()] + found[0][: len(found[0]) - len(found[0].lstrip())]
    return before.rstrip(" \n*_-#") if _LINE_START.search(before) and before.strip() else text
