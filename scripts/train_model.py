"""Train a model on packed sequences: pre-training, then fine-tuning, in one schedule (section 3.5).

Reads a PACKS table (its stages in order) and a base checkpoint; writes a plain Hugging Face
checkpoint and the history of the training (JSON lines: step, tokens, loss, learning_rate,
grad_norm, stage). Optimizer and learning rate are not reset between the stages.
"""

from pathlib import Path

from jz3 import program


def main(options) -> None:
    """Train on the packs and save."""
    import torch
    from jz3.training import packing
    from jz3.training.train import open_state, train_checkpoint

    recipe = options.recipe
    torch.set_num_threads(recipe["threads"])
    packs = packing.PackFile(options.packed)
    state = open_state(
        options.state,
        recipe=recipe,
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


if __name__ == "__main__":
    parser = program.parser(__doc__)
    parser.add_argument("--packed", type=Path, required=True, help="PACKS table")
    parser.add_argument("--base", type=Path, required=True, help="checkpoint to start from")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint to write (folder)")
    parser.add_argument("--history", type=Path, required=True, help="history to write, JSON lines")
    program.run(main, parser)
