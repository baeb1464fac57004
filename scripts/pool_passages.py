"""Join the passages of all sources: without exact duplicates, in the order of their identity.

The report counts, by source, what became of documents and passages.
"""

from argparse import Namespace
from pathlib import Path

from jz3 import io, passages, program, records


def main(options: Namespace) -> None:
    """Read all tables, drop duplicates, write the pool and its report."""
    tables = [io.read_table(path, records.PASSAGES) for path in options.passages]
    counts = [io.table_origin(path).get("counts") for path in options.passages]
    pooled, report = passages.pool(tables, counts)
    program.say(f"{pooled.num_rows} passages, {report['total']['duplicates']} duplicates dropped")
    origin = io.provenance("pool_passages", options.code, options.passages)
    io.write_table(options.output, pooled, records.PASSAGES, origin)
    io.write_json(options.report, report)


if __name__ == "__main__":
    parser = program.parser(__doc__)
    parser.add_argument("--passages", type=Path, nargs="+", required=True, help="one per source")
    parser.add_argument("--output", type=Path, required=True, help="passages, Parquet")
    parser.add_argument("--report", type=Path, required=True, help="counts by source, JSON")
    program.run(main, parser)
