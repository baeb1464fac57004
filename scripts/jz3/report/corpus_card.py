"""The data card of a synthetic corpus: what is in it, what was left out, what it is good for."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import mean, median

from ..io import digest
from ..tables.text_table import escape_markdown

SHOWN = 3
# Why a problem was left out, in the words of a reader (statuses of records.PROBLEMS).
REASONS = {
    "truncated": "cut off at the token limit",
    "unparsed": "no problem and solution found in the text",
    "incomplete": "question, solution or final answer missing",
    "not_executed": "its program failed",
    "disagrees": "its answer differs from what its program prints",
    "duplicate": "near-copy of another problem",
    "contaminated": "shares a word sequence with a test question",
}
_KIND = {
    "cot": "step-by-step solutions in natural language",
    "tool": "solutions by Python programs",
}


def card(recipe: dict, kept: Sequence[dict], rejected: Sequence[dict], report: dict) -> str:
    """Markdown card of a corpus.

    recipe: {"corpus": name, ...settings of `corpora[name]`}; kept, rejected: rows of
    `records.PROBLEMS`; report: the funnel that filter_problems wrote.
    """
    name, mode = recipe["corpus"], recipe["mode"]
    total = len(kept) + len(rejected)
    passages = len({row["passage_id"] for row in kept})
    share = f" ({100 * len(kept) / total:.1f} %)" if total else ""
    blocks = [
        f"# Data card: corpus {escape_markdown(name)}",
        f"{len(kept):,} of {total:,} written problems{share} were kept: mathematics problems with"
        f" {_KIND[mode]}, from {passages:,} passages of text. A language model wrote them; no"
        " person has checked them.",
        "## What became of the problems",
        _funnel(kept, rejected),
        "## Levels and sources",
        *(_groups(key, kept, rejected) for key in ("level", "source")),
        "## Lengths of the kept problems",
        _lengths(kept),
        "## Settings",
        _table(["setting", "value"], _flat({k: v for k, v in recipe.items() if k != "corpus"})),
        "## The filter's report",
        _table(["count", "value"], _flat(report)),
        "## Three kept problems",
        "Chosen by a hash of their identity, not by eye.",
        *(_example(row) for row in _choose(kept)),
    ]
    if rejected:
        blocks += ["## Problems left out", "Chosen by hash, different reasons first."]
        blocks += [_example(row) for row in _choose(rejected, lambda row: row["status"])]
    blocks += [_USE, _limits(recipe), _LICENCE]
    return "\n\n".join(blocks) + "\n"


_USE = """## Intended use

Training language models to solve mathematics problems, and studying how such data are made."""


def _limits(recipe: dict) -> str:
    """What this corpus does not promise, given the checks that it went through."""
    filters = recipe.get("filters", [])
    if recipe["mode"] == "tool" and {"executed", "answer_agrees"} <= set(filters):
        checked = (
            "Each kept program ran and printed the answer that is stated. That the program solves"
            " the problem as asked is not verified."
        )
    elif recipe["mode"] == "tool" and "executed" in filters:
        checked = (
            "Each kept program ran; the stated answer is what it printed. That the program solves"
            " the problem as asked is not verified."
        )
    else:
        checked = "Solutions are not verified: reasoning and answer may be wrong."
    if "contaminated" in filters:
        tests = (
            "Questions that share a long word sequence with a test question of this run's"
            " benchmarks were left out. A reworded test question would not be noticed, nor one of"
            " another benchmark."
        )
    else:
        tests = "Nothing was compared with the benchmarks: test questions may be among these."
    points = [
        checked,
        "The writer is a language model: statements of fact in a problem can be wrong, and topics"
        " follow the passages it was given.",
        tests,
        "It is not a test set: nobody has agreed on its answers.",
    ]
    return "## Limits\n\n" + "\n".join(f"- {point}" for point in points)


_LICENCE = """## Licence notes

Each problem was written from a passage of a source named above and may take over phrases of it:
the terms of the sources apply, as do those of the model that wrote the problems and of the teacher
that the model learnt from. The configuration of the run names all of them."""


def _table(header: list[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "(none)"
    rule = ["---"] + ["---:"] * (len(header) - 1)
    body = [[escape_markdown(str(text)) for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *body])


def _funnel(kept: Sequence[dict], rejected: Sequence[dict]) -> str:
    counts = Counter(row["status"] for row in rejected)
    total = len(kept) + len(rejected)
    order = [*REASONS, *sorted(set(counts) - set(REASONS))]
    rows = [["written", f"{total:,}", "100.0 %"]] if total else []
    for status in order:
        if counts[status]:
            label = f"{status}: {REASONS[status]}" if status in REASONS else status
            rows.append([label, f"{counts[status]:,}", f"{100 * counts[status] / total:.1f} %"])
    if total:
        rows.append(["kept", f"{len(kept):,}", f"{100 * len(kept) / total:.1f} %"])
    return _table(["what", "problems", "share"], rows)


def _groups(key: str, kept: Sequence[dict], rejected: Sequence[dict]) -> str:
    stays = Counter(row[key] for row in kept)
    leaves = Counter(row[key] for row in rejected)
    rows = [
        [name, f"{stays[name]:,}", f"{leaves[name]:,}",
         f"{100 * stays[name] / (stays[name] + leaves[name]):.0f} %"]
        for name in sorted(stays | leaves)
    ]  # fmt: skip
    return _table([key, "kept", "left out", "share kept"], rows)


def _lengths(kept: Sequence[dict]) -> str:
    columns = {
        "question, characters": [len(row["question"] or "") for row in kept],
        "solution, characters": [len(row["solution"] or "") for row in kept],
        "written text, tokens": [
            row["completion_tokens"] for row in kept if row["completion_tokens"] is not None
        ],
    }
    rows = []
    for name, values in columns.items():
        if values:
            ninth = sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]
            numbers = (min(values), median(values), mean(values), ninth, max(values))
            rows.append([name, *(f"{value:,.0f}" for value in numbers)])
    return _table(["what", "shortest", "median", "mean", "95 % below", "longest"], rows)


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


def _choose(rows: Sequence[dict], kind: Callable[[dict], str] = lambda row: "") -> list[dict]:
    """Three rows by hash of their identity; no kind comes twice while another is left."""
    seen: Counter[str] = Counter()
    ranked = []
    for row in sorted(rows, key=lambda row: digest(["card", row["problem_id"]])):
        ranked.append((seen[kind(row)], len(ranked), row))
        seen[kind(row)] += 1
    return [row for *_, row in sorted(ranked, key=lambda item: item[:2])[:SHOWN]]


def _example(row: dict) -> str:
    why = "" if row["status"] == "kept" else f", {row['status']}"
    if row["duplicate_of"]:
        why += f" of {row['duplicate_of']}"
    if row["contaminated_by"]:
        why += f" by {row['contaminated_by']}"
    head = f"### {row['problem_id']} ({row['level']}, {row['source']}{why})"
    if not row["question"]:  # nothing was recognised in it
        return f"{_heading(head)}\n\n{_fence(row['completion'] or '(empty)')}"
    parts = [_heading(head), "Problem:", _fence(row["question"])]
    parts += ["Solution:", _fence(row["solution"] or "(empty)")]
    if row["answer"]:
        parts += ["Answer:", _fence(row["answer"])]
    return "\n\n".join(parts)


def _heading(text: str) -> str:
    return "### " + escape_markdown(text.removeprefix("### "))


def _fence(text: str) -> str:
    """The text as it is, in a fence longer than any run of backticks inside it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
