"""Join the passages of all sources, without exact duplicates.

The report counts, by source, what became of documents and passages.
"""

import argparse
from collections import Counter
from pathlib import Path

from jz3 import io, program, records
from jz3.corpus import passages


def main(options: argparse.Namespace) -> None:
    """Write the pool piece by piece, dropping duplicates, then its report."""
    origin = program.origin(__file__, options, options.passages, seeded=False)
    counts = [io.table_origin(path).get("counts") for path in options.passages]
    found: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    pooled = passages.pool(options.passages, found, kept)
    io.write_table(options.output, pooled, records.PASSAGES, origin)
    report = passages.pool_report(counts, found, kept)
    total = report["total"]
    program.say(f"{total['kept']} passages, {total['duplicates']} duplicates dropped")
    io.write_json(options.report, report)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--passages", type=Path, nargs="+", required=True, help="one per source")
    arguments.add_argument("--output", type=Path, required=True, help="passages, Parquet")
    arguments.add_argument("--report", type=Path, required=True, help="counts by source, JSON")
    return arguments


if __name__ == "__main__":
    program.run(main, parser())
