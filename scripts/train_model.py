"""Train a model on packed sequences: pre-training, then fine-tuning, in one schedule (section 3.5).

Reads a PACKS table (its stages in order) and a base checkpoint; writes a plain Hugging Face
checkpoint and the history of the training (JSON lines: step, tokens, loss, learning_rate,
grad_norm, stage). Optimizer and learning rate are not reset between the stages.
"""

import argparse
from pathlib import Path

from jz3 import program
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Train on the packs and save."""
    import torch
    from jz3.training import packing
    from jz3.training.train import open_state, train_checkpoint

    recipe = options.recipe
    torch.set_num_threads(recipe["threads"])
    packs = packing.PackFile(options.packed)
    told = recipes.Training(**recipe).identity()
    state = open_state(
        options.state,
        recipe=told,
        inputs=[options.packed, options.base],
        code=options.code,
        seed=options.seed,
    )
    train_checkpoint(
        options.base,
        packs,
        recipe,
        options.output,
        seed=options.seed,
        state=state,
        history=options.history,
        what="training the model",
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--packed", type=Path, required=True, help="PACKS table")
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
