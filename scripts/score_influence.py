"""Score every candidate problem by its influence on the targets (§ 3.3).

Reads PROBLEMS (candidates; those with status "kept"), the folder of train_reference and the file of
target_gradients. Writes SCORES: `score_<subtask>` per subtask, and their aggregate `total`.
"""

from pathlib import Path

from jz3 import io, program
from jz3.records import PROBLEMS, SCORES


def main(options) -> None:
    """Compute the cosines checkpoint by checkpoint, then the scores."""
    import pyarrow as pa
    import torch
    from jz3 import gradients, influence, reference

    recipe = options.recipe
    torch.set_num_threads(recipe["threads"])
    influence.check(recipe["feature"], recipe["aggregate"])
    rows = influence.kept(io.read_rows(options.candidates, PROBLEMS), options.candidates)
    checkpoints = reference.load_all(options.reference, recipe["lora"])
    inputs = [options.candidates, options.reference, options.base, options.gradients]
    origin = io.provenance("score_influence", options.code, inputs, options.seed)
    with influence.unfinished(options.state, [recipe, origin]) as state:
        model, tokenizer = gradients.load_model(options.base, recipe["dtype"])
        model = gradients.add_lora(model, recipe["lora"], options.seed)
        directions = influence.Directions(
            options.gradients, checkpoints, gradients.weight_shapes(model)
        )
        samples = gradients.encode(tokenizer, influence.candidate_texts(rows), recipe["length"])
        scored = [(row, s) for row, s in zip(rows, samples, strict=True) if s is not None]
        if len(scored) < len(rows):
            program.say(
                f"{len(rows) - len(scored)} of {len(rows)} candidates have no solution within"
                f" {recipe['length']} tokens and get no score"
            )
        samples = [sample for _, sample in scored]
        count = len(samples) * len(checkpoints)
        with (
            io.Journal(state / "cosines.jsonl", "batch") as journal,
            program.Progress(count, "influence", "gradient") as bar,
        ):
            scores = influence.score(
                model, checkpoints, directions, samples, recipe["feature"], journal, bar.update
            )
        names = [f"score_{name}" for name in directions.subtasks]
        table = [
            {key: row[key] for key in ("problem_id", "passage_id", "source", "level", "mode")}
            | {"tokens": len(sample.input_ids)}
            | {"total": influence.aggregate(scores[sample], recipe["aggregate"])}
            | dict(zip(names, scores[sample], strict=True))
            for row, sample in scored
        ]
        schema = pa.schema([*SCORES, *(pa.field(name, pa.float64()) for name in names)])
        io.write_table(options.output, table, schema, origin)


if __name__ == "__main__":
    arguments = program.parser(__doc__)
    arguments.add_argument("--candidates", type=Path, required=True, help="PROBLEMS table")
    arguments.add_argument("--reference", type=Path, required=True, help="of train_reference")
    arguments.add_argument("--base", type=Path, required=True, help="the reference's base model")
    arguments.add_argument("--gradients", type=Path, required=True, help="of target_gradients")
    arguments.add_argument("--output", type=Path, required=True, help="SCORES table")
    program.run(main, arguments)
