"""Write one problem per candidate passage, for the value estimate (paper, section 3.3).

Passages that were already distilled are left out. Every completion becomes a row, with its
status: kept, truncated or unparsed.
"""

import argparse
from pathlib import Path

from jz3 import io, program
from jz3.records import PICKS, PROBLEMS
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Draw, ask, write."""
    from jz3 import prompts
    from jz3.corpus import sampling
    from jz3.synthesis.write import count_statuses, journal_in, write_problems

    recipe = options.recipe
    templates = prompts.load_prompts(options.prompts)
    excluded = [
        passage
        for path in options.exclude
        for passage in io.read_table(path, PICKS)["passage_id"].to_pylist()
    ]
    ids = sampling.passage_ids(options.passages)
    pairs = sampling.draw_candidates(ids, excluded, templates, recipe["passages"], options.seed)
    if not pairs:
        raise io.UserError(
            f"{options.passages}: every passage was distilled already, no candidate is left."
            " Add texts to the corpus, or lower `passages` of the distillation."
        )
    if len(pairs) < recipe["passages"]:
        program.say(f"{recipe['passages']} candidates wanted, {len(pairs)} passages are left")
    passages = sampling.passages_of(options.passages, dict(pairs))
    asked = [
        sampling.prompt_row(passages[passage], level, recipe["mode"], templates[level])
        for passage, level in pairs
    ]
    inputs = [options.passages, *options.exclude, options.prompts, options.synthesizer]
    told = recipes.SynthesizeCandidates(**recipe).identity()
    journal = journal_in(options.state, told, inputs, options.code, options.seed)
    rows = write_problems(asked, options.synthesizer, recipe, options.seed, journal, "candidates")
    counts = count_statuses(rows)
    program.say(f"candidates: {counts}")
    if not any(row["status"] == "kept" for row in rows):
        raise io.UserError(
            f"{options.synthesizer}: none of its {len(rows)} completions is a whole problem"
            f" ({counts}). Train it on more pairs or for more epochs, or raise max_new_tokens."
        )
    origin = program.origin(__file__, options, inputs)
    io.write_table(options.output, rows, PROBLEMS, origin)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--passages", type=Path, required=True, help="table of passages")
    arguments.add_argument(
        "--exclude", type=Path, nargs="*", default=[], help="tables of picks whose passages are out"
    )
    arguments.add_argument(
        "--prompts", type=Path, required=True, help="folder of prompts, one per level"
    )
    arguments.add_argument("--synthesizer", type=Path, required=True, help="checkpoint that writes")
    arguments.add_argument("--output", type=Path, required=True, help="table of problems")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.SynthesizeCandidates))
