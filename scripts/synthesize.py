"""Let a synthesizer write problems: one shard of a corpus (paper, section 3.4).

Every completion becomes a row, with its status: kept, truncated or unparsed.
"""

from pathlib import Path

from jz3 import io, program
from jz3.records import PASSAGES, PROBLEMS


def main(options):
    """Draw, ask, write."""
    from jz3 import prompts, synthesis

    recipe = options.recipe
    templates = prompts.load_prompts(options.prompts)
    passages = io.read_table(options.passages, PASSAGES)
    pairs = synthesis.draw_pairs(
        passages["passage_id"].to_pylist(), templates, recipe["prompts"], options.seed
    )
    pairs = synthesis.shard_of(pairs, options.shard, recipe["shards"])
    if not pairs:
        raise io.UserError(
            f"shard {options.shard} of {recipe['shards']} is empty: the corpus has fewer prompts"
            " than shards. Lower its `shards`."
        )
    asked = synthesis.build_prompts(passages, pairs, templates, recipe["mode"])
    inputs = [options.passages, options.prompts, options.synthesizer]
    journal = synthesis.journal_in(options.state, recipe, inputs, options.code, options.seed)
    rows = synthesis.write_problems(
        asked, options.synthesizer, recipe, options.seed, journal, f"shard {options.shard}"
    )
    program.say(f"shard {options.shard}: {synthesis.count_statuses(rows)}")
    origin = io.provenance("synthesize.py", options.code, inputs, options.seed)
    io.write_table(options.output, rows, PROBLEMS, origin)


parser = program.parser(__doc__)
parser.add_argument("--passages", type=Path, required=True, help="table of passages")
parser.add_argument("--prompts", type=Path, required=True, help="folder of prompts, one per level")
parser.add_argument("--synthesizer", type=Path, required=True, help="checkpoint that writes")
parser.add_argument("--shard", type=int, required=True, help="number of the shard, from 0")
parser.add_argument("--output", type=Path, required=True, help="table of problems")

if __name__ == "__main__":
    program.run(main, parser)
