r"""Boxed answers in LaTeX, `\boxed{}` and `\fbox{}`: the one reader of them.

The authors' own search, with its faults, is `grading.released`.
"""

import re
from dataclasses import dataclass

_CLOSING = {"{": "}", "(": ")", "[": "]"}
# A box with its brace, or with what it takes without one: a command and its arguments, a word.
_MARK = re.compile(
    r"\\(?:boxed|fbox)(?:\s*(?P<brace>\{)|[ \t]*"
    r"(?P<bare>(?:\\(?!boxed|fbox)[A-Za-z]+(?:\{[^{}]*\})*)?[^\s$\\{}]*))"
    r"|\\\\(?!boxed|fbox)|\\[{}]|[{}]"
)


@dataclass(frozen=True)
class Box:
    """A box at text[start:end]; `content` is stripped, and None where its brace never closes."""

    start: int
    end: int
    content: str | None


def closing(text: str, start: int) -> int:
    """Index of the bracket that closes the one at `start`, or -1. Escaped braces do not count."""
    opening = text[start]
    shutting = _CLOSING[opening]
    depth, index = 0, start
    while index < len(text):
        if text[index] == "\\" and text[index + 1 : index + 2] in "{}\\" and opening == "{":
            index += 2
            continue
        depth += (text[index] == opening) - (text[index] == shutting)
        if depth == 0:
            return index
        index += 1
    return -1


def find(text: str) -> list[Box]:
    r"""All boxes in the order in which they begin, nested ones too, in one pass over `text`.

    `\boxed 5` and `\boxed5` hold what follows up to a space, without the sentence's punctuation.
    """
    boxes: list[Box] = []
    opened: list[tuple[int, int]] = []  # where content begins, and its box's number (-1: no box)
    for mark in _MARK.finditer(text):
        if mark["brace"]:
            opened.append((mark.end(), len(boxes)))
            boxes.append(Box(mark.start(), len(text), None))
        elif mark["bare"] is not None:
            content = mark["bare"].rstrip(".,;:")
            end = mark.start("bare") + len(content)
            boxes.append(Box(mark.start(), end, content))
        elif mark[0] == "{":
            opened.append((mark.end(), -1))
        elif mark[0] == "}" and opened:
            begin, number = opened.pop()
            if number >= 0:
                content = text[begin : mark.start()].strip()
                boxes[number] = Box(boxes[number].start, mark.end(), content)
    return boxes


def last_boxed(text: str) -> str:
    """Content of the last box that closes and is not empty; "" if there is none."""
    return next((box.content for box in reversed(find(text)) if box.content), "")
