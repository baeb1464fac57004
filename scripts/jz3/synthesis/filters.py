"""Which synthetic problems are kept: whole, executed, new, and not from a test set.

The paper names the filter against test sets without its method; the release has none. Ours:
duplicates by exact Jaccard similarity of word shingles, found through MinHash (Broder 1997);
contamination by n-grams of words shared with a test question. A question is cut into words once
for both.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from .filter_names import named

_WORD = re.compile(r"[^\W_]+")
_SHORTEST = 3  # words; a shorter test question says nothing by being contained
_ROWS_PER_BAND = 4  # at similarity 0.7 and 128 permutations, 2 pairs in 10,000 are missed
_TOGETHER = 100_000  # questions hashed at once


def words(text: str) -> list[str]:
    """The words and numbers of a text, in lower case and compatibility form."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def shingles(tokens: Sequence[str], size: int) -> frozenset[str]:
    """All runs of `size` words; a shorter text is one shingle."""
    if len(tokens) <= size:
        return frozenset([" ".join(tokens)])
    return frozenset(" ".join(tokens[i : i + size]) for i in range(len(tokens) - size + 1))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared shingles over all shingles of two texts."""
    both = len(one & other)
    return both / (len(one) + len(other) - both)


# ---------------------------------------------------------------- duplicates


def find_duplicates(
    ids: Sequence[str],
    texts: Sequence[str],
    *,
    similarity: float,
    shingle: int,
    permutations: int,
    seed: int,
) -> dict[str, str]:
    """Map each duplicate's id to the id it duplicates.

    `texts` are words joined by spaces. Taken in the order of their ids, a text is kept unless its
    Jaccard similarity to one kept before reaches `similarity`; the first such is what it
    duplicates. So the smallest id stays, and the order of the rows plays no part.
    """
    order = sorted(range(len(ids)), key=lambda row: ids[row])
    first_of: dict[str, int] = {}
    alike: dict[int, int] = {}  # exact copies, and the row they copy
    for row in order:
        if first_of.setdefault(texts[row], row) != row:
            alike[row] = first_of[texts[row]]
    distinct = list(first_of.values())
    near = _near_duplicates(
        [texts[row] for row in distinct], similarity, shingle, permutations, seed
    )
    nearest = {distinct[a]: distinct[b] for a, b in near.items()}
    copies = {row: nearest.get(first, first) for row, first in alike.items()}
    return {ids[row]: ids[kept] for row, kept in (nearest | copies).items()}


def _near_duplicates(
    texts: Sequence[str], similarity: float, shingle: int, permutations: int, seed: int
) -> dict[int, int]:
    """Duplicates among distinct texts, by place; the texts come in the order of their ids."""
    bands = _shared_bands(texts, shingle, permutations, seed)
    kept_in: dict[tuple[int, int], list[int]] = defaultdict(list)
    duplicate_of: dict[int, int] = {}
    for row, keys in bands:
        own = shingles(texts[row].split(), shingle)
        candidates = {other for key in keys for other in kept_in[key]}
        for other in sorted(candidates):
            if jaccard(own, shingles(texts[other].split(), shingle)) >= similarity:
                duplicate_of[row] = other
                break
        else:
            for key in keys:
                kept_in[key].append(row)
    return duplicate_of


def _shared_bands(
    texts: Sequence[str], shingle: int, permutations: int, seed: int
) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Rows that share a band of their MinHash with another row, and those bands."""
    if len(texts) < 2:
        return
    import numpy as np
    from rensa import RMinHash

    parts = []
    for start in range(0, len(texts), _TOGETHER):
        batch = texts[start : start + _TOGETHER]
        sets = [sorted(shingles(text.split(), shingle)) for text in batch]
        matrix = RMinHash.digest_matrix_from_token_sets(sets, permutations, seed)
        parts.append(np.asarray(matrix.to_rows(), dtype=np.uint32))
    digests = np.concatenate(parts)
    used = permutations - permutations % _ROWS_PER_BAND
    shared = []
    for band in range(used // _ROWS_PER_BAND):
        columns = digests[:, band * _ROWS_PER_BAND : (band + 1) * _ROWS_PER_BAND]
        _, group, counts = np.unique(columns, axis=0, return_inverse=True, return_counts=True)
        group = group.reshape(-1)
        shared.append(np.where(counts[group] > 1, group, -1))
    table = np.stack(shared, axis=1)
    for row in np.nonzero((table >= 0).any(axis=1))[0]:
        keys = [(band, int(group)) for band, group in enumerate(table[row]) if group >= 0]
        yield int(row), keys


# ---------------------------------------------------------------- contamination


class TestQuestions:
    """Word n-grams of test questions, and whole questions shorter than that."""

    __test__ = False  # for pytest: not a test

    def __init__(self, questions: Iterable[tuple[str, str]], ngram: int):
        """`questions`: ("benchmark:problem_id", question) pairs."""
        self.ngram = ngram
        self._known: dict[int, dict[str, str]] = defaultdict(dict)  # by number of words
        for name, question in sorted(questions):
            tokens = words(question)
            size = min(ngram, len(tokens))
            if size >= min(_SHORTEST, ngram):
                for run in shingles(tokens, size):
                    self._known[size].setdefault(run, name)

    def found_in(self, tokens: Sequence[str]) -> str | None:
        """The name of a test question that shares an n-gram with the text, or is part of it."""
        for size in sorted(self._known, reverse=True):
            known = self._known[size]
            for start in range(len(tokens) - size + 1):
                name = known.get(" ".join(tokens[start : start + size]))
                if name is not None:
                    return name
        return None


# ---------------------------------------------------------------- the filters


class FilterRow(TypedDict):
    """The columns of a problem that filters read and set; solution: its first character will do."""

    problem_id: str
    question: str
    solution: str
    answer: str
    finish_reason: str
    parsed: bool | None
    executed: bool | None
    answer_agrees: bool | None
    duplicate_of: str | None
    contaminated_by: str | None
    status: str


class Recipe(TypedDict):
    """Filters in their order, each a name or {name: its limit}, and the settings they share.

    ngram: words; permutations: of MinHash; similarity: Jaccard, 0 to 1; shingle: words.
    """

    filters: Sequence[str | Mapping[str, float]]
    ngram: int
    permutations: int
    similarity: float
    shingle: int


@dataclass(frozen=True)
class Corpus:
    """What filters know beside the rows that are still kept; cut: words of each kept question."""

    cut: Mapping[str, str]
    questions: TestQuestions
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class Filter:
    """A check of problems. It sets the status of rows that it rejects to one of `statuses`.

    reject: called with the rows kept so far, and the limit that the recipe gives it (0: none).
    """

    statuses: tuple[str, ...]
    reject: Callable[[Sequence[FilterRow], Corpus, float], None]


def each_row(
    check: Callable[[FilterRow, float], str | None],
) -> Callable[[Sequence[FilterRow], Corpus, float], None]:
    """`Filter.reject` of a check that sees one row at a time; it returns a status, or None."""

    def reject(kept: Sequence[FilterRow], corpus: Corpus, limit: float) -> None:
        for row in kept:
            row["status"] = check(row, limit) or row["status"]

    return reject


def _incomplete(row: FilterRow, _: float) -> str | None:
    if row["finish_reason"] != "stop":
        return "truncated"
    whole = all(text.strip() for text in (row["question"], row["solution"], row["answer"]))
    return None if whole else "incomplete"


def _duplicates(kept: Sequence[FilterRow], corpus: Corpus, _: float) -> None:
    ids, recipe = [row["problem_id"] for row in kept], corpus.recipe
    found = find_duplicates(
        ids,
        [corpus.cut[problem] for problem in ids],
        similarity=recipe["similarity"],
        shingle=recipe["shingle"],
        permutations=recipe["permutations"],
        seed=corpus.seed,
    )
    for row in kept:
        row["duplicate_of"] = found.get(row["problem_id"])
        if row["duplicate_of"]:
            row["status"] = "duplicate"


def _contaminated(kept: Sequence[FilterRow], corpus: Corpus, _: float) -> None:
    for row in kept:
        row["contaminated_by"] = corpus.questions.found_in(corpus.cut[row["problem_id"]].split())
        if row["contaminated_by"]:
            row["status"] = "contaminated"


FILTERS = {
    "parsed": Filter(("unparsed",), each_row(lambda row, _: None if row["parsed"] else "unparsed")),
    "complete": Filter(("truncated", "incomplete"), each_row(_incomplete)),
    "executed": Filter(
        ("not_executed",), each_row(lambda row, _: None if row["executed"] else "not_executed")
    ),
    "answer_agrees": Filter(
        ("disagrees",), each_row(lambda row, _: None if row["answer_agrees"] else "disagrees")
    ),
    "duplicate": Filter(("duplicate",), _duplicates),
    "contaminated": Filter(("contaminated",), _contaminated),
}


# ---------------------------------------------------------------- the funnel


# What a filter got, rejected and passed on, in problems.
Step = TypedDict("Step", {"in": int, "rejected": int, "out": int})


class Funnel(TypedDict):
    """Counts of problems: by filter ("1 parsed", in order), by status, by benchmark."""

    written: int
    kept: int
    filters: dict[str, Step]
    rejected: dict[str, int]
    contamination: dict[str, int]


def apply_filters(
    rows: Sequence[FilterRow],
    test_questions: Iterable[tuple[str, str]],
    recipe: Recipe,
    seed: int,
) -> Funnel:
    """Set `status`, `duplicate_of` and `contaminated_by` of rows; return the funnel.

    A row that came rejected stays so, whatever the filters: a truncated or unparsed completion is
    never kept. Raises UserError for a filter that does not exist.
    """
    chosen = [named(entry) for entry in recipe["filters"]]
    # Joined, words take a tenth of the memory that lists of them do.
    cut = {
        row["problem_id"]: " ".join(words(row["question"]))
        for row in rows
        if row["status"] == "kept"
    }
    corpus = Corpus(cut, TestQuestions(test_questions, recipe["ngram"]), recipe, seed)
    inside = list(rows)
    steps: dict[str, Step] = {}

    def leave(name: str, statuses: Iterable[str]) -> list[FilterRow]:
        out = [row for row in inside if row["status"] not in statuses]
        steps[f"{len(steps) + 1} {name}"] = {
            "in": len(inside),
            "rejected": len(inside) - len(out),
            "out": len(out),
        }
        return out

    # What came rejected for a reason that no filter of the recipe stands for leaves first.
    own = {status for name, _ in chosen for status in FILTERS[name].statuses}
    if earlier := {row["status"] for row in rows} - own - {"kept"}:
        inside = leave("earlier", earlier)
    for name, limit in chosen:
        FILTERS[name].reject([row for row in inside if row["status"] == "kept"], corpus, limit)
        inside = leave(name, FILTERS[name].statuses)
    benchmarks = Counter(
        row["contaminated_by"].split(":", 1)[0] for row in rows if row["contaminated_by"]
    )
    statuses = Counter(row["status"] for row in rows)
    kept = statuses.pop("kept", 0)
    return {
        "written": len(rows),
        "kept": kept,
        "filters": steps,
        "rejected": dict(sorted(statuses.items())),
        "contamination": dict(sorted(benchmarks.items())),
    }
