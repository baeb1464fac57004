"""Train the reference model of influence estimation: LoRA on a share of the candidates (§ 3.3).

Reads PROBLEMS (candidates; those with status "kept"). Writes a folder with epoch-1, epoch-2, ...,
each holding the adapter as peft stores it, Adam's moments (adam.safetensors, keys exp_avg.<weight>
and exp_avg_sq.<weight>, float32) and info.json.
"""

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from jz3 import io, program
from jz3.records import PROBLEMS
from jz3.workflow import recipes
from jz3.workflow.messages import accepts

if TYPE_CHECKING:
    from jz3.training.pack_trainer import PackTrainer


def main(options: argparse.Namespace) -> None:
    """Draw the share, train, and save every epoch."""
    import torch
    from jz3.influence import reference_run, sample_gradients
    from jz3.influence.texts import candidate_texts, kept, share_of
    from jz3.training import packing
    from jz3.training.train import train

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise io.UserError("The reference run takes one process and one GPU; use no torchrun.")
    recipe = options.recipe
    torch.set_num_threads(recipe["threads"])
    rows = kept(io.read_rows(options.candidates, PROBLEMS), options.candidates)
    chosen = share_of(rows, recipe["share"], options.seed)
    inputs = [options.candidates, options.base]
    origin = program.origin(__file__, options, inputs)
    told = recipes.TrainReference(**recipe).identity()
    with program.unfinished(
        options.state, recipe=told, inputs=inputs, code=options.code, seed=options.seed
    ) as state:
        base, tokenizer = sample_gradients.load_model(options.base, "float32")
        model = sample_gradients.add_lora(base, recipe["lora"], options.seed)
        texts = candidate_texts(chosen)
        samples = sample_gradients.encode(tokenizer, texts, recipe["length"])
        documents = [packing.Document(list(s.input_ids), list(s.labels)) for s in samples if s]
        program.say(
            f"training on {len(documents)} of {len(rows)} candidates;"
            f" {len(chosen) - len(documents)} drawn have no solution within"
            f" {recipe['length']} tokens"
        )

        def save(epoch: int, trainer: "PackTrainer") -> None:
            assert trainer.optimizer is not None  # an epoch has been trained with it
            reference_run.save(
                state / "epochs" / f"epoch-{epoch + 1}",
                model,
                trainer.optimizer,
                recipe["lora"],
                epoch + 1,
                trainer.epoch_learning_rates[epoch],
            )

        train(
            model,
            packing.pack(documents, recipe["length"]),
            recipe,
            seed=options.seed,
            state=state,
            what="reference model",
            on_epoch_end=save,
        )
        with io.atomic(options.output) as temporary:
            shutil.copytree(state / "epochs", temporary)
            io.write_json(temporary / "origin.json", origin)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--candidates", type=Path, required=True, help="PROBLEMS table")
    arguments.add_argument("--base", type=Path, required=True, help="checkpoint to start from")
    arguments.add_argument("--output", type=Path, required=True, help="folder of the epochs")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.TrainReference))
