"""Turn the teacher's answers into pairs: a prompt, and the problem with solution to write for it.

Failed, truncated and unusable answers are counted and listed in the report; none becomes data.
"""

import argparse
import collections
from pathlib import Path

from jz3 import io, program, prompts, records
from jz3.distillation import parsing
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


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
        reason, (question, solution) = parsing.judge(completion, mode, structured)
        if reason or completion is None:
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
    origin = program.origin(__file__, options, [options.prompts, options.completions], seeded=False)
    io.write_table(options.output, pairs, records.PAIRS, origin)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--prompts", type=Path, required=True)
    arguments.add_argument("--completions", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    arguments.add_argument("--report", type=Path, required=True)
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.ParsePairs))
