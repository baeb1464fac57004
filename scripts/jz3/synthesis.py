"""From passages to problems: which prompts a synthesizer gets, and what is read in its answers.

Paper, sections 3.3 (candidates for the value estimate) and 3.4 (synthesis at scale).
"""

import heapq
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from . import io, records
from .generation import Generated, Request, Sampling, generate_journalled, open_engine
from .prompts import answer_of, fill, parse_completion


def draw_pairs(
    passage_ids: Iterable[str], levels: Iterable[str], count: int, seed: int
) -> list[tuple[str, str]]:
    """Draw `count` of all (passage, level) pairs at random; 0: all of them, in random order.

    The draw depends on the seed and the pairs only: raising `count` adds pairs and keeps the
    earlier ones, and the order of the passages plays no part.
    """
    levels = list(levels)
    keyed = (
        (io.digest([seed, "synthesis", passage, level]), passage, level)
        for passage in passage_ids
        for level in levels
    )
    chosen = heapq.nsmallest(count, keyed) if count else sorted(keyed)
    return [(passage, level) for _, passage, level in chosen]


def shard_of(pairs: list[tuple[str, str]], shard: int, shards: int) -> list[tuple[str, str]]:
    """The pairs of one shard, 0 <= shard < shards: every `shards`-th, from the drawn order."""
    if not 0 <= shard < shards:
        raise io.UserError(f"shard {shard} of {shards}: shards are counted 0 to {shards - 1}.")
    return pairs[shard::shards]


def draw_candidates(
    passage_ids: Iterable[str],
    excluded: Iterable[str],
    levels: Iterable[str],
    count: int,
    seed: int,
) -> list[tuple[str, str]]:
    """Draw `count` passages that are not excluded, each with one level drawn at random."""
    levels, left_out = sorted(levels), set(excluded)
    keyed = (
        (io.digest([seed, "candidates", passage]), passage)
        for passage in passage_ids
        if passage not in left_out
    )
    return [
        (passage, io.rng(seed, "candidate level", passage).choice(levels))
        for _, passage in heapq.nsmallest(count, keyed)
    ]


def build_prompts(
    passages: pa.Table, pairs: list[tuple[str, str]], templates: dict[str, str], mode: str
) -> list[dict[str, Any]]:
    """PROMPTS rows of the pairs. `passages` has the columns passage_id, source and text."""
    wanted = {passage for passage, _ in pairs}
    texts = {}
    columns = passages.select(["passage_id", "source", "text"])
    for batch in columns.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            if row["passage_id"] in wanted:
                texts[row["passage_id"]] = row
    rows = []
    for passage, level in pairs:
        prompt = fill(templates[level], texts[passage]["text"])
        rows.append(
            {
                "request_id": io.digest([passage, level, mode, prompt]),
                "passage_id": passage,
                "source": texts[passage]["source"],
                "level": level,
                "mode": mode,
                "prompt": prompt,
            }
        )
    return rows


def problem_row(prompt: dict[str, Any], generated: Generated) -> dict[str, Any]:
    """The PROBLEMS row of a completion; `status` is kept, truncated or unparsed so far."""
    parts = parse_completion(generated.text, prompt["mode"])
    question, solution = parts or ("", "")
    if generated.finish_reason != "stop":
        status = "truncated"
    else:
        status = "kept" if parts else "unparsed"
    return {
        **{key: prompt[key] for key in ("passage_id", "source", "level", "mode", "prompt")},
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
    prompts: list[dict[str, Any]],
    synthesizer: str | Path,
    recipe: dict[str, Any],
    seed: int,
    journal_path: str | Path | None,
    what: str,
) -> list[dict[str, Any]]:
    """Have the synthesizer answer all prompts: PROBLEMS rows, in the prompts' order."""
    requests = [Request(row["request_id"], row["prompt"]) for row in prompts]
    sampling = Sampling(**recipe["sampling"])
    engine = open_engine(synthesizer, recipe)
    done = generate_journalled(engine, requests, sampling, seed, journal_path, what)
    return [problem_row(row, done[row["request_id"]]) for row in prompts]


def journal_in(
    state: Path | None, recipe: dict[str, Any], inputs: Iterable[str | Path], code: str, seed: int
) -> Path | None:
    """The journal in a `--state` directory, emptied where anything it depends on has changed."""
    if state is None:
        return None
    key = {
        "recipe": recipe,
        "inputs": [io.file_digest(path) for path in inputs],
        "code": code,
        "seed": seed,
    }
    return io.resume_directory(state, key) / "completions.jsonl"


def count_statuses(rows: Iterable[dict[str, Any]]) -> str:
    """`120 kept, 8 truncated, 3 unparsed`, for the log."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    return ", ".join(f"{counts[status]} {status}" for status in sorted(counts))
