"""One split of a dataset as one table: files at a resolved commit, read one by one.

Which files a subset or a split means is what the `datasets` library says of that commit; it also
reads what is not JSON or Parquet. All else is read here, columns that are wanted alone: its files
may then differ in the others, and one that is damaged is named.
"""

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from .. import io, program
from ..io import UserError
from . import hub, readers
from .readers import Source

_READ_HERE = ("json", "parquet")  # builders whose files are read without the library


class Where(TypedDict):
    """Rows whose `column` contains a text."""

    column: str
    contains: str


class Entry(TypedDict):
    """What to take: see the configuration's `datasets`."""

    repository: str
    revision: str
    subset: str
    files: Sequence[str]
    split: str
    columns: Sequence[str]
    where: NotRequired[Where | None]


@dataclass(frozen=True)
class _Rows:
    """Types, number and pieces of what is to be read."""

    schema: pa.Schema
    count: int
    tables: Iterator[pa.Table]


class _Place:
    """A repository of the hub at a commit, or a folder here."""

    def __init__(self, entry: Entry, what: str):
        self.entry, self.what = entry, what
        folder = Path(entry["repository"]).expanduser()
        self.folder = folder if folder.is_dir() else None
        self.repository: hub.Repository | None = None
        if self.folder:
            found = (path for path in self.folder.rglob("*") if path.is_file())
            self.names = sorted(path.relative_to(self.folder).as_posix() for path in found)
            self.loaded, self.prefix = str(self.folder), f"{self.folder.resolve().as_posix()}/"
            return
        if entry["repository"].startswith(("/", ".", "~")):
            raise UserError(f"{what}.repository: there is no folder {entry['repository']}.")
        if not entry["revision"]:
            raise UserError(f"{what}.revision: give the commit of {entry['repository']}.")
        self.repository = hub.look("dataset", entry["repository"], entry["revision"], what)
        self.what = self.repository.what
        self.names = sorted(self.repository.files)
        self.loaded = self.repository.name
        self.prefix = f"hf://datasets/{self.repository.name}@{self.repository.commit}/"

    def matching(self) -> list[str]:
        """Files that the entry's patterns name, in their order; each once."""
        found: dict[str, None] = {}
        for pattern in self.entry["files"]:
            steps = pattern.split("/")
            names = [name for name in self.names if _matches(name.split("/"), steps)]
            if not names:
                hint = io.did_you_mean(pattern, self.names)
                some = ", ".join(self.names[:5]) + (", ..." if len(self.names) > 5 else "")
                raise UserError(
                    f'{self.what}: no file matches "{pattern}".{hint} There are {some}.'
                )
            found |= dict.fromkeys(names)
        return list(found)

    def bring(self, names: Sequence[str]) -> list[Source]:
        """The files, here and checked."""
        if self.repository:
            places = self.repository.fetch(names)
            return [Source(name, places[name]) for name in names]
        assert self.folder
        sources = [Source(name, self.folder / name) for name in names]
        for source in sources:
            if hub.is_pointer(source.path):
                raise UserError(
                    f"{self.what}: {source.label} is a git-lfs pointer, not the file. Run `git lfs"
                    " pull` in its folder."
                )
        return sources


def fetch(entry: Entry, destination: Path, name: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Write the split that `entry` describes as one Parquet file; return where it came from.

    Of a hub that is repository, revision, commit and files with their digests, which `origin` (see
    `io.provenance`) gets as `hub` too; of a folder nothing.
    Raises UserError for whatever the user can mend.
    """
    place = _Place(entry, f"datasets.{name}")
    where = entry.get("where")
    columns = list(dict.fromkeys([*entry["columns"], *([where["column"]] if where else [])]))
    names: Sequence[str]
    if entry["files"]:
        names = place.matching()
        for file in names:
            readers.check_kind(file, place.what)
        rows = _read(place, names, columns)
    else:
        rows, names = _of_split(place, columns)
    if where and not _is_text(rows.schema.field(where["column"]).type):
        kind = rows.schema.field(where["column"]).type
        raise UserError(
            f'datasets.{name}.where: column "{where["column"]}" of {place.loaded} is {kind}, not'
            " text."
        )
    schema = pa.schema([rows.schema.field(column) for column in entry["columns"]])
    came = place.repository.record(names) if place.repository else {}
    added = {"hub": came} if came else {}
    written = 0
    with (
        io.table_writer(destination, schema, {**origin, **added}) as write,
        program.Progress(rows.count, f"fetch {name}", "row") as bar,
    ):
        for table in rows.tables:
            kept = table.filter(_chosen(table, where)) if where else table
            written += kept.num_rows
            if kept.num_rows:
                write(kept)
            bar.update(table.num_rows)
        if not written:
            rest = f' with "{where["contains"]}" in "{where["column"]}"' if where else ""
            raise UserError(f"{place.what}: there are no rows{rest}.")
    program.say(f"{name}: {written:,} of {rows.count:,} rows kept")
    return came


def _read(place: _Place, names: Sequence[str], columns: Sequence[str]) -> _Rows:
    sources = place.bring(names)
    schema, count = readers.plan(sources, columns, place.what)
    return _Rows(schema, count, readers.tables(sources, schema, place.what))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _chosen(table: pa.Table, where: Where) -> pa.ChunkedArray:
    """Whether the text is in the column; of a row without one it is not."""
    return pc.fill_null(pc.match_substring(table[where["column"]], where["contains"]), False)


def _matches(steps: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a path's steps fit a pattern's: `*` stays within a step, `**` spans any number."""
    if not patterns:
        return not steps
    if patterns[0] == "**":
        return any(_matches(steps[number:], patterns[1:]) for number in range(len(steps) + 1))
    return (
        bool(steps)
        and fnmatch.fnmatchcase(steps[0], patterns[0])
        and _matches(steps[1:], patterns[1:])
    )


# ---------------------------------------------------------------- subsets and splits


def _of_split(place: _Place, columns: Sequence[str]) -> tuple[_Rows, Sequence[str]]:
    """What the library says that a subset and a split are; read here where that can be."""
    import datasets

    entry, what = place.entry, place.what
    commit = place.repository.commit if place.repository else None
    if place.repository and "README.md" in place.names:
        place.repository.fetch(["README.md"])  # of a closed gate the library loses the cause
    builder = _library(
        what,
        lambda: datasets.load_dataset_builder(
            place.loaded, name=entry["subset"] or None, revision=commit
        ),
    )
    named = {str(split): list(files) for split, files in (builder.config.data_files or {}).items()}
    foreign = [
        file for files in named.values() for file in files if not file.startswith(place.prefix)
    ]
    if not named or foreign:  # offline, the library takes whatever version its cache holds
        raise UserError(
            f"{what}: the datasets library did not answer for this commit, but from its cache."
            " Run again later, or name the `files`."
        )
    split = entry["split"]
    if split not in named and not set("[+") & set(split):
        hint = io.did_you_mean(split, named)
        raise UserError(f'{what}: no split "{split}".{hint} There are {", ".join(named)}.')
    names = [file.removeprefix(place.prefix) for file in named.get(split, [])]
    maker = type(builder).__module__.rpartition(".")[2]
    if names and maker in _READ_HERE and all(map(readers.kind, names)):
        return _read(place, names, columns), names
    program.say(f"{what}: read by the datasets library ({maker})")
    dataset = _library(what, lambda: _prepared(builder, split))
    for column in columns:
        if column not in dataset.column_names:
            hint = io.did_you_mean(column, dataset.column_names)
            found = ", ".join(dataset.column_names)
            raise UserError(f'{what}: no column "{column}".{hint} Found: {found}.')
    rows = dataset.select_columns(list(columns)).with_format("arrow")
    pieces: Iterable[pa.Table] = rows.iter(batch_size=10_000)
    every = names or sorted(
        {f.removeprefix(place.prefix) for files in named.values() for f in files}
    )
    return _Rows(rows.features.arrow_schema, len(rows), iter(pieces)), every


def _prepared(builder: Any, split: str) -> Any:
    builder.download_and_prepare()
    return builder.as_dataset(split=split)


def _library(what: str, call: Callable[[], Any]) -> Any:
    """Call the datasets library; whatever it raises is one line."""
    with hub.explained(what):
        try:
            return call()
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None:  # its own errors hide the reason
                if hub.is_refusal(cause):
                    raise cause from None
                cause = cause.__cause__ or cause.__context__
            if isinstance(error, OSError) and not str(error):
                raise
            words = " ".join(str(error).partition(" with any supported")[0].split())[:300]
            words = words.rstrip(".")
            raise UserError(
                f"{what}: the datasets library cannot load it ({words or type(error).__name__})."
                " Check `subset`, or name its `files`."
            ) from None
