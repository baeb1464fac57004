"""Putting what programs really print into tool solutions.

The release's output blocks were written by the model and agree with real execution in 39% of rows;
here they are what was printed, and a row whose answer is something else is dealt with openly.
"""

import re
from collections.abc import Mapping
from typing import Any

from ..prompts import program_of
from .agreement import agrees, kind
from .printed import latex
from .programs import Execution, run_programs

_LONGEST_ANSWER = 40  # characters of a printed value that can stand as an answer
# A closing that says nothing but the answer; what says more may go on from what was printed.
_BARE = re.compile(
    r"(?:(?:so|thus|hence|therefore),?\s+)?the\s+(?:final\s+|correct\s+)?answer\s+is:?\s*"
    r"\$?\\boxed\s*\{.*\}\$?\.?",
    re.I | re.S,
)


def execute_rows(rows: list[dict[str, Any]], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the program of every tool solution still kept (PROBLEMS rows; others pass unchanged).

    `settings`: those of `run_programs`; `repeat` (true): run each a second time with other
    seeds and another clock; `disagreement` (replace): keep | reject | replace | restate. The
    solution becomes program, "```output" block with what was printed, and closing sentence. Status
    of a row: "not_executed" where the program fails or prints nothing, "not_deterministic" where
    it prints something else the second time, "disagrees" where the stated answer is not what was
    printed and the policy cannot mend it. `answer_agrees` is what was found, before anything was
    mended.
    """
    indices = [i for i, row in enumerate(rows) if row["mode"] == "tool" and row["status"] == "kept"]
    programs = [program_of(rows[i]["solution"]) for i in indices]
    results = run_programs(programs, settings)
    again = _again(programs, results, settings) if settings.get("repeat") is not False else {}
    done = [dict(row) for row in rows]
    for place, (i, program, result) in enumerate(zip(indices, programs, results, strict=True)):
        row = done[i]
        row["executed"] = bool(program) and result.status == "ok"
        if not row["executed"]:
            row["status"] = "not_executed"
        elif again.get(place, result) != result:
            row["status"] = "not_deterministic"
        else:
            row["solution"] = with_output(row["solution"], program, result.output)
            row["answer_agrees"] = agrees(result.output, row["answer"])
            if not row["answer_agrees"]:
                row |= mended(row, result.output, settings.get("disagreement") or "replace")
    return done


def _again(
    programs: list[str], results: list[Execution], settings: dict[str, Any]
) -> dict[int, Execution]:
    """The second run of every program that went well, by its place."""
    places = [i for i, result in enumerate(results) if result.status == "ok"]
    found = run_programs([programs[i] for i in places], settings, again=True)
    return dict(zip(places, found, strict=True))


def mended(row: Mapping[str, Any], output: str, policy: str) -> dict[str, Any]:
    r"""What changes of a row whose answer is not what was printed.

    keep: nothing. reject: its status. replace: where both are single values of one kind and the
    closing states the answer and nothing else, the printed value takes the answer's place, since
    the statement was written before the program ran. restate: any single value that was printed
    becomes the answer, in a closing sentence of its own. What cannot be mended is rejected.
    """
    if policy == "keep":
        return {}
    printed = output.strip()
    single = kind(printed) if len(printed) <= _LONGEST_ANSWER else ""
    head, _, closing = row["solution"].rpartition("```")
    fits = bool(single) and (
        policy == "restate"
        or (
            policy == "replace"
            and single == kind(row["answer"])
            and bool(_BARE.fullmatch(closing.strip()))
        )
    )
    if not fits:
        return {"status": "disagrees"}
    answer = printed if single in ("number", "words", "truth") else latex(printed)
    return {"answer": answer, "solution": f"{head}```\n\nThe answer is \\boxed{{{answer}}}."}


def with_output(solution: str, program: str, output: str) -> str:
    """Put `output` behind the program of a tool solution."""
    closing = solution.rsplit("```", 1)[-1].strip()
    # A fence in the output would end the block early.
    output = output.replace("```", "'''")
    text = f"```python\n{program}\n```\n```output\n{output}\n```"
    return f"{text}\n\n{closing}" if closing else text


def tally(rows: list[dict[str, Any]], before: list[dict[str, Any]]) -> dict[str, int]:
    """How many programs came to which end; `before`: the rows as they were."""
    counts = dict.fromkeys(
        ("programs", "not_executed", "not_deterministic", "agree", "disagree_kept", "replaced",
         "disagrees"), 0,
    )  # fmt: skip
    for row, old in zip(rows, before, strict=True):
        if old["status"] != "kept" or row["executed"] is None:
            continue
        counts["programs"] += 1
        if row["status"] in counts:
            counts[row["status"]] += 1
        elif row["answer_agrees"]:
            counts["agree"] += 1
        else:
            counts["replaced" if row["answer"] != old["answer"] else "disagree_kept"] += 1
    return counts
