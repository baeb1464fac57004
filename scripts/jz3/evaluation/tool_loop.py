"""Answers that run programs: the model writes, we execute, the output goes back, it writes on.

As in the release (tool setting of section 4.1): up to `rounds` rounds; a turn that ends
with a closed python block and gives no boxed answer asks for execution. Unlike there, a program
runs in its own restricted process (`execution`), a "boxed" inside a program ends nothing, earlier
programs run again whole with their printing discarded, instead of losing their print lines, and
the last round's program is executed too.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import io
from ..boxes import last_boxed
from ..execution.programs import run_programs
from ..generation import Engine, Generated, Request, Sampling, generate_journalled

_BLOCK = re.compile(
    r"^[ \t]*```[ \t]*(?:python|py)\b[^\n]*\n(.*?)^[ \t]*```[ \t]*$", re.M | re.S | re.I
)


@dataclasses.dataclass
class Attempt:
    r"""One answer in the making.

    `text` is all that follows the prompt, outputs included. `finish_reason` is "stop" | "length"
    as of the last turn, or "rounds" where the limit of rounds ended it. Token counts: the first
    prompt, and everything the model wrote.
    """

    request_id: str
    prompt: str
    text: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    rounds: int = 0
    succeeded: list[str] = dataclasses.field(default_factory=list)

    def add(self, turn: Generated, text: str) -> None:
        """Count one turn of the model, of which `text` is kept."""
        self.text += text
        self.rounds += 1
        self.finish_reason = turn.finish_reason
        self.prompt_tokens = self.prompt_tokens or turn.prompt_tokens
        self.completion_tokens += turn.completion_tokens


def requested_program(turn: str, *, cut: bool = False) -> tuple[str, str] | None:
    r"""The program that a turn asks to run, and the part of the turn that is kept; else None.

    A turn asks when it ends with a closed python block and has no boxed answer outside programs;
    its blocks run together. With `cut` (for models that were not trained to stop there) the first
    block counts wherever it stands, and what follows it, written without its output, is dropped.
    """
    blocks = list(_BLOCK.finditer(turn))
    if not blocks:
        return None
    blocks = blocks[:1] if cut else blocks
    end = blocks[-1].end()
    if (turn[end:].strip() and not cut) or last_boxed(_BLOCK.sub("", turn[:end])):
        return None
    return "\n".join(block[1] for block in blocks), turn[:end].rstrip()


def with_earlier(program: str, earlier: Sequence[str]) -> str:
    """`program` after the `earlier` ones have run in its name space without printing."""
    if not earlier:
        return program
    silent = "".join(f"    exec({source!r}, globals())\n" for source in earlier)
    return (
        "import contextlib as _contextlib, io as _io\n"
        f"with _contextlib.redirect_stdout(_io.StringIO()):\n{silent}{program}"
    )


def _execute(
    programs: list[str], settings: dict[str, Any], journal: io.Journal | None
) -> list[tuple[bool, str]]:
    """(succeeded, output block) per program. Results in the journal are not computed again."""
    limits = {name: settings[name] for name in ("seconds", "memory_mb", "output_characters")}
    keys = [io.digest([program, limits], 32) for program in programs]
    known: dict[str, dict[str, Any]] = dict(journal.records) if journal else {}
    missing = {k: p for k, p in zip(keys, programs, strict=True) if k not in known}
    records = []
    for key, done in zip(missing, run_programs(list(missing.values()), settings), strict=True):
        succeeded = done.status in ("ok", "no_output")
        parts = [done.output.strip()]
        if not succeeded:
            named = re.match(r"[\w.]*(?:Error|Exception|Interrupt)\b", done.error)
            kind = "TimeoutError" if done.status == "timeout" else "Error"
            parts.append(done.error if named else f"{kind}: {done.error}")
        shown = "\n".join(part for part in parts if part).replace("```", "'''")
        records.append({"key": key, "succeeded": succeeded, "output": shown})
    if journal:
        journal.append(records)
    results = known | {str(record["key"]): record for record in records}
    return [(results[key]["succeeded"], results[key]["output"]) for key in keys]


def answer_with_programs(
    engine: Engine,
    requests: Sequence[Request],
    sampling: Sampling,
    seed: int,
    *,
    rounds: int,
    execution: dict[str, Any],
    context: int,
    cut: bool = False,
    state: Path | None = None,
) -> list[Attempt]:
    """Answer all requests, one batch of generation and one of execution per round.

    `execution`: the settings of `programs.run_programs`; `context`: the model's longest input in
    tokens, an answer that fills it ends as "length"; `state`: directory for the journals. Errors
    and timeouts of a program go back to the model as its output.
    """
    attempts = [Attempt(request.request_id, request.prompt) for request in requests]
    active = attempts
    journal = io.Journal(state / "executions.jsonl", "key") if state else None
    try:
        for turn in range(1, rounds + 1):
            turns = _generate(engine, active, sampling, seed, turn, context, state)
            asking = []
            for attempt in active:
                generated = turns.get(attempt.request_id)
                if generated is None:
                    attempt.finish_reason = "length"
                    continue
                program, kept = requested_program(generated.text, cut=cut) or ("", generated.text)
                attempt.add(generated, kept)
                if program:
                    asking.append((attempt, program))
            programs = [with_earlier(program, a.succeeded) for a, program in asking]
            results = _execute(programs, execution, journal) if programs else []
            for (attempt, program), (ok, output) in zip(asking, results, strict=True):
                attempt.text += f"\n```output\n{output}\n```\n"
                if ok:
                    attempt.succeeded.append(program)
                attempt.finish_reason = "rounds"
            active = [attempt for attempt, _ in asking]
            if not active:
                break
    finally:
        if journal:
            journal.close()
    return attempts


def _generate(
    engine: Engine,
    active: Sequence[Attempt],
    sampling: Sampling,
    seed: int,
    turn: int,
    context: int,
    state: Path | None,
) -> dict[str, Generated]:
    """One turn of every active attempt that still has room, keyed by request_id."""
    fresh = {}
    for attempt in active:
        prompt = attempt.prompt + attempt.text
        if turn == 1 or len(engine.tokenizer(prompt)["input_ids"]) + 1 < context:
            fresh[f"{attempt.request_id}/{turn}"] = Request(f"{attempt.request_id}/{turn}", prompt)
    if not fresh:
        return {}
    journal = state / "turns.jsonl" if state else None
    what = f"round {turn}: answering"
    done = generate_journalled(engine, list(fresh.values()), sampling, seed, journal, what)
    return {key.rsplit("/", 1)[0]: generated for key, generated in done.items()}
