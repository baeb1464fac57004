"""Gradients of the target problems at each epoch of the reference run (§ 3.3).

Reads BENCHMARK tables (one per entry of the recipe's `targets`, in that order) and the folder of
train_reference. Writes safetensors: per epoch one tensor (subtasks, LoRA weights), the mean of the
problems' unit gradients, projected if the recipe says so; the metadata's key "jz3" describes rows
and columns.
"""

import argparse
from pathlib import Path

from jz3 import io, program
from jz3.records import BENCHMARK
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Draw the target problems and average their unit gradients."""
    import torch
    from jz3.influence import projection, reference_run, sample_gradients
    from jz3.influence.target_directions import target_directions
    from jz3.influence.texts import subtasks, target_texts

    recipe = options.recipe
    torch.set_num_threads(recipe["threads"])
    if len(options.targets) != len(recipe["targets"]):
        raise io.UserError(
            f"--targets: {len(options.targets)} tables for {len(recipe['targets'])} entries of"
            " influence.targets. Give one table per entry, in that order."
        )
    checkpoints = reference_run.load_all(options.reference, recipe["lora"])
    chosen = subtasks(
        recipe["targets"],
        [io.read_rows(path, BENCHMARK) for path in options.targets],
        options.seed,
    )
    inputs = [*options.targets, options.reference, options.base]
    origin = program.origin(__file__, options, inputs)
    with program.unfinished(
        options.state, recipe=recipe, inputs=inputs, code=options.code, seed=options.seed
    ) as state:
        base, tokenizer = sample_gradients.load_model(options.base, recipe["dtype"])
        model = sample_gradients.add_lora(base, recipe["lora"], options.seed)
        samples: dict[str, list[sample_gradients.Sample]] = {}
        for name, rows in chosen.items():
            texts = target_texts(rows, recipe["mode"])
            encoded = sample_gradients.encode(tokenizer, texts, recipe["length"])
            for (problem, _, _), sample in zip(texts, encoded, strict=True):
                if sample is None:
                    raise io.UserError(
                        f"influence target {name}: problem {problem} has no solution within"
                        f" {recipe['length']} tokens. Raise the recipe's `length`."
                    )
                samples.setdefault(name, []).append(sample)
        count = sum(len(rows) for rows in samples.values()) * len(checkpoints)
        with program.Progress(count, "target gradients", "gradient") as bar:
            target_directions(
                model,
                checkpoints,
                samples,
                options.output,
                state,
                origin,
                bar.update,
                projector=projection.open_projector(
                    recipe["projection"], options.seed, model.device
                ),
            )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--reference", type=Path, required=True, help="of train_reference")
    arguments.add_argument("--base", type=Path, required=True, help="the reference's base model")
    arguments.add_argument(
        "--targets", type=Path, nargs="+", required=True, help="BENCHMARK tables, as in the recipe"
    )
    arguments.add_argument("--output", type=Path, required=True, help="safetensors file")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.TargetGradients))
