"""Cut the documents of one source into passages (paper section 3.1).

Recipe: {"source": corpus.sources[name], "passage": corpus.passage}. The table's provenance holds
the counts that `pool_passages` reports.
"""

import argparse
import importlib.metadata
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
from jz3 import io, program, records
from jz3.corpus import passages
from jz3.corpus.documents import Document, read_documents
from jz3.workflow import recipes
from jz3.workflow.messages import accepts

BATCH = 10_000  # passages held as Python objects at a time


def main(options: argparse.Namespace) -> None:
    """Read, cut, check, write."""
    source, settings = options.recipe["source"], options.recipe["passage"]
    documents = read_documents(options.name, source, options.files, options.seed)
    counts = Counter(dict.fromkeys(passages.COUNTS, 0))
    rows = passages.extract(
        counted(documents), options.name, source["kind"], settings, options.seed, counts
    )
    origin = program.origin(__file__, options, options.files)
    for package in source.get("packages") or []:
        with suppress(importlib.metadata.PackageNotFoundError):
            origin["packages"][package] = importlib.metadata.version(package)

    def tables() -> Iterator[pa.Table]:
        for batch in batched(rows):
            yield pa.Table.from_pylist(batch, schema=records.PASSAGES)
        told = ", ".join(f"{counts[key]} {key}" for key in passages.COUNTS)
        program.say(f"{options.name}: {told}")
        passages.check_found(options.name, counts)
        origin["counts"] = {"source": options.name, "kind": source["kind"], **counts}

    io.write_table(options.output, tables(), records.PASSAGES, origin)


def counted(documents: Iterator[Document]) -> Iterator[Document]:
    """Pass the documents on with a bar; their number is not known beforehand."""
    with program.Progress(0, "documents", "document") as bar:
        for document in documents:
            bar.total += 1
            yield document
            bar.update()


def batched(rows: Iterator[records.Passage]) -> Iterator[list[records.Passage]]:
    """The rows in lists of BATCH."""
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--name", required=True, help="name of the source")
    arguments.add_argument("--files", type=Path, nargs="*", default=[], help="its files")
    arguments.add_argument("--output", type=Path, required=True, help="passages, Parquet")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.ExtractPassages))
