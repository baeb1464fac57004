"""Choose the passages that the teacher sees, and at which level it writes a problem from each.

At random, or by influence (paper section 3.3): the passages behind the candidate problems that
score best, each passage once, at the level of its best candidate.
"""

import argparse
import heapq
from collections.abc import Iterable
from pathlib import Path

from jz3 import io, program, prompts, records
from jz3.corpus import sampling
from jz3.influence import selection


def random_picks(ids: Iterable[str], levels: list[str], count: int, seed: int) -> list[dict]:
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
            "level": io.rng(seed, "level", passage).choice(levels),
            "score": None,
        }
        for _, passage in drawn
    ]


def influential_picks(
    candidates: list[dict], levels: list[str], count: int, quota: dict[str, float]
) -> list[dict]:
    """The passages of the `count` best candidates, best first (see `selection.best_candidates`).

    Raises UserError where a candidate's level is not known here.
    """
    best = selection.best_candidates(candidates, count, quota)
    for candidate in best:
        if candidate["level"] not in levels:
            hint = io.did_you_mean(candidate["level"], levels)
            raise io.UserError(
                f'scores: level "{candidate["level"]}" has no prompt in the folder of this'
                f" distillation ({', '.join(levels)}); use the candidates' mode.{hint}"
            )
    return [
        {"passage_id": row["passage_id"], "level": row["level"], "score": row["total"]}
        for row in best
    ]


def main(options: argparse.Namespace) -> None:
    """Read passages and scores, write the picks."""
    recipe = options.recipe
    levels = list(prompts.load_prompts(options.levels_from))
    if recipe["pick"] == "random":
        ids = sampling.passage_ids(options.passages)
        picks = random_picks(ids, levels, recipe["passages"], options.seed)
    elif recipe["pick"] == "influence":
        if not options.scores:
            raise io.UserError("pick: influence needs --scores; name an entry of `influence`.")
        table = io.read_table(options.scores, records.SCORES, extra_prefix="score_")
        picks = influential_picks(table.to_pylist(), levels, recipe["passages"], recipe["quota"])
    else:
        raise io.UserError(f'pick: "{recipe["pick"]}" is not known; use random or influence.')
    if not picks:
        raise io.UserError(
            f"no passage picked from {options.scores or options.passages}; ask for more than 0"
            " passages, and look at the scores."
        )
    if len(picks) < recipe["passages"]:
        program.say(f"pick_passages: {recipe['passages']} asked for, all {len(picks)} taken")
    passages = sampling.passages_of(options.passages, {row["passage_id"] for row in picks})
    for row in picks:
        if row["passage_id"] not in passages:
            raise io.UserError(
                f"{options.scores}: passage {row['passage_id']} is not in {options.passages};"
                " remake the scores."
            )
    rows = [{**row, **passages[row["passage_id"]], "mode": recipe["mode"]} for row in picks]
    inputs = [options.passages, *([options.scores] if options.scores else [])]
    origin = io.provenance("pick_passages", options.code, inputs, options.seed)
    io.write_table(options.output, rows, records.PICKS, origin)
    program.say(f"pick_passages: {len(rows)} passages")


if __name__ == "__main__":
    parser = program.parser(__doc__)
    parser.add_argument("--passages", type=Path, required=True)
    parser.add_argument("--scores", type=Path, help="candidate scores, for pick: influence")
    parser.add_argument("--levels-from", type=Path, required=True, help="prompt folder")
    parser.add_argument("--output", type=Path, required=True)
    program.run(main, parser)
