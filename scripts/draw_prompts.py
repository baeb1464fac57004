"""Draw what a synthesizer will be asked: passages and levels of one corpus, in shards.

Paper, section 3.4. Writes one table of prompts per shard: 00000.parquet, 00001.parquet, ...
"""

import argparse
from pathlib import Path

from jz3 import io, program, prompts
from jz3.corpus import sampling
from jz3.records import PROMPTS
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Draw pairs of passage and level; write them, shard by shard."""
    recipe = options.recipe
    templates = prompts.load_prompts(options.prompts)
    ids = sampling.passage_ids(options.passages)
    pairs = sampling.draw_pairs(ids, templates, recipe["prompts"], options.seed)
    shards = recipe["shards"]
    if len(pairs) < shards:
        raise io.UserError(
            f"{len(pairs)} prompts cannot fill {shards} shards: lower `shards` of the corpus, or"
            " give it more texts."
        )
    if len(pairs) < recipe["prompts"]:
        program.say(f"{recipe['prompts']} prompts wanted; the passages give {len(pairs)}")
    passages = sampling.passages_of(options.passages, {passage for passage, _ in pairs})
    inputs = [options.passages, options.prompts]
    origin = program.origin(__file__, options, inputs)
    with (
        io.atomic(options.output) as temporary,
        program.Progress(len(pairs), "prompts", "prompt") as bar,
    ):
        temporary.mkdir()
        for shard in range(shards):
            rows = [
                sampling.prompt_row(passages[passage], level, recipe["mode"], templates[level])
                for passage, level in pairs[shard::shards]
            ]
            io.write_table(temporary / f"{shard:05d}.parquet", rows, PROMPTS, origin)
            bar.update(len(rows))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--passages", type=Path, required=True, help="table of passages")
    arguments.add_argument(
        "--prompts", type=Path, required=True, help="folder of prompts, one per level"
    )
    arguments.add_argument("--output", type=Path, required=True, help="folder of tables of prompts")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.DrawPrompts))
