"""Which problems influence estimation trains on, scores and aims at, as the student sees them."""

from pathlib import Path

from .. import io, templates
from ..training.examples import worked_example


def share_of(rows: list[dict], share: float, seed: int) -> list[dict]:
    """A `share` (0 to 1, rounded up) of the candidates, drawn by seed and problem_id."""
    drawn = sorted(rows, key=lambda row: io.rng(seed, "reference", row["problem_id"]).random())
    count = -int(-share * len(rows) // 1)
    if not 0 < share <= 1 or not count:
        raise io.UserError(f"influence.reference.share: {share} is not between 0 and 1.")
    return drawn[:count]


def shard_of(rows: list[dict], shard: int, shards: int) -> list[dict]:
    """The rows of one shard, 0 <= shard < shards: neighbours, so that shards join in order."""
    if not 0 <= shard < shards:
        raise io.UserError(f"shard {shard} of {shards}: shards are counted 0 to {shards - 1}.")
    return rows[len(rows) * shard // shards : len(rows) * (shard + 1) // shards]


def subtasks(targets: list[dict], tables: list[list[dict]], seed: int) -> dict[str, list[dict]]:
    """Target problems by subtask: the benchmark's name, or benchmark:subject with `by_subject`.

    `tables` holds the benchmark rows of each entry of `targets`; drawn are its `problems` (0: all)
    among those with a worked solution, spread evenly over the subjects with `by_subject`. Raises
    UserError where there are fewer.
    """
    made: dict[str, list[dict]] = {}
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
        groups: dict[str, list[dict]] = {}
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


def candidate_texts(rows: list[dict]) -> list[tuple[str, str, str]]:
    """(problem_id, prompt, output) of PROBLEMS rows: as a student would be trained on them."""
    return [
        (row["problem_id"], templates.question_text(row["question"], row["mode"]), row["solution"])
        for row in rows
    ]


def target_texts(rows: list[dict], mode: str) -> list[tuple[str, str, str]]:
    """(problem_id, prompt, output) of BENCHMARK rows with worked solutions, as a student sees them.

    In tool mode the worked program where the benchmark has one, its text where it has none.
    """
    return [
        (row["problem_id"], *(worked_example(row, mode) or worked_example(row, "cot")))
        for row in rows
    ]


def kept(rows: list[dict], path: str | Path) -> list[dict]:
    """The rows of a PROBLEMS table whose status is "kept"; UserError where there is none."""
    chosen = [row for row in rows if row["status"] == "kept"]
    if not chosen:
        raise io.UserError(
            f"{path}: none of the {len(rows)} candidates was kept. Ask for more passages, or look"
            " at the `status` column for what rejected them."
        )
    return chosen
