"""Store projected gradient features of candidates, for scores against any targets (§ 3.3).

Reads PROBLEMS (candidates; those with status "kept"), of which it takes one shard, and the folder
of train_reference. Writes a folder: see jz3/influence/feature_store.py.
"""

import argparse
import shutil
from pathlib import Path

from jz3 import io, program
from jz3.records import PROBLEMS
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Compute the features checkpoint by checkpoint, into memory-mapped files."""
    import torch
    from jz3.influence import (
        adam_features,
        feature_store,
        projection,
        reference_run,
        sample_gradients,
    )
    from jz3.influence.texts import candidate_texts, kept, shard_of

    recipe = options.recipe
    torch.set_num_threads(recipe["threads"])
    adam_features.check(recipe["feature"])
    rows = kept(io.read_rows(options.candidates, PROBLEMS), options.candidates)
    rows = shard_of(rows, options.shard, recipe["shards"])
    checkpoints = reference_run.load_all(options.reference, recipe["lora"])
    inputs = [options.candidates, options.reference, options.base]
    origin = program.origin(__file__, options, inputs)
    work = recipe | {"shard": options.shard}
    with program.unfinished(
        options.state, recipe=work, inputs=inputs, code=options.code, seed=options.seed
    ) as state:
        base, tokenizer = sample_gradients.load_model(options.base, recipe["dtype"])
        model = sample_gradients.add_lora(base, recipe["lora"], options.seed)
        projector = projection.open_projector(recipe["projection"], options.seed, model.device)
        if projector is None:
            raise io.UserError("influence.projection.kind: none makes no store of features.")
        samples = sample_gradients.encode_scorable(
            tokenizer, candidate_texts(rows), recipe["length"]
        )
        program.say(f"{len(samples)} of {len(rows)} candidates have a solution to look at")
        count = len(samples) * len(checkpoints)
        folder = state / "features"
        folder.mkdir(exist_ok=True)
        with (
            io.Journal(state / "batches.jsonl", "batch") as journal,
            program.Progress(count, "features", "gradient") as bar,
        ):
            feature_store.fill(
                folder,
                model,
                checkpoints,
                samples,
                recipe["feature"],
                projector,
                recipe["projection"]["dtype"],
                journal,
                origin,
                bar.update,
            )
        with io.atomic(options.output) as temporary:
            shutil.copytree(folder, temporary)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--candidates", type=Path, required=True, help="PROBLEMS table")
    arguments.add_argument("--reference", type=Path, required=True, help="of train_reference")
    arguments.add_argument("--base", type=Path, required=True, help="the reference's base model")
    arguments.add_argument("--shard", type=int, required=True, help="number of the shard, from 0")
    arguments.add_argument("--output", type=Path, required=True, help="folder of features")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.StoreFeatures))
