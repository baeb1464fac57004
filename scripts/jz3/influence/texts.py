"""Which problems influence estimation trains on, scores and aims at, as the student sees them."""

from pathlib import Path
from typing import TypedDict, TypeVar

from .. import io, templates
from ..records import BenchmarkProblem, Problem
from ..training.examples import worked_example
from .sample_gradients import Text

Item = TypeVar("Item")


class Target(TypedDict):
    """An entry of `influence.targets`; problems: how many are drawn (0: all)."""

    benchmark: str
    split: str
    problems: int
    by_subject: bool


def share_of(rows: list[Problem], share: float, seed: int) -> list[Problem]:
    """A `share` (0 to 1, rounded up) of the candidates, drawn by seed and problem_id."""
    drawn = sorted(rows, key=lambda row: io.rng(seed, "reference", row["problem_id"]).random())
    count = -int(-share * len(rows) // 1)
    if not 0 < share <= 1 or not count:
        raise io.UserError(f"influence.reference.share: {share} is not between 0 and 1.")
    return drawn[:count]


def shard_of(rows: list[Item], shard: int, shards: int) -> list[Item]:
    """The rows of one shard, 0 <= shard < shards: neighbours, so that shards join in order."""
    if not 0 <= shard < shards:
        raise io.UserError(f"shard {shard} of {shards}: shards are counted 0 to {shards - 1}.")
    return rows[len(rows) * shard // shards : len(rows) * (shard + 1) // shards]


def subtasks(
    targets: list[Target], tables: list[list[BenchmarkProblem]], seed: int
) -> dict[str, list[BenchmarkProblem]]:
    """Target problems by subtask: the benchmark's name, or benchmark:subject with `by_subject`.

    `tables` holds the benchmark rows of each entry of `targets`; drawn are its `problems` (0: all)
    among those with a worked solution, spread evenly over the subjects with `by_subject`. Raises
    UserError where there are fewer.
    """
    made: dict[str, list[BenchmarkProblem]] = {}
    for target, rows in zip(targets, tables, strict=True):
        place = f"{target['benchmark']}/{target['split']}"
        worked = [row for row in rows if row["solution"].strip()]
        if not worked:
            raise io.UserError(
                f"influence target {place}: no problem has a worked solution. Choose another"
                " split, or give its `fields` a solution."
            )
        if target["problems"] > len(worked):
            raise io.UserError(
                f"influence target {place}: {target['problems']} problems wanted, {len(worked)}"
                " have a worked solution. Lower `problems`."
            )
        groups: dict[str, list[BenchmarkProblem]] = {}
        for row in sorted(
            worked, key=lambda row: io.rng(seed, "target", row["problem_id"]).random()
        ):
            subject = f":{row['subject']}" if target["by_subject"] else ""
            groups.setdefault(target["benchmark"] + subject, []).append(row)
        # Round by round, one of each subject: equal shares as far as the subjects reach.
        rounds = [
            (name, group[turn])
            for turn in range(max(map(len, groups.values())))
            for name, group in sorted(groups.items())
            if turn < len(group)
        ]
        for name, row in rounds[: target["problems"] or None]:
            made.setdefault(name, []).append(row)
    return made


def candidate_texts(rows: list[Problem]) -> list[Text]:
    """(problem_id, prompt, output) of candidates: as a student would be trained on them."""
    return [
        (row["problem_id"], templates.question_text(row["question"], row["mode"]), row["solution"])
        for row in rows
    ]


def target_texts(rows: list[BenchmarkProblem], mode: str) -> list[Text]:
    """(problem_id, prompt, output) of problems with worked solutions, as a student sees them.

    In tool mode the worked program where the benchmark has one, its text where it has none.
    """
    texts: list[Text] = []
    for row in rows:
        example = worked_example(row, mode) or worked_example(row, "cot")
        if example is None:
            raise ValueError(f"{row['problem_id']}: no worked solution")  # `subtasks` chose it
        texts.append((row["problem_id"], *example))
    return texts


def kept(rows: list[Problem], path: str | Path) -> list[Problem]:
    """The rows of a PROBLEMS table whose status is "kept"; UserError where there is none."""
    chosen = [row for row in rows if row["status"] == "kept"]
    if not chosen:
        raise io.UserError(
            f"{path}: none of the {len(rows)} candidates was kept. Ask for more passages, or look"
            " at the `status` column for what rejected them."
        )
    return chosen
