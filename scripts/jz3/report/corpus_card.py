"""The data card of a synthetic corpus: what is in it, what was left out, what it is good for.

`summary` counts; `rules/report/corpus_card.j2` makes a page of it, or a part of the report.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from ..io import UserError, digest, read_json
from ..tables.text_table import Grid

SHOWN = 3
# Why a problem was left out, in the words of a reader (statuses of records.PROBLEMS).
REASONS = {
    "truncated": "cut off at the token limit",
    "unparsed": "no problem and solution found in the text",
    "incomplete": "question, solution or final answer missing",
    "asks_nothing": "a statement, not a problem",
    "not_self_contained": "needs a figure, a table or a text that is not there",
    "several": "more than one problem",
    "other_language": "not in English",
    "too_short": "too few words",
    "too_long": "too many words",
    "repetitive": "repeats itself",
    "markers": "words of a chat, a prompt or a template in it",
    "echo": "the prompt's own text",
    "answer_in_question": "the question says its answer",
    "encoding": "traces of a wrong encoding",
    "refusal": "a refusal",
    "latex": "LaTeX that does not close",
    "personal_data": "an address or a number of a person",
    "not_executed": "its program failed",
    "disagrees": "its answer differs from what its program prints",
    "duplicate": "near-copy of another problem",
    "same_template": "one more of a template that has enough",
    "contaminated": "repeats a test question, reworded or with other numbers included",
}
Row = dict[str, Any]


def summary(
    recipe: Row, kept: Sequence[Row], rejected: Sequence[Row], report: Row
) -> dict[str, Any]:
    """The facts of a corpus, as JSON can hold them.

    recipe: {"corpus": name, ...settings of `corpora[name]`}; kept, rejected: rows of
    `records.PROBLEMS`; report: the funnel that filter_problems wrote.
    """
    reasons = Counter(row["status"] for row in rejected)
    return {
        "corpus": recipe["corpus"],
        "mode": recipe["mode"],
        "filters": recipe.get("filters", []),
        "kept": len(kept),
        "written": len(kept) + len(rejected),
        "passages": len({row["passage_id"] for row in kept}),
        "reasons": [
            {"status": status, "problems": reasons[status]}
            for status in [*REASONS, *sorted(set(reasons) - set(REASONS))]
            if reasons[status]
        ],
        "level": _groups("level", kept, rejected),
        "source": _groups("source", kept, rejected),
        "lengths": _lengths(kept),
        "settings": _flat({key: value for key, value in recipe.items() if key != "corpus"}),
        "report": _flat(report),
        "examples": [_example(row) for row in _choose(kept)],
        "rejected_examples": [
            _example(row) for row in _choose(rejected, lambda row: str(row["status"]))
        ],
    }


def read(path: str | Path) -> dict[str, Any]:
    """A summary that `data_card` wrote. Raises UserError if the file is none."""
    card = read_json(path)
    if not isinstance(card, dict) or not {"corpus", "written", "reasons"} <= card.keys():
        raise UserError(f"{path}: not the facts of a data card. Delete it and rerun.")
    return card


def _groups(key: str, kept: Sequence[Row], rejected: Sequence[Row]) -> list[Row]:
    stays = Counter(row[key] for row in kept)
    leaves = Counter(row[key] for row in rejected)
    return [
        {"group": name, "kept": stays[name], "left_out": leaves[name]}
        for name in sorted(stays | leaves)
    ]


def _lengths(kept: Sequence[Row]) -> list[Row]:
    columns = {
        "question, characters": [len(row["question"] or "") for row in kept],
        "solution, characters": [len(row["solution"] or "") for row in kept],
        "written text, tokens": [
            row["completion_tokens"] for row in kept if row["completion_tokens"] is not None
        ],
    }
    return [
        {
            "what": name,
            "shortest": min(values),
            "median": median(values),
            "mean": mean(values),
            "95 % below": sorted(values)[min(len(values) - 1, int(0.95 * len(values)))],
            "longest": max(values),
        }
        for name, values in columns.items()
        if values
    ]


def _flat(value: object, name: str = "") -> list[list[str]]:
    """Nested settings or counts as (dotted name, value); long lists by their length."""
    if isinstance(value, dict):
        return [
            row
            for key, inner in value.items()
            for row in _flat(inner, f"{name}.{key}" if name else str(key))
        ]
    if isinstance(value, list) and (len(value) > 12 or any(isinstance(v, dict) for v in value)):
        return [[name, f"{len(value)} entries"]]
    if isinstance(value, list):
        return [[name, ", ".join(map(str, value))]]
    return [[name, f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)]]


def _choose(rows: Sequence[Row], kind: Callable[[Row], str] = lambda row: "") -> list[Row]:
    """Three rows by hash of their identity; no kind comes twice while another is left."""
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, int, Row]] = []
    for row in sorted(rows, key=lambda row: digest(["card", row["problem_id"]])):
        ranked.append((seen[kind(row)], len(ranked), row))
        seen[kind(row)] += 1
    return [row for *_, row in sorted(ranked, key=lambda item: item[:2])[:SHOWN]]


def _example(row: Row) -> dict[str, str]:
    why = "" if row["status"] == "kept" else f", {row['status']}"
    if row["duplicate_of"]:
        why += f" of {row['duplicate_of']}"
    if row["contaminated_by"]:
        why += f" by {row['contaminated_by']}"
    texts = ("question", "solution", "answer")
    shown = texts if row["question"] else ("completion",)  # nothing was recognised in it
    head = f"{row['problem_id']} ({row['level']}, {row['source']}{why})"
    return {"head": head} | {key: row[key] or "" for key in shown}


# ---------------------------------------------------------------- for readers


def tables(card: dict[str, Any]) -> dict[str, Grid]:
    """The tables of a card, by name; without rows where there is nothing to count."""
    written, kept = card["written"], card["kept"]
    funnel = [("written", written)] if written else []
    for reason in card["reasons"]:
        status = reason["status"]
        label = f"{status}: {REASONS[status]}" if status in REASONS else status
        funnel.append((label, reason["problems"]))
    funnel += [("kept", kept)] if written else []
    lengths = ["what", "shortest", "median", "mean", "95 % below", "longest"]
    rows = {
        "funnel": [[what, f"{n:,}", f"{100 * n / written:.1f} %"] for what, n in funnel],
        "lengths": [
            [row["what"], *(f"{row[name]:,.0f}" for name in lengths[1:])] for row in card["lengths"]
        ],
        "settings": card["settings"],
        "report": card["report"],
    }
    headers = {
        "funnel": ["what", "problems", "share"],
        "lengths": lengths,
        "settings": ["setting", "value"],
        "report": ["count", "value"],
    }
    for key in ("level", "source"):
        headers[key] = [key, "kept", "left out", "share kept"]
        rows[key] = [
            [row["group"], f"{row['kept']:,}", f"{row['left_out']:,}",
             f"{100 * row['kept'] / (row['kept'] + row['left_out']):.0f} %"]
            for row in card[key]
        ]  # fmt: skip
    return {name: Grid(name, headers[name], rows[name]) for name in rows}
