"""Which of the teacher's answers are usable, and why the others are not."""

import ast
import re
import warnings
from collections.abc import Mapping
from typing import Any

from .. import boxes, prompts, quality
from ..quality import Written

FEWEST_WORDS = 5  # of a question
MOST_WORDS = 5  # of an answer that holds no number or formula
LONGEST_QUESTION = 500  # words; a solution may have six times as many
REPEATED = 0.3  # of the runs of twelve words
# Each of them costs one answer, and none may be learnt from: the synthesizer writes as it read.
_CHECKS = (
    quality.refuses,
    lambda problem: quality.wrong_length(problem, LONGEST_QUESTION),
    lambda problem: quality.repetitive(problem, REPEATED),
    quality.wrong_encoding,
    quality.leftover_markers,
    quality.broken_latex,
    quality.asks_nothing,
    quality.several,
    quality.not_self_contained,
)
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_WORD = re.compile(
    r"\b(?:zero|no|none|nothing|one|once|two|twice|three|four|five|six|seven|eight|nine|ten|eleven"
    r"|twelve|\w+teen|\w+ty|hundred|thousand|million|dozen)\b",
    re.I,
)


def judge(
    completion: Mapping[str, Any] | None, mode: str, structured: bool
) -> tuple[str, tuple[str, str]]:
    """(reason for rejection or "", (question, solution)) of a teacher's answer.

    Reasons: not_asked | failed | truncated | unparsed | short_question | no_answer |
    unreached_answer | broken_program | prints_nothing | a fault's name in `quality`.
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
    if mode == "tool":
        program = prompts.program_of(solution)
        said = Written(question, solution.replace(program, ""))
        return _fault(program) or _first_fault(said), parts
    if structured and not _reached(solution):
        return "unreached_answer", parts
    return _first_fault(Written(question, solution)), parts


def _first_fault(problem: Written) -> str:
    return next((fault for check in _CHECKS if (fault := check(problem))), "")


def _reached(solution: str) -> bool:
    """Whether the work names the whole number that is given as its answer.

    Other answers may be written in many ways, and so may numbers in words: they are believed.
    """
    answer = prompts.answer_of(solution).replace("\\$", "").strip("$%- ")
    if not re.fullmatch(r"\d[\d,]*(?:\.0+)?", answer):
        return True
    work = solution[: boxes.find(solution)[-1].start]
    values = {float(number.replace(",", "")) for number in _NUMBER.findall(work)}
    return float(answer.replace(",", "")) in values or bool(_WORD.search(work))


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
