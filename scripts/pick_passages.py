"""Choose the passages that the teacher sees, and at which level it writes a problem from each.

At random, or by influence (paper section 3.3): the passages behind the candidate problems that
score best, each passage once, at the level of its best candidate.
"""

import argparse
from pathlib import Path

from jz3 import io, program, prompts, records
from jz3.corpus import sampling
from jz3.influence import selection
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Read passages and scores, write the picks."""
    recipe = options.recipe["distillation"]
    levels = list(prompts.load_prompts(options.levels_from))
    if recipe["pick"] == "random":
        ids = sampling.passage_ids(options.passages)
        picks = sampling.random_picks(ids, levels, recipe["passages"], options.seed)
    else:
        if not options.scores:
            raise io.UserError("pick: influence needs --scores; name an entry of `influence`.")
        table = io.read_table(options.scores, records.SCORES, extra_prefix="score_")
        picks = selection.influential_picks(
            table.to_pylist(), levels, recipe["passages"], recipe.get("quota", {})
        )
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
    origin = program.origin(__file__, options, inputs)
    io.write_table(options.output, rows, records.PICKS, origin)
    program.say(f"pick_passages: {len(rows)} passages")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--passages", type=Path, required=True)
    arguments.add_argument("--scores", type=Path, help="candidate scores, for pick: influence")
    arguments.add_argument("--levels-from", type=Path, required=True, help="prompt folder")
    arguments.add_argument("--output", type=Path, required=True)
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.PickPassages))
