"""Join the passages of all sources, without exact duplicates.

The report counts, by source, what became of documents and passages.
"""

from argparse import Namespace
from collections import Counter
from pathlib import Path

from jz3 import io, program, records
from jz3.corpus import passages


def main(options: Namespace) -> None:
    """Write the pool piece by piece, dropping duplicates, then its report."""
    origin = io.provenance("pool_passages", options.code, options.passages)
    counts = [io.table_origin(path).get("counts") for path in options.passages]
    found, kept = Counter(), Counter()
    pooled = passages.pool(options.passages, found, kept)
    io.write_table(options.output, pooled, records.PASSAGES, origin)
    report = passages.pool_report(counts, found, kept)
    total = report["total"]
    program.say(f"{total['kept']} passages, {total['duplicates']} duplicates dropped")
    io.write_json(options.report, report)


if __name__ == "__main__":
    parser = program.parser(__doc__)
    parser.add_argument("--passages", type=Path, nargs="+", required=True, help="one per source")
    parser.add_argument("--output", type=Path, required=True, help="passages, Parquet")
    parser.add_argument("--report", type=Path, required=True, help="counts by source, JSON")
    program.run(main, parser)
