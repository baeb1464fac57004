"""Score candidate problems by their influence on the targets: one shard of them (§ 3.3).

Reads PROBLEMS (candidates; those with status "kept"), the folder of train_reference, the file of
target_gradients, and the base model, or with --features the shard's folder of store_features.
Writes SCORES without `total`: `score_<subtask>` per subtask.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from jz3 import io, program
from jz3.records import PROBLEMS, SHARD_SCORES, Problem
from jz3.workflow import recipes
from jz3.workflow.messages import accepts

if TYPE_CHECKING:
    from jz3.influence.reference_run import Checkpoint

Scored = dict[str, tuple[int, list[float]]]  # tokens and scores by problem_id


def main(options: argparse.Namespace) -> None:
    """Take the shard's cosines with the targets checkpoint by checkpoint, then the scores."""
    import pyarrow as pa
    import torch
    from jz3.influence import adam_features, reference_run
    from jz3.influence.texts import kept, shard_of

    recipe = options.recipe
    torch.set_num_threads(recipe["threads"])
    adam_features.check(recipe["feature"])
    rows = kept(io.read_rows(options.candidates, PROBLEMS), options.candidates)
    rows = shard_of(rows, options.shard, recipe["shards"])
    checkpoints = reference_run.load_all(options.reference, recipe["lora"])
    source = options.features or options.base
    inputs = [options.candidates, options.reference, source, options.gradients]
    origin = program.origin(__file__, options, inputs)
    if options.features:
        subtasks, scored = from_store(options, checkpoints)
    else:
        subtasks, scored = from_model(options, checkpoints, rows, inputs)
    program.say(f"{len(scored)} of {len(rows)} candidates have a score")
    names = [f"score_{name}" for name in subtasks]
    table = [
        {key: row[key] for key in ("problem_id", "passage_id", "source", "level", "mode")}
        | {"tokens": scored[row["problem_id"]][0]}
        | dict(zip(names, scored[row["problem_id"]][1], strict=True))
        for row in rows
        if row["problem_id"] in scored
    ]
    schema = pa.schema([*SHARD_SCORES, *(pa.field(name, pa.float64()) for name in names)])
    io.write_table(options.output, table, schema, origin)


def from_model(
    options: argparse.Namespace,
    checkpoints: "list[Checkpoint]",
    rows: list[Problem],
    inputs: list[Path],
) -> tuple[list[str], Scored]:
    """Subtasks, and (tokens, scores) by problem_id: gradients made here, exact."""
    from jz3.influence import sample_gradients
    from jz3.influence.scores import score
    from jz3.influence.target_directions import Directions
    from jz3.influence.texts import candidate_texts

    recipe = options.recipe
    work = recipe | {"shard": options.shard}
    with program.unfinished(
        options.state, recipe=work, inputs=inputs, code=options.code, seed=options.seed
    ) as state:
        base, tokenizer = sample_gradients.load_model(options.base, recipe["dtype"])
        model = sample_gradients.add_lora(base, recipe["lora"], options.seed)
        aims = Directions(options.gradients, checkpoints, sample_gradients.weight_shapes(model))
        samples = sample_gradients.encode_scorable(
            tokenizer, candidate_texts(rows), recipe["length"]
        )
        count = len(samples) * len(checkpoints)
        with (
            io.Journal(state / "cosines.jsonl", "batch") as journal,
            program.Progress(count, "influence", "gradient") as bar,
        ):
            found = score(model, checkpoints, aims, samples, recipe["feature"], journal, bar.update)
    return aims.subtasks, {s.identity: (len(s.input_ids), found[s]) for s in samples}


def from_store(
    options: argparse.Namespace, checkpoints: "list[Checkpoint]"
) -> tuple[list[str], Scored]:
    """Subtasks, and (tokens, scores) by problem_id: products with stored features."""
    from jz3.influence import feature_store
    from jz3.influence.scores import score_stored
    from jz3.influence.target_directions import Directions

    store = feature_store.Store(options.features, checkpoints, options.recipe["feature"])
    aims = Directions(options.gradients, checkpoints, store.weights, store.projection)
    found = score_stored(store, checkpoints, aims)
    return aims.subtasks, dict(
        zip(store.problems, zip(store.tokens, found, strict=True), strict=True)
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--candidates", type=Path, required=True, help="PROBLEMS table")
    arguments.add_argument("--reference", type=Path, required=True, help="of train_reference")
    source = arguments.add_mutually_exclusive_group(required=True)
    source.add_argument("--base", type=Path, help="the reference's base model")
    source.add_argument("--features", type=Path, help="the shard's folder of store_features")
    arguments.add_argument("--gradients", type=Path, required=True, help="of target_gradients")
    arguments.add_argument("--shard", type=int, required=True, help="number of the shard, from 0")
    arguments.add_argument("--output", type=Path, required=True, help="SCORES table, no total")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.ScoreInfluence))
