"""Some columns of foreign files as Arrow tables: Parquet, JSON, JSON lines, CSV, compressed or not.

Only the columns that are wanted are looked at, so that files may differ in all others. What cannot
be read is named: file, line or column.
"""

import bz2
import contextlib
import csv
import gzip
import io as streams
import json
import lzma
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from .. import io, program
from ..io import Row, UserError

_ROWS = 10_000  # of a piece, or as many as hold
_BYTES = 64 << 20
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_KINDS = {
    ".parquet": "parquet", ".jsonl": "lines", ".ndjson": "lines", ".json": "json",
    ".csv": ",", ".tsv": "\t",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A file, and what it is called in messages."""

    label: str
    path: Path

    @property
    def kind(self) -> str:
        """How it is read; "" for a kind that is not."""
        return kind(self.label)


def kind(name: str) -> str:
    """How a file of this name is read; "" for a kind that is not."""
    pure = PurePosixPath(name)
    compressed = pure.suffix in _COMPRESSED
    found = _KINDS.get(pure.with_suffix("").suffix if compressed else pure.suffix, "")
    return "" if compressed and found == "parquet" else found


def check_kind(name: str, what: str) -> None:
    """Refuse a file of a kind that is not read."""
    if not kind(name):
        raise UserError(
            f"{what}: {name} is of no kind that is read ({', '.join(_KINDS)}; all but Parquet also"
            f" with {', '.join(_COMPRESSED)})."
        )


def plan(sources: Sequence[Source], columns: Sequence[str], what: str) -> tuple[pa.Schema, int]:
    """The types of some columns over all files, and the number of rows.

    Raises UserError naming the file that is damaged, lacks a column or has it in a type that does
    not go with the others'.
    """
    schema = pa.schema([pa.field(name, pa.null()) for name in columns])
    rows = 0
    with program.Progress(len(sources), f"look at {what}", "file") as bar:
        for source in sources:
            for found, count in _shapes(source, columns, what):
                schema = _joined(schema, found, f"{what}: {source.label}")
                rows += count
            bar.update()
    nothing = [pa.field(f.name, pa.string()) if pa.types.is_null(f.type) else f for f in schema]
    return pa.schema(nothing), rows


def tables(sources: Iterable[Source], schema: pa.Schema, what: str) -> Iterator[pa.Table]:
    """The columns of `schema`, in its types, file by file in pieces."""
    for source in sources:
        for table in _pieces(source, schema.names, what, schema):
            yield table.select(schema.names).cast(schema)


def _joined(schema: pa.Schema, found: pa.Schema, place: str) -> pa.Schema:
    try:
        return pa.unify_schemas([schema, found], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        for field in found:
            before = schema.field(field.name).type
            if before != field.type:
                raise UserError(
                    f'{place}: column "{field.name}" is {field.type}, and {before} before.'
                    " Take files of one kind."
                ) from None
        raise


def _shapes(source: Source, columns: Sequence[str], what: str) -> Iterator[tuple[pa.Schema, int]]:
    """Types and numbers of rows, piece by piece; of Parquet from its footer alone."""
    if source.kind == "parquet":
        with _damage(source, what), pq.ParquetFile(source.path) as file:
            found = file.schema_arrow
            _check_columns(columns, found.names, f"{what}: {source.label}")
            fields = [pa.field(name, _plain(found.field(name).type)) for name in columns]
            yield pa.schema(fields), file.metadata.num_rows
    else:
        for table in _pieces(source, columns, what, None):
            yield table.schema, table.num_rows


def _pieces(
    source: Source, columns: Sequence[str], what: str, schema: pa.Schema | None
) -> Iterator[pa.Table]:
    place = f"{what}: {source.label}"
    with _damage(source, what):
        if source.kind == "parquet":
            with pq.ParquetFile(source.path, pre_buffer=False) as file:  # else it holds all of it
                for batch in file.iter_batches(_ROWS, columns=list(columns)):
                    yield pa.Table.from_batches([batch])
        elif source.kind in ("lines", "json"):
            yield from _from_json(source, columns, place, schema)
        else:
            yield from _from_csv(source, columns, place)


@contextlib.contextmanager
def _damage(source: Source, what: str) -> Iterator[None]:
    """Turn what the readers raise about a damaged file into one line that names it."""
    try:
        yield
    except MemoryError:  # Arrow's own is one of its exceptions
        raise
    except (pa.ArrowException, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"{what}: {source.label} cannot be read ({reason}). Is it damaged?"
        ) from None


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type without the ways in which a file may store it."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    return pa.string() if pa.types.is_string_view(kind) else kind


def _check_columns(columns: Sequence[str], found: Sequence[str], place: str) -> None:
    for column in columns:
        if column not in found:
            hint = io.did_you_mean(column, found)
            raise UserError(
                f'{place}: no column "{column}".{hint} Found: {", ".join(found) or "none"}.'
            )


def _open(path: Path, suffix: str) -> BinaryIO:
    opened: Any
    if suffix == ".zst":
        opened = streams.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))
    else:
        opened = {".gz": gzip, ".bz2": bz2, ".xz": lzma}.get(suffix, streams).open(path, "rb")
    stream: BinaryIO = opened
    return stream


# ---------------------------------------------------------------- JSON


def _from_json(
    source: Source, columns: Sequence[str], place: str, schema: pa.Schema | None
) -> Iterator[pa.Table]:
    rows: list[Row] = []
    begun, size, seen, keys = 1, 0, set[str](), list[str]()
    number = 0
    for number, length, row in _json_rows(source, place):
        keys = keys or list(row)
        seen.update(column for column in columns if column in row)
        rows.append({column: row.get(column) for column in columns})
        size += length
        if len(rows) == _ROWS or size > _BYTES:
            yield _table(rows, columns, f"{place}, rows {begun:,} to {number:,}", schema)
            rows, begun, size = [], number + 1, 0
    if number:  # a column that no row has is a mistake; one that some lack is a missing value
        _check_columns(columns, [*seen, *(key for key in keys if key not in seen)], place)
    if rows:
        yield _table(rows, columns, f"{place}, rows {begun:,} to {number:,}", schema)


def _json_rows(source: Source, place: str) -> Iterator[tuple[int, int, Row]]:
    """Number (from 1), length and content of every object."""
    with _open(source.path, PurePosixPath(source.label).suffix) as stream:
        if source.kind == "json":
            start = stream.read(1 << 16)
            stream.seek(0)
            if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
                whole = _decoded(stream.read(), place)
                for number, row in enumerate(whole, 1):
                    yield number, 0, _object(row, f"{place}, row {number:,}")
                return
        for number, line in enumerate(stream, 1):
            if line.strip():
                at = f"{place}, line {number:,}"
                yield number, len(line), _object(_decoded(line, at), at)


def _decoded(text: bytes, at: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        reason = "nested too deeply" if deep else str(error).splitlines()[0]
        raise UserError(f"{at}: not valid JSON ({reason}). Is the file damaged?") from None


def _object(row: Any, at: str) -> Row:
    if not isinstance(row, dict):
        raise UserError(f"{at}: a {type(row).__name__}, where an object is expected.")
    return row


def _table(
    rows: list[Row], columns: Sequence[str], place: str, schema: pa.Schema | None
) -> pa.Table:
    arrays = []
    for column in columns:
        values = [row[column] for row in rows]
        wanted = schema.field(column).type if schema else None
        try:
            try:
                arrays.append(pa.array(values, wanted))
            except UnicodeEncodeError:
                program.warn(f'{place}: "{column}" holds lone surrogates, which become U+FFFD')
                arrays.append(pa.array([_clean(value) for value in values], wanted))
        except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise UserError(
                f'{place}: the values of "{column}" do not fit one type ({reason}).'
            ) from None
    return pa.table(arrays, names=list(columns))


def _clean(value: Any) -> Any:
    """The value, lone surrogates in its texts replaced: they have no form in UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value


# ---------------------------------------------------------------- CSV


def _from_csv(source: Source, columns: Sequence[str], place: str) -> Iterator[pa.Table]:
    """All values as they are written: 007 stays 007."""
    suffix = PurePosixPath(source.label).suffix
    with _open(source.path, suffix) as stream:
        try:
            first = streams.TextIOWrapper(stream, encoding="utf-8-sig").readline()
        except UnicodeDecodeError as error:
            raise UserError(f"{place}: not UTF-8 text ({error}).") from None
    header = next(csv.reader([first], delimiter=source.kind), [])
    _check_columns(columns, header, place)
    with (
        _open(source.path, suffix) as stream,
        pyarrow.csv.open_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(block_size=_BYTES),
            parse_options=pyarrow.csv.ParseOptions(delimiter=source.kind, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(columns),
                column_types={column: pa.string() for column in columns},
                strings_can_be_null=False,
            ),
        ) as reader,
    ):
        for batch in reader:
            yield pa.Table.from_batches([batch])
