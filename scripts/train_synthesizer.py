"""Train the model that writes problems, on the pairs of the teacher (paper section 3.2).

Reads PAIRS tables (prompt -> completion) and a base checkpoint; writes a plain Hugging Face
checkpoint and the history of the training (JSON lines). The training text is the prompt followed
by the completion, without a chat template; loss is taken on the completion only.
"""

import argparse
from pathlib import Path

from jz3 import io, models, program, records
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Pack the pairs, train, save."""
    import torch
    from jz3.training import packing
    from jz3.training.train import open_state, train_checkpoint

    recipe = options.recipe
    torch.set_num_threads(recipe["threads"])
    # A pair that two distillations share is one pair.
    pairs = {
        row["request_id"]: (row["prompt"], row["completion"])
        for path in options.pairs
        for row in io.read_rows(path, records.PAIRS)
    }
    told = recipes.Training(**recipe).identity()
    state = open_state(
        options.state,
        recipe=told,
        inputs=[*options.pairs, options.base],
        code=options.code,
        seed=options.seed,
    )
    tokenizer = models.open_tokenizer(options.base)
    documents = [
        document
        for document in packing.encode_all(tokenizer, pairs.values(), recipe["length"])
        if document.supervised
    ]
    if not documents:
        raise io.UserError(
            f"{options.pairs[0]}: every prompt fills recipe.length ({recipe['length']} tokens);"
            " nothing is left to learn. Raise length."
        )
    packs = packing.pack(documents, recipe["length"])
    program.say(
        f"{len(pairs)} pairs, {len(documents)} usable, {sum(d.truncated for d in documents)} cut"
        f" to {recipe['length']} tokens, in {len(packs)} packs"
    )
    train_checkpoint(
        options.base,
        packs,
        recipe,
        options.output,
        seed=options.seed,
        state=state,
        history=options.history,
        what="training the synthesizer",
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--pairs", nargs="+", type=Path, required=True, help="PAIRS tables")
    arguments.add_argument("--base", type=Path, required=True, help="checkpoint to start from")
    arguments.add_argument(
        "--output", type=Path, required=True, help="checkpoint to write (folder)"
    )
    arguments.add_argument(
        "--history", type=Path, required=True, help="history to write, JSON lines"
    )
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.Training))
