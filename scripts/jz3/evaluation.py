r"""How a model is asked a benchmark's problem, and how its answers are graded.

Templates: `jiuzhang`, the headings that the students are trained on, zero-shot (section 4.1);
`chat`, the checkpoint's own chat template with one user message, for models that are evaluated as
they are.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from . import grading, io, released_grader
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


def grade(answers: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield a row of GRADES per row of ANSWERS, and the answer that the authors' search finds.

    Each verdict uses its own search: `strict` grades `predicted`; `released` grades what the
    authors' rules extract.
    """
    verdicts: dict[tuple, bool] = {}
    for answer in answers:
        text, gold, choices = answer["text"], answer["gold"], answer["choices"] or []
        units = answer["benchmark"] not in released_grader.UNITLESS
        predicted = grading.extract_answer(text, choices)
        theirs = released_grader.extract(text, choices)
        questions = (
            (("strict", predicted, gold), lambda p, g: grading.strict(p, g)),
            (
                ("released", theirs, gold, units),
                lambda p, g, u=units: grading.released(p, g, units=u),
            ),
        )
        for key, rule in questions:
            if key not in verdicts:
                verdicts[key] = rule(key[1], key[2])
        yield (
            {
                **{name: answer[name] for name in ("problem_id", "benchmark", "sample", "gold")},
                "predicted": predicted,
                "strict": verdicts[questions[0][0]],
                "released": verdicts[questions[1][0]],
            },
            theirs,
        )
