"""Fetch one split of a hub dataset at its pinned revision and write it as one Parquet file."""

import argparse
from pathlib import Path

from jz3 import io, program
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Load, keep the configured columns, write atomically."""
    import datasets
    import pyarrow.parquet as pq

    recipe = options.recipe
    place = recipe["repository"]
    local = Path(place).is_dir()
    if not local and not recipe["revision"]:
        raise io.UserError(f"datasets.{options.name}.revision: give the commit of {place}.")
    try:
        dataset = datasets.load_dataset(
            place,
            name=recipe["subset"] or None,
            data_files=recipe["files"] or None,
            split=recipe["split"],
            revision=None if local else recipe["revision"],
        )
    except (ConnectionError, FileNotFoundError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise io.UserError(
            f"datasets.{options.name}: cannot load {place} ({reason}). Check the name, the"
            " revision and the network; gated data needs HF_TOKEN."
        ) from None
    where = recipe.get("where")
    for column in [*recipe["columns"], *([where["column"]] if where else [])]:
        if column not in dataset.column_names:
            hint = io.did_you_mean(column, dataset.column_names)
            found = ", ".join(dataset.column_names)
            raise io.UserError(
                f'datasets.{options.name}.columns: {place} has no "{column}".{hint} Found: {found}.'
            )
    if where:
        column, text = where["column"], where["contains"]
        dataset = dataset.filter(lambda value: text in value, input_columns=column)
    rows = dataset.select_columns(recipe["columns"]).with_format("arrow")
    with (
        io.atomic(options.output) as temporary,
        program.Progress(len(dataset), f"fetch {options.name}", "row") as bar,
    ):
        writer = None
        for batch in rows.iter(batch_size=10_000):
            writer = writer or pq.ParquetWriter(temporary, batch.schema, compression="zstd")
            writer.write_table(batch)
            bar.update(batch.num_rows)
        if writer is None:
            raise io.UserError(f"datasets.{options.name}: {place} has no rows.")
        writer.close()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--name", required=True, help="entry of `datasets`")
    arguments.add_argument("--output", type=Path, required=True, help="Parquet file")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.FetchDataset))
