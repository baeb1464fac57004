r"""Prompts that ask for a new problem, and the text of the answers (paper section 3.2, appendix).

A prompt folder holds one template per level, `<level>.md`, with the slot {passage} exactly once,
and `examples.jsonl`: worked examples for the teacher, one JSON object per line,

    {"level": "grade", "passage": "...", "problem": "...", "solution": "...", "answer": "5"}

(in tool mode `program`, Python source without a fence, in place of `solution`).

A synthesizer learns to write a completion straight after its prompt, with no chat template and no
separator, as in the release: a prompt ends in "## New Problem\n", a completion is

    [Problem]:
    <question>

    [Solution]:
    <solution>

where a cot solution ends "The answer is \boxed{...}." and a tool solution is one ```python block
followed by that sentence. What the program prints is never the model's to write: execution adds it.
"""

import json
import re
from pathlib import Path
from typing import Any

from . import boxes
from .io import UserError, did_you_mean, read_json_lines
from .text import without_courtesy, without_thoughts

SLOT = "{passage}"
MODES = ("cot", "tool")

# A marker on a line of its own or at a line's start: "[Problem]:", "**[Problem]**", "### Problem",
# "**Problem:**", "[Problem Description]". A bare word without bracket, colon or heading is prose.
_DECORATION = r"[ \t]*(?:#{1,6}[ \t]*)?(?:\*\*|__)?"
_MARKER = re.compile(
    rf"^{_DECORATION}\[(?P<a>problem(?: description)?|solution)\][ \t]*:?(?:\*\*|__)?[ \t]*:?"
    rf"|^{_DECORATION}(?P<b>problem(?: description)?|solution)[ \t]*:(?:\*\*|__)?"
    rf"|^[ \t]*(?:#{{1,6}}[ \t]*|\*\*)(?P<c>problem(?: description)?|solution)(?:\*\*)?"
    rf"[ \t]*:?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_CLOSING = re.compile(r"^[ \t]*\[/(?:problem(?: description)?|solution)\][ \t]*$", re.I | re.M)
_PROGRAM = re.compile(
    r"^[ \t]*```[ \t]*(?:python3?|py)[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.I | re.M | re.S
)
_OUTPUT = re.compile(r"^[ \t]*```[ \t]*output[ \t]*\n.*?^[ \t]*```[ \t]*$\n*", re.I | re.M | re.S)
_STATED = re.compile(r"\b(?:the|final)\s+answer\s+is:?\s*(.+?)\s*$", re.I | re.M)


# ---------------------------------------------------------------- templates


def load_prompts(folder: str | Path) -> dict[str, str]:
    """Read a prompt folder: {level: template}, in the order of the level names.

    Each template is stripped at its end and given one line break. Raises UserError where the
    folder has no template, or one lacks the slot or has it twice.
    """
    folder = Path(folder)
    templates = {}
    for path in sorted(folder.glob("*.md")):
        text = path.read_text(encoding="utf-8").rstrip() + "\n"
        if text.count(SLOT) != 1:
            raise UserError(
                f"{path}: the slot {SLOT} is there {text.count(SLOT)} times; write it exactly once."
            )
        templates[path.stem] = text
    if not templates:
        raise UserError(f"{folder}: no prompt there; write one file <level>.md per level.")
    return templates


def fill(template: str, passage: str) -> str:
    """Put a passage into a template's slot.

    A passage cannot pose as a part of the prompt: its headings are set two levels down, and the
    markers of a completion lose their brackets.
    """
    passage = re.sub(r"^(#{1,2})(?=\s)", r"##\1", passage.strip(), flags=re.M)
    passage = re.sub(r"\[(/?(?:problem|solution))\]", r"\1", passage, flags=re.I)
    before, after = template.split(SLOT)
    return before + passage + after


def load_examples(path: str | Path, mode: str, structured: bool) -> list[tuple[str, str]]:
    """Read the worked examples beside a folder's templates as (prompt, answer) turns.

    `structured`: answers are JSON by `structured_schema`, else text by `format_completion`.
    An empty file means no examples. Raises UserError naming the line and the key at fault.
    """
    path = Path(path)
    rows = read_json_lines(path)
    templates = load_prompts(path.parent) if rows else {}
    keys = structured_schema(mode)["required"]
    turns = []
    for number, row in enumerate(rows, 1):
        for key in ["level", "passage", *keys]:
            if not isinstance(row.get(key), str) or not row[key].strip():
                raise UserError(f'{path}, example {number}: "{key}" is missing or not a text.')
        if row["level"] not in templates:
            hint = did_you_mean(row["level"], templates)
            raise UserError(
                f"{path}, example {number}: no prompt {row['level']}.md beside it.{hint}"
            )
        answer = json.dumps({key: row[key].strip() for key in keys}, ensure_ascii=False)
        if not structured:
            parts = from_structured(answer, mode)
            if parts is None:
                raise UserError(f"{path}, example {number}: not a sound {mode} example.")
            answer = format_completion(mode, *parts)
        turns.append((fill(templates[row["level"]], row["passage"]), answer))
    return turns


# ---------------------------------------------------------------- completions


def format_completion(mode: str, question: str, solution: str) -> str:
    """The text of a problem with its solution, as a synthesizer learns to write it."""
    if mode not in MODES:
        raise ValueError(f"mode {mode!r}, expected one of {MODES}")
    return f"[Problem]:\n{question.strip()}\n\n[Solution]:\n{solution.strip()}"


def parse_completion(text: str, mode: str) -> tuple[str, str] | None:
    """Split a completion into (question, solution), or None where a part is missing.

    Tolerates decorated markers and closing tags; a second problem or solution behind the first is
    cut off, and so is what a chat says at its end.
    In tool mode the solution must hold one closed ```python block or more; the first is kept with
    the text that follows it, and ```output blocks are removed.
    """
    text = _CLOSING.sub("", without_thoughts(text))
    markers: list[tuple[str, int, int]] = []
    for match in _MARKER.finditer(text):
        name = (match["a"] or match["b"] or match["c"]).lower()
        markers.append((name.split()[0], match.start(), match.end()))
    problem = next((k for k, marker in enumerate(markers) if marker[0] == "problem"), None)
    if problem is None:
        return None
    solution = next(
        (k for k in range(problem + 1, len(markers)) if markers[k][0] == "solution"), None
    )
    if solution is None:
        return None
    first = solution  # a head may stand there twice, with nothing in between
    while (
        solution + 1 < len(markers)
        and markers[solution + 1][0] == "solution"
        and not text[markers[solution][2] : markers[solution + 1][1]].strip()
    ):
        solution += 1
    end = markers[solution + 1][1] if solution + 1 < len(markers) else len(text)
    question = text[markers[problem][2] : markers[first][1]].strip()
    answer = without_courtesy(text[markers[solution][2] : end].strip())
    if mode == "tool":
        answer = _tool_solution(answer)
    if not question or not answer:
        return None
    return question, answer


def _tool_solution(text: str) -> str:
    match = _PROGRAM.search(text)
    if not match or not match[1].strip():
        return ""
    program = match[1].rstrip()
    rest = _OUTPUT.sub("", text[match.end() :])
    rest = _PROGRAM.sub("", rest).strip()
    return f"```python\n{program}\n```" + (f"\n\n{rest}" if rest else "")


def program_of(solution: str) -> str:
    """The Python source in a tool solution ("" if it has none)."""
    match = _PROGRAM.search(solution)
    return match[1].rstrip() if match else ""


def answer_of(solution: str) -> str:
    r"""The stated answer: the last \boxed{...}, else the end of "the answer is ...", else "".

    A last box that is empty or never closed is no answer, whatever stands before it: such a text
    is not to be learnt from.
    """
    if written := boxes.find(solution):
        return written[-1].content or ""
    stated = _STATED.findall(solution)
    return stated[-1].strip(" .$*") if stated else ""


# ---------------------------------------------------------------- structured answers


def structured_schema(mode: str) -> dict[str, Any]:
    """JSON schema of the teacher's structured answer: problem, solution or program, answer."""
    work = {"cot": "solution", "tool": "program"}[mode]
    keys = ["problem", work, "answer"]
    return {
        "type": "object",
        "properties": {key: {"type": "string"} for key in keys},
        "required": keys,
        "additionalProperties": False,
    }


def from_structured(text: str, mode: str) -> tuple[str, str] | None:
    """Make (question, solution) of a structured answer, or None where it is not one.

    The solution ends with its answer in a box, whether the teacher put one there or not.
    """
    keys = structured_schema(mode)["required"]
    text = without_thoughts(text)
    begin, end = text.find("{"), text.rfind("}")  # a fence or a sentence may stand around it
    try:
        value = json.loads(text[begin : end + 1])
        problem, work, answer = (value[key] for key in keys)
        sound = all(isinstance(part, str) and part.encode() for part in (problem, work, answer))
    except (ValueError, KeyError, TypeError, RecursionError):  # a lone surrogate is a ValueError
        return None
    if not sound:
        return None
    answer = _bare_answer(_restore_latex(answer))
    problem = re.sub(rf"^(?:{_MARKER.pattern})", "", _restore_latex(problem).strip(), flags=re.I)
    if mode == "tool":
        fenced = _PROGRAM.search(work)
        work = (fenced[1] if fenced else work).strip("\n").rstrip()
        if not work.strip():
            return None
        work = f"```python\n{work}\n```"
    else:
        work = _without_box(without_courtesy(_restore_latex(work).strip()))
    problem = problem.strip()
    if not problem or not work or not answer:
        return None
    return problem, f"{work}\n\nThe answer is \\boxed{{{answer}}}."


def _restore_latex(text: str) -> str:
    r"""Undo JSON's reading of LaTeX written with one backslash: "\frac" became a form feed."""
    text = text.replace("\f", "\\f").replace("\b", "\\b")
    text = re.sub(r"\t(?=imes\b|ext\b|heta\b|an\b|au\b|o\b|frac\b)", r"\\t", text)
    return re.sub(r"\r(?=ight\b|ho\b|angle\b)", r"\\r", text)


def _bare_answer(answer: str) -> str:
    answer = answer.strip()
    answer = answer_of(answer) if boxes.find(answer) else answer
    answer = re.sub(r"^the answer is:?\s+", "", answer.strip(), flags=re.I).rstrip(".").strip()
    if len(answer) > 2 and answer[0] == answer[-1] == "$" and "$" not in answer[1:-1]:
        answer = answer[1:-1].strip()
    return answer


def _without_box(solution: str) -> str:
    """Drop a last line that only states the boxed answer; unbox what stays."""
    lines = solution.split("\n")
    if len(lines) > 1 and re.match(
        r"\W*(?:so,? |thus,? |therefore,? )?(?:the )?(?:final )?answer\b", lines[-1], re.I
    ):
        lines.pop()
    kept = "\n".join(lines).rstrip()
    while closed := [box for box in boxes.find(kept) if box.content is not None]:
        last = closed[-1]  # nested ones come after the one around them
        kept = kept[: last.start] + (last.content or "") + kept[last.end :]
    return kept
