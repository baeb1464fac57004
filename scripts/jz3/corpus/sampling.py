"""Which passages become prompts: draws by hash, so that order and file layout play no part.

Passages are read piece by piece: a pool of any size takes the memory of its identities.
"""

import heapq
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any, TypedDict

from .. import io, records
from ..prompts import fill


class PassageText(TypedDict):
    """The columns of a passage that a prompt is made from."""

    passage_id: str
    source: str
    text: str


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


def drawn_level(seed: int, what: str, passage: str, levels: Iterable[str]) -> str:
    """The level that comes first in an order of the passage's own.

    So one more level takes only the passages that it is drawn for, and one fewer gives only its
    own to the others: of n levels, an n-th of the passages; the rest stays as it was, and paid for.
    """
    return min(levels, key=lambda level: io.digest([seed, what, passage, level]))


def draw_candidates(
    passage_ids: Iterable[str],
    excluded: Iterable[str],
    levels: Iterable[str],
    count: int,
    seed: int,
) -> list[tuple[str, str]]:
    """Draw `count` passages that are not excluded, each with one level drawn at random."""
    levels, left_out = list(levels), set(excluded)
    keyed = (
        (io.digest([seed, "candidates", passage]), passage)
        for passage in passage_ids
        if passage not in left_out
    )
    return [
        (passage, drawn_level(seed, "candidate level", passage, levels))
        for _, passage in heapq.nsmallest(count, keyed)
    ]


def passage_ids(path: str | Path) -> Iterator[str]:
    """Identities of all passages of a table, in its order."""
    for piece in io.scan_table(path, records.PASSAGES, ["passage_id"]):
        yield from piece["passage_id"].to_pylist()


def passages_of(path: str | Path, wanted: Container[str]) -> dict[str, PassageText]:
    """Some passages of a table, by passage_id."""
    found: dict[str, PassageText] = {}
    for piece in io.scan_table(path, records.PASSAGES, ["passage_id", "source", "text"]):
        for row in piece.to_pylist():
            if row["passage_id"] in wanted:
                found[row["passage_id"]] = row
    return found


def prompt_row(passage: PassageText, level: str, mode: str, template: str) -> records.Prompt:
    """The row of a passage in the prompt of its level."""
    prompt = fill(template, passage["text"])
    return {
        "request_id": io.digest([passage["passage_id"], level, mode, prompt]),
        "passage_id": passage["passage_id"],
        "source": passage["source"],
        "level": level,
        "mode": mode,
        "prompt": prompt,
    }


def random_picks(
    ids: Iterable[str], levels: list[str], count: int, seed: int
) -> list[dict[str, Any]]:
    """The first `count` passages in an order drawn by hash, each at a level drawn by hash.

    The order depends on the seed and the passages' identity only, so a longer list starts with
    the shorter one, and all distillations of a run draw from the same order.
    """
    drawn = heapq.nsmallest(
        count, ((io.rng(seed, "pick", passage).random(), passage) for passage in ids)
    )
    return [
        {
            "passage_id": passage,
            "level": drawn_level(seed, "level", passage, levels),
            "score": None,
        }
        for _, passage in drawn
    ]
