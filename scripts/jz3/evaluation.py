r"""How a model is asked a benchmark's problem.

Templates: `jiuzhang`, the headings that the students are trained on, zero-shot (section 4.1);
`chat`, the checkpoint's own chat template with one user message, for models that are evaluated as
they are.
"""

from typing import Any

from . import io
from .answers import bare_choice
from .templates import question_text

TEMPLATES = ("jiuzhang", "chat")
INSTRUCTIONS = {
    "cot": "Solve the problem step by step and put the final answer in \\boxed{}.",
    "tool": (
        "Write a short Python program that solves the problem and prints the answer."
        " Put it in a ```python block."
    ),
}
LETTER = " Answer with the letter of the right choice."
_STOPS = {"cot": ("\n\n## Question",), "tool": ("\n\n## Question", "\n\n---", "```output")}


def with_choices(question: str, choices: list[str]) -> str:
    """The question with its choices as lines `(A) ...`."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    lines = [f"({letters[n]}) {bare_choice(choice)}" for n, choice in enumerate(choices)]
    return "\n".join([question.strip(), *lines])


def prompt_text(problem: dict[str, Any], template: str, mode: str, tokenizer: Any) -> str:
    """The text that a model gets for a row of a benchmark; `mode` is cot | tool.

    Raises UserError for an unknown template and for `chat` with a checkpoint that has none.
    """
    question = with_choices(problem["question"], problem["choices"] or [])
    if template == "jiuzhang":
        return question_text(question, mode)
    if template != "chat":
        hint = io.did_you_mean(template, TEMPLATES)
        raise io.UserError(f'template "{template}" is unknown ({" | ".join(TEMPLATES)}).{hint}')
    if not getattr(tokenizer, "chat_template", None):
        raise io.UserError(
            "the checkpoint has no chat template; set this model's `template: jiuzhang`."
        )
    asked = INSTRUCTIONS[mode] + (LETTER if problem["choices"] else "")
    messages = [{"role": "user", "content": f"{asked}\n\n{question}"}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def stop_strings(template: str, mode: str) -> tuple[str, ...]:
    """What ends a turn, besides the end-of-text token."""
    if template == "chat":
        return ("```output",) if mode == "tool" else ()
    return _STOPS[mode]
