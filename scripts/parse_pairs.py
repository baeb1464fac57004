"""Turn the teacher's answers into pairs: a prompt, and the problem with solution to write for it.

Failed, truncated and unusable answers are counted and listed in the report; none becomes data.
"""

import argparse
import ast
import collections
import warnings
from pathlib import Path

from jz3 import io, program, prompts, records

FEWEST_WORDS = 5  # of a question
MOST_WORDS = 5  # of an answer that holds no number or formula


def judge(completion: dict | None, mode: str, structured: bool) -> tuple[str, tuple[str, str]]:
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


def main(options: argparse.Namespace) -> None:
    """Join prompts and completions, write the pairs and the report."""
    mode, structured = options.recipe["mode"], options.recipe["structured"]
    asked = io.read_rows(options.prompts, records.PROMPTS)
    completions = {
        row["request_id"]: row for row in io.read_rows(options.completions, records.COMPLETIONS)
    }
    pairs, rejects = [], []
    for row in asked:
        completion = completions.get(row["request_id"])
        reason, (question, solution) = judge(completion, mode, structured)
        if reason:
            text = completion["text"] if completion else ""
            kept = {name: row[name] for name in ("request_id", "passage_id", "source", "level")}
            rejects.append({**kept, "reason": reason, "text": text})
            continue
        pairs.append(
            {
                **row,
                "completion": prompts.format_completion(mode, question, solution),
                "question": question,
                "solution": solution,
                "model": completion["model"],
            }
        )
    report = {
        "asked": len(asked),
        "kept": len(pairs),
        "rejected": dict(collections.Counter(row["reason"] for row in rejects)),
        "prompt_tokens": sum(row["prompt_tokens"] for row in completions.values()),
        "completion_tokens": sum(row["completion_tokens"] for row in completions.values()),
        "cost": round(sum(row["cost"] for row in completions.values()), 9),
        "rejects": rejects,
    }
    io.write_json(options.report, report)
    program.say(f"parse_pairs: {len(pairs)} of {len(asked)} kept, rejected {report['rejected']}")
    if not pairs:
        raise io.UserError(
            f"no usable answer among {len(asked)}; see {options.report}, then change the prompt or"
            " the teacher."
        )
    origin = io.provenance("parse_pairs", options.code, [options.prompts, options.completions])
    io.write_table(options.output, pairs, records.PAIRS, origin)


if __name__ == "__main__":
    parser = program.parser(__doc__)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--completions", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    program.run(main, parser)
