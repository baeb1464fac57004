"""Which of the teacher's answers are usable, and why the others are not."""

import ast
import warnings
from collections.abc import Mapping
from typing import Any

from .. import prompts

FEWEST_WORDS = 5  # of a question
MOST_WORDS = 5  # of an answer that holds no number or formula


def judge(
    completion: Mapping[str, Any] | None, mode: str, structured: bool
) -> tuple[str, tuple[str, str]]:
    """(reason for rejection or "", (question, solution)) of a teacher's answer.

    Reasons: not_asked | failed | truncated | unparsed | short_question | no_answer |
    broken_program | prints_nothing.
    """
    nothing = ("", "")
    if completion is None:
        return "not_asked", nothing
    if completion["finish_reason"] != "stop":
        return {"length": "truncated"}.get(completion["finish_reason"], "failed"), nothing
    read = prompts.from_structured if structured else prompts.parse_completion
    parts = read(completion["text"], mode)
    # What can not be read back from its own text would teach the synthesizer a broken format.
    if parts is None or prompts.parse_completion(
        prompts.format_completion(mode, *parts), mode
    ) != tuple(parts):
        return "unparsed", nothing
    question, solution = parts
    if len(question.split()) < FEWEST_WORDS:
        return "short_question", parts
    # Free text may end in a proof or a sentence; an empty box is a missing answer there, too.
    boxed = "\\boxed" in solution
    if (structured or boxed) and not _is_answer(prompts.answer_of(solution)):
        return "no_answer", parts
    return _fault(prompts.program_of(solution)) if mode == "tool" else "", parts


def _is_answer(answer: str) -> bool:
    """Whether it is a value: something short, or with a number or formula in it."""
    return bool(answer) and (
        len(answer.split()) <= MOST_WORDS or any(c.isdigit() or c in "\\=$" for c in answer)
    )


def _fault(source: str) -> str:
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "broken_program"
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    prints = any(isinstance(name, ast.Name) and name.id == "print" for name in calls)
    return "" if prints else "prints_nothing"
