"""Choose the passages that the teacher sees, and at which level it writes a problem from each.

At random, or by influence (paper section 3.3): the passages behind the candidate problems that
score best, each passage once, at the level of its best candidate.
"""

import argparse
import math
from pathlib import Path

from jz3 import io, program, prompts, records


def random_picks(passages: list[dict], levels: list[str], count: int, seed: int) -> list[dict]:
    """The first `count` passages in an order drawn by hash, each at a level drawn by hash.

    The order depends on the seed and the passages' identity only, so a longer list starts with
    the shorter one, and all distillations of a run draw from the same order.
    """
    drawn = sorted(
        passages,
        key=lambda row: (io.rng(seed, "pick", row["passage_id"]).random(), row["passage_id"]),
    )[:count]
    return [
        {**row, "level": io.rng(seed, "level", row["passage_id"]).choice(levels), "score": None}
        for row in drawn
    ]


def influential_picks(
    passages: list[dict], candidates: list[dict], levels: list[str], count: int
) -> list[dict]:
    """The `count` passages whose best candidate scores highest, best first.

    Raises UserError where a candidate's passage or level is not known here.
    """
    known = {row["passage_id"]: row for row in passages}
    ranked = sorted(
        (row for row in candidates if row["total"] is not None and math.isfinite(row["total"])),
        key=lambda row: (-row["total"], row["problem_id"]),
    )
    picked: dict[str, dict] = {}
    for candidate in ranked:
        if len(picked) == count:
            break
        name = candidate["passage_id"]
        if name in picked:
            continue
        if name not in known:
            raise io.UserError(f"scores: passage {name} is not among the passages; remake scores.")
        if candidate["level"] not in levels:
            hint = io.did_you_mean(candidate["level"], levels)
            raise io.UserError(
                f'scores: level "{candidate["level"]}" has no prompt in the folder of this'
                f" distillation ({', '.join(levels)}); use the candidates' mode.{hint}"
            )
        picked[name] = {**known[name], "level": candidate["level"], "score": candidate["total"]}
    return list(picked.values())


def main(options: argparse.Namespace) -> None:
    """Read passages and scores, write the picks."""
    recipe = options.recipe
    passages = io.read_rows(options.passages, records.PASSAGES)
    levels = list(prompts.load_prompts(options.levels_from))
    if recipe["pick"] == "random":
        picks = random_picks(passages, levels, recipe["passages"], options.seed)
    elif recipe["pick"] == "influence":
        if not options.scores:
            raise io.UserError("pick: influence needs --scores; name an entry of `influence`.")
        table = io.read_table(options.scores, records.SCORES, extra_prefix="score_")
        picks = influential_picks(passages, table.to_pylist(), levels, recipe["passages"])
    else:
        raise io.UserError(f'pick: "{recipe["pick"]}" is not known; use random or influence.')
    if not picks:
        raise io.UserError(
            f"no passage picked from {options.scores or options.passages}; ask for more than 0"
            " passages, and look at the scores."
        )
    if len(picks) < recipe["passages"]:
        program.say(f"pick_passages: {recipe['passages']} asked for, all {len(picks)} taken")
    rows = [{**row, "mode": recipe["mode"]} for row in picks]
    rows = [{name: row[name] for name in records.PICKS.names} for row in rows]
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
