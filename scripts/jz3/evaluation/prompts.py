r"""How a model is asked a benchmark's problem.

Templates: `jiuzhang`, the headings that the students are trained on (section 4.1); `plain`,
"Question:" and "Answer:", for base models; `chat`, the checkpoint's own chat template, for models
that are evaluated as they are. Worked examples ("shots") precede the problem under the same
headings, three line ends apart as in the release, or as earlier turns of the chat.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import io
from ..grading.extraction import bare_choice
from ..templates import question_text

TEMPLATES = ("jiuzhang", "plain", "chat")
MODES = {"jiuzhang": ("cot", "tool"), "plain": ("cot",), "chat": ("cot", "tool")}
INSTRUCTIONS = {
    "cot": "Solve the problem step by step and put the final answer in \\boxed{}.",
    "tool": (
        "Write a short Python program that solves the problem and prints the answer."
        " Put it in a ```python block."
    ),
}
LETTER = " Answer with the letter of the right choice."
_STOPS = {
    ("jiuzhang", "cot"): ("\n\n## Question",),
    ("jiuzhang", "tool"): ("\n\n## Question", "\n\n---", "```output"),
    ("plain", "cot"): ("\n\nQuestion:",),
    ("chat", "cot"): (),
    ("chat", "tool"): ("```output",),
}


def with_choices(question: str, choices: Sequence[str]) -> str:
    """The question, and its choices on a line of their own as in the release."""
    if not choices:
        return question.strip()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    named = [f"({letters[n]}) {bare_choice(choice)}" for n, choice in enumerate(choices)]
    return f"{question.strip()}\nAnswer Choices: {' '.join(named)}"


def read_shots(path: Path, count: int) -> list[dict[str, Any]]:
    """The first `count` worked examples of a file: JSON lines with question, solution, choices.

    Raises UserError where the file holds fewer, or one without a question or solution.
    """
    shots = io.read_json_lines(path)[:count]
    if len(shots) < count:
        raise io.UserError(
            f"{path}: {count} worked examples asked for, {len(shots)} found. Lower `shots`, or"
            " write more."
        )
    for number, shot in enumerate(shots, 1):
        for name in ("question", "solution"):
            if not isinstance(shot, dict) or not str(shot.get(name) or "").strip():
                raise io.UserError(f"{path}, line {number}: no {name}.")
    return shots


def prompt_text(
    problem: dict[str, Any],
    template: str,
    mode: str,
    tokenizer: Any,
    shots: Sequence[dict[str, Any]] = (),
) -> str:
    """The text that a model gets for a row of a benchmark; `mode` is cot | tool.

    shots: worked examples (question, solution, choices), shown in their order. Raises UserError
    for an unknown template, a mode that it does not have, and `chat` with a checkpoint that has no
    chat template.
    """
    if template not in TEMPLATES:
        hint = io.did_you_mean(template, TEMPLATES)
        raise io.UserError(f'template "{template}" is unknown ({" | ".join(TEMPLATES)}).{hint}')
    if mode not in MODES[template]:
        raise io.UserError(f"template {template} has no {mode} mode.")
    if template == "chat":
        return _chat(problem, mode, tokenizer, shots)
    between = " " if template == "plain" else ""
    solved = [_headed(shot, template, mode) + between + shot["solution"].strip() for shot in shots]
    return "\n\n\n".join([*solved, _headed(problem, template, mode)])


def _headed(row: dict[str, Any], template: str, mode: str) -> str:
    question = with_choices(row["question"], row.get("choices") or [])
    if template == "plain":
        return f"Question: {question}\nAnswer:"
    return question_text(question, mode)


def _chat(
    problem: dict[str, Any], mode: str, tokenizer: Any, shots: Sequence[dict[str, Any]]
) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise io.UserError(
            "the checkpoint has no chat template; set this model's `template` to plain or jiuzhang."
        )
    asked = INSTRUCTIONS[mode] + (LETTER if problem["choices"] else "")
    messages = []
    for row in (*shots, problem):
        question = with_choices(row["question"], row.get("choices") or [])
        messages.append({"role": "user", "content": f"{asked}\n\n{question}"})
        if row is not problem:
            messages.append({"role": "assistant", "content": row["solution"].strip()})
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text


def stop_strings(template: str, mode: str) -> tuple[str, ...]:
    """What ends a turn, besides the end-of-text token."""
    return _STOPS[template, mode]
