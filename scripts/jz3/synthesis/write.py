"""A synthesizer writes problems: its completions, and what is read in them.

Paper, sections 3.3 (candidates for the value estimate) and 3.4 (synthesis at scale).
"""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from .. import io, records
from ..generation import Generated, Request, Sampling, Settings, generate_journalled
from ..generation.engines import open_engine
from ..program import work_key
from ..prompts import answer_of, parse_completion


class Recipe(Settings):
    """How a synthesizer writes: an engine's settings, and how it samples."""

    sampling: dict[str, Any]


def problem_row(prompt: records.Prompt, generated: Generated) -> records.Problem:
    """The row of a completion; `status` is kept, truncated or unparsed so far."""
    parts = parse_completion(generated.text, prompt["mode"])
    question, solution = parts or ("", "")
    if generated.finish_reason != "stop":
        status = "truncated"
    else:
        status = "kept" if parts else "unparsed"
    return {
        "passage_id": prompt["passage_id"],
        "source": prompt["source"],
        "level": prompt["level"],
        "mode": prompt["mode"],
        "prompt": prompt["prompt"],
        "problem_id": records.problem_id(question, prompt["request_id"]),
        "question": question,
        "solution": solution,
        "answer": answer_of(solution),
        "completion": generated.text,
        "finish_reason": generated.finish_reason,
        "completion_tokens": generated.completion_tokens,
        "parsed": parts is not None,
        "executed": None,
        "answer_agrees": None,
        "duplicate_of": None,
        "contaminated_by": None,
        "status": status,
    }


def write_problems(
    prompts: list[records.Prompt],
    synthesizer: str | Path,
    recipe: Recipe,
    seed: int,
    journal_path: str | Path | None,
    what: str,
) -> list[records.Problem]:
    """Have the synthesizer answer all prompts; rows come in the prompts' order."""
    requests = [Request(row["request_id"], row["prompt"]) for row in prompts]
    sampling = Sampling(**recipe["sampling"])
    with closing(open_engine(synthesizer, recipe)) as engine:
        done = generate_journalled(engine, requests, sampling, seed, journal_path, what)
    return [problem_row(row, done[row["request_id"]]) for row in prompts]


def journal_in(
    state: Path | None, recipe: dict[str, Any], inputs: Iterable[str | Path], code: str, seed: int
) -> Path | None:
    """The journal in a `--state` directory, emptied where anything it depends on has changed.

    recipe: what of it can change bytes.
    """
    if state is None:
        return None
    key = work_key(recipe=recipe, inputs=inputs, code=code, seed=seed)
    return io.resume_directory(state, key) / "completions.jsonl"


def count_statuses(rows: Iterable[records.Problem]) -> str:
    """`120 kept, 8 truncated, 3 unparsed`, for the log."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    return ", ".join(f"{counts[status]} {status}" for status in sorted(counts))
