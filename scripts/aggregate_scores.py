"""Join the shards of influence scores, and make one number of each candidate's subtasks (§ 3.3).

Reads the tables of score_influence, in the order of the shards. Writes SCORES.
"""

import argparse
from pathlib import Path

from jz3 import io, program
from jz3.records import SCORES, SHARD_SCORES
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Concatenate and aggregate."""
    import pyarrow as pa
    from jz3.influence import selection

    parts = [
        io.read_table(path, SHARD_SCORES, allow_empty=True, extra_prefix="score_")
        for path in options.shards
    ]
    for path, part in zip(options.shards, parts, strict=True):
        if part.schema.names != parts[0].schema.names:
            raise io.UserError(
                f"{path}: other subtasks than {options.shards[0]}. Delete both and rerun."
            )
    table = pa.concat_tables(parts)
    if not len(table):
        raise io.UserError(
            f"{options.shards[0].parent}: no candidate has a score; none has a solution within the"
            " recipe's `length` in tokens. Raise it, or look at the candidates."
        )
    names = [name for name in table.column_names if name.startswith("score_")]
    how = options.recipe["aggregate"]
    totals = [
        selection.aggregate(list(row), how)
        for row in zip(*(table[name].to_pylist() for name in names), strict=True)
    ]
    table = table.append_column("total", pa.array(totals, pa.float64()))
    schema = pa.schema([*SCORES, *(pa.field(name, pa.float64()) for name in names)])
    origin = program.origin(__file__, options, options.shards)
    io.write_table(options.output, table.select(schema.names), schema, origin)
    program.say(f"{len(table)} candidates scored for {', '.join(n[6:] for n in names)}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument(
        "--shards", type=Path, nargs="+", required=True, help="tables of score_influence"
    )
    arguments.add_argument("--output", type=Path, required=True, help="SCORES table")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.AggregateScores))
