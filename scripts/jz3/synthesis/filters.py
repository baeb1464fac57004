"""Which synthetic problems are kept: well formed, executed, new, and not from a test set.

The paper names the filter against test sets without its method; the release has none. What is
filtered, and in which order, a corpus's configuration says. A filter either checks one problem at a
time (most of them in `quality`), or compares all that are left (`duplicates`, `contamination`).

Every row is looked at once, in batches; of a row that comes so far only its question, its worth and
its verdict are held. Filters of one problem do not depend on each other: a row leaves at the first
of the configured ones that rejects it, wherever comparisons stand between them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from .. import quality
from ..quality import Written
from .filter_names import named

Row = Mapping[str, Any]  # of records.Problem
_EVIDENCE = 20  # contaminated problems that the report shows


class Recipe(TypedDict):
    """Filters in their order, each a name or {name: its limit}, and the settings they share.

    permutations: of MinHash; similarity: Jaccard, 0 to 1; shingle: words; overlap,
    overlap_other_numbers: of `contamination.Thresholds`.
    """

    filters: Sequence[str | Mapping[str, float]]
    permutations: int
    similarity: float
    shingle: int
    overlap: float
    overlap_other_numbers: float


@dataclass
class Verdict:
    """What becomes of a problem, and what is held of it until that is known.

    worth: sorts before that of a problem which is less worth keeping. left_at: the place of the
    filter that rejects it by itself (the number of filters: none does).
    """

    problem_id: str
    question: str
    worth: tuple[Any, ...]
    status: str
    left_at: int
    duplicate_of: str | None = None
    contaminated_by: str | None = None


@dataclass(frozen=True)
class Corpus:
    """What comparisons know beside the problems that are still kept.

    earlier: (id, question) of problems kept elsewhere, which none of these may copy.
    """

    recipe: Recipe
    seed: int
    test_questions: Sequence[tuple[str, str]]
    earlier: Sequence[tuple[str, str]] = ()
    evidence: list[dict[str, Any]] = field(default_factory=list)


Check = Callable[[Row, float], str | None]
Comparison = Callable[[Sequence[Verdict], Corpus, float], None]


@dataclass(frozen=True)
class Filter:
    """A filter: `check` gives a row's reason to be rejected, or None; `compare` sets `status`es.

    Either gets the limit that the configuration gives the filter (0: none), and knows only the
    reasons in `statuses`.
    """

    statuses: tuple[str, ...]
    check: Check | None = None
    compare: Comparison | None = None


def _written(check: Callable[[Written], str | None]) -> Check:
    """A check of texts, as one of rows. It passes over what could not be parsed."""

    def of_row(row: Row, _: float) -> str | None:
        return check(_texts(row)) if row["question"] else None

    return of_row


def _limited(check: Callable[[Written, float], str | None]) -> Check:
    def of_row(row: Row, limit: float) -> str | None:
        return check(_texts(row), limit) if row["question"] else None

    return of_row


def _texts(row: Row) -> Written:
    return Written(row["question"] or "", row["solution"] or "", row["prompt"] or "")


def _complete(row: Row, _: float) -> str | None:
    if row["finish_reason"] != "stop":
        return "truncated"
    texts = _texts(row)
    if (row["answer"] or "").strip() and texts.question.strip() and texts.solution.strip():
        return None
    return quality.incomplete(texts)


def _markers(row: Row, _: float) -> str | None:
    if not row["question"]:
        return None
    texts = _texts(row)
    return (
        quality.leftover_markers(texts)
        or quality.echoes_prompt(texts)
        or quality.tells_answer(texts)
    )


def _true(column: str, status: str) -> Check:
    return lambda row, _: None if row[column] else status


def _near_duplicates(kept: Sequence[Verdict], corpus: Corpus, _: float) -> None:
    from .duplicates import near_duplicates

    ranked = sorted(kept, key=lambda verdict: verdict.worth)
    texts = [text for _, text in corpus.earlier] + [verdict.question for verdict in ranked]
    names = [name for name, _ in corpus.earlier] + [verdict.problem_id for verdict in ranked]
    recipe, before = corpus.recipe, len(corpus.earlier)
    copies = near_duplicates(
        texts,
        similarity=recipe["similarity"],
        shingle=recipe["shingle"],
        permutations=recipe["permutations"],
        seed=corpus.seed,
    )
    for place, other in copies.items():
        if place >= before:
            ranked[place - before].status = "duplicate"
            ranked[place - before].duplicate_of = names[other]


def _template_duplicates(kept: Sequence[Verdict], corpus: Corpus, most: float) -> None:
    from .duplicates import same_template

    ranked = sorted(kept, key=lambda verdict: verdict.worth)
    found = same_template([verdict.question for verdict in ranked], int(most))
    for place, first in found.items():
        ranked[place].status = "same_template"
        ranked[place].duplicate_of = ranked[first].problem_id


def _contaminated(kept: Sequence[Verdict], corpus: Corpus, _: float) -> None:
    from .contamination import TestQuestions, Thresholds
    from .duplicates import in_batches

    recipe = corpus.recipe
    thresholds = Thresholds(recipe["overlap"], recipe["overlap_other_numbers"])
    questions = TestQuestions(corpus.test_questions, thresholds)
    texts = [verdict.question for verdict in kept]
    for start, words in in_batches(texts):
        for place, matches in questions.find(words, texts[start : start + len(words)]):
            verdict = kept[start + place]
            verdict.status = "contaminated"
            verdict.contaminated_by = ", ".join(match.name for match in matches)
            shown = {"problem_id": verdict.problem_id} | matches[0]._asdict()
            corpus.evidence.append(shown | {"overlap": round(matches[0].overlap, 3)})


FILTERS = {
    "parsed": Filter(("unparsed",), _true("parsed", "unparsed")),
    "complete": Filter(("truncated", "incomplete"), _complete),
    "asks": Filter(("asks_nothing",), _written(quality.asks_nothing)),
    "self_contained": Filter(("not_self_contained",), _written(quality.not_self_contained)),
    "single": Filter(("several",), _written(quality.several)),
    "language": Filter(("other_language",), _written(quality.other_language)),
    "length": Filter(("too_short", "too_long"), _limited(quality.wrong_length)),
    "repetition": Filter(("repetitive",), _limited(quality.repetitive)),
    "markers": Filter(("markers", "echo", "answer_in_question"), _markers),
    "encoding": Filter(("encoding",), _written(quality.wrong_encoding)),
    "refusal": Filter(("refusal",), _written(quality.refuses)),
    "latex": Filter(("latex",), _written(quality.broken_latex)),
    "personal_data": Filter(("personal_data",), _written(quality.personal_data)),
    "executed": Filter(("not_executed", "not_deterministic"), _true("executed", "not_executed")),
    "answer_agrees": Filter(("disagrees",), _true("answer_agrees", "disagrees")),
    "near_duplicate": Filter(("duplicate",), compare=_near_duplicates),
    "template_duplicate": Filter(("same_template",), compare=_template_duplicates),
    "contaminated": Filter(("contaminated",), compare=_contaminated),
}


# ---------------------------------------------------------------- the funnel


# What a filter got, rejected and passed on, in problems.
Step = TypedDict("Step", {"in": int, "rejected": int, "out": int})


class Funnel(TypedDict):
    """Counts of problems: by filter ("1 parsed", in order), by status, by benchmark.

    by: of each source and level, the counts by status. evidence: contaminated problems, with what
    they share with the test question that they are most like.
    """

    written: int
    kept: int
    filters: dict[str, Step]
    rejected: dict[str, int]
    contamination: dict[str, int]
    by: dict[str, dict[str, dict[str, int]]]
    evidence: list[dict[str, Any]]


def judge(
    batches: Iterable[Iterable[Row]],
    test_questions: Sequence[tuple[str, str]],
    recipe: Recipe,
    seed: int,
    earlier: Sequence[tuple[str, str]] = (),
) -> tuple[list[Verdict], Funnel]:
    """The verdict of each row, in the rows' order, and the funnel.

    A row that came rejected stays so, whatever the filters: a truncated or unparsed completion is
    never kept. `earlier`: (id, question) of problems kept elsewhere. Raises UserError for a filter
    that does not exist.
    """
    chosen = [named(entry) for entry in recipe["filters"]]
    verdicts: list[Verdict] = []
    of_row: list[tuple[str, str]] = []
    for batch in batches:
        for row in batch:
            verdicts.append(_alone(row, chosen))
            of_row.append((row["source"], row["level"]))
    corpus = Corpus(recipe, seed, test_questions, earlier)
    steps: dict[str, Step] = {}
    inside = verdicts

    def leave(name: str, place: int) -> list[Verdict]:
        out = [verdict for verdict in inside if verdict.left_at > place]
        steps[f"{len(steps) + 1} {name}"] = {
            "in": len(inside),
            "rejected": len(inside) - len(out),
            "out": len(out),
        }
        return out

    if any(verdict.left_at < 0 for verdict in verdicts):
        inside = leave("earlier", -1)
    for place, (name, limit) in enumerate(chosen):
        if compare := FILTERS[name].compare:
            kept = [verdict for verdict in inside if verdict.left_at == len(chosen)]
            compare(kept, corpus, limit)
            for verdict in kept:
                if verdict.status in FILTERS[name].statuses:
                    verdict.left_at = place
        inside = leave(name, place)
    statuses = Counter(verdict.status for verdict in verdicts)
    stayed = statuses.pop("kept", 0)
    benchmarks = Counter(
        benchmark
        for verdict in verdicts
        for benchmark in {n.split(":", 1)[0] for n in (verdict.contaminated_by or "").split(", ")}
        if benchmark
    )
    by = {
        what: _table((group[k], v.status) for group, v in zip(of_row, verdicts, strict=True))
        for k, what in enumerate(("source", "level"))
    }
    evidence = sorted(corpus.evidence, key=lambda match: (-match["overlap"], match["problem_id"]))
    return verdicts, {
        "written": len(verdicts),
        "kept": stayed,
        "filters": steps,
        "rejected": dict(sorted(statuses.items())),
        "contamination": dict(sorted(benchmarks.items())),
        "by": by,
        "evidence": evidence[:_EVIDENCE],
    }


def _table(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for group, status in pairs:
        counts.setdefault(group, Counter())[status] += 1
    return {group: dict(sorted(counts[group].items())) for group in sorted(counts)}


def _alone(row: Row, chosen: Sequence[tuple[str, float]]) -> Verdict:
    """The verdict of the filters that look at a row by itself."""
    worth = (
        row["executed"] is not True,
        row["answer_agrees"] is not True,
        -len(row["solution"] or ""),
        row["problem_id"],
    )
    verdict = Verdict(row["problem_id"], row["question"] or "", worth, row["status"], len(chosen))
    if row["status"] != "kept":
        # What came rejected leaves at the filter that stands for its reason, or before them all.
        own = (k for k, (name, _) in enumerate(chosen) if row["status"] in FILTERS[name].statuses)
        verdict.left_at = next(own, -1)
        return verdict
    for place, (name, limit) in enumerate(chosen):
        check = FILTERS[name].check
        if check and (reason := check(row, limit)):
            verdict.status, verdict.left_at = reason, place
            break
    return verdict
