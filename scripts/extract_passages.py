"""Cut the documents of one source into passages (paper section 3.1).

Recipe: {"source": corpus.sources[name], "passage": corpus.passage}. The table's provenance holds
the counts that `pool_passages` reports.
"""

import importlib.metadata
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
from jz3 import io, passages, program, records
from jz3.documents import Document, read_documents

BATCH = 10_000  # passages held as Python objects at a time


def main(options: Namespace) -> None:
    """Read, cut, check, write."""
    source, settings = options.recipe["source"], options.recipe["passage"]
    documents = read_documents(options.name, source, options.files, options.seed)
    counts = Counter(dict.fromkeys(passages.COUNTS, 0))
    rows = passages.extract(
        counted(documents), options.name, source["kind"], settings, options.seed, counts
    )
    table = records_table(rows)
    program.say(f"{options.name}: " + ", ".join(f"{counts[key]} {key}" for key in passages.COUNTS))
    passages.check_found(options.name, counts)
    origin = io.provenance("extract_passages", options.code, options.files, options.seed)
    for package in source.get("packages") or []:
        with suppress(importlib.metadata.PackageNotFoundError):
            origin["packages"][package] = importlib.metadata.version(package)
    origin["counts"] = {"source": options.name, "kind": source["kind"], **counts}
    io.write_table(options.output, table, records.PASSAGES, origin)


def counted(documents: Iterator[Document]) -> Iterator[Document]:
    """Pass the documents on with a bar; their number is not known beforehand."""
    with program.Progress(0, "documents", "document") as bar:
        for document in documents:
            bar.total += 1
            yield document
            bar.update()


def records_table(rows: Iterator[dict]) -> pa.Table:
    """Collect rows as Arrow batches, so that a large source fits into memory."""
    batches, batch = [], []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            batches.append(pa.RecordBatch.from_pylist(batch, schema=records.PASSAGES))
            batch = []
    batches.append(pa.RecordBatch.from_pylist(batch, schema=records.PASSAGES))
    return pa.Table.from_batches(batches, schema=records.PASSAGES)


if __name__ == "__main__":
    parser = program.parser(__doc__)
    parser.add_argument("--name", required=True, help="name of the source")
    parser.add_argument("--files", type=Path, nargs="*", default=[], help="its files")
    parser.add_argument("--output", type=Path, required=True, help="passages, Parquet")
    program.run(main, parser)
