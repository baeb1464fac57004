"""A teacher's journal as JSON lines, and what can be read of a damaged one.

`salvage` needs no working index: it walks over the file's pages, those in its write-ahead log
included, and takes every table row whose checksum fits (format: sqlite.org/fileformat2).
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..io import UserError
from .journal import TeacherJournal
from .journal_layout import STATES
from .journal_records import Record, charge_sum, checksum, serves


def export(journal: TeacherJournal, path: Path) -> tuple[int, int]:
    """Write records and charges as JSON lines; return how many of each."""
    charges = journal.charges(STATES)
    records = 0
    with path.open("w", encoding="utf-8") as stream:
        for key, record in journal.records():
            records += 1
            stream.write(json.dumps({"key": key, "record": record}) + "\n")
        for charge in charges:
            stream.write(json.dumps({"charge": charge}) + "\n")
    return records, len(charges)


def bring_in(journal: TeacherJournal, path: Path) -> tuple[int, int]:
    """Take over JSON lines that `export` wrote; return the numbers of new records and charges.

    A record that is there is left as it is, unless it was cut off shorter; so are charges that this
    journal knows (of the same request, job and time). Raises UserError naming a line at fault.
    """
    records = charges = 0
    known = {(charge["key"], charge["owner"], charge["made"]) for charge in journal.charges(STATES)}
    with journal.transaction(), path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                value = json.loads(line)
                if "record" in value:
                    key, record = value["key"], _record(value["record"])
                    kept = journal.record(key)
                    if kept is None or not serves(kept, record["length"]):
                        journal.put(key, record)
                        records += 1
                    continue
                charge = value["charge"]
                if (charge["key"], charge["owner"], charge["made"]) in known:
                    continue
                state = "lost" if charge["state"] in ("sent", "batch") else charge["state"]
                journal.enter(
                    charge["key"], state, charge["nano_dollars"], charge["owner"], charge["made"]
                )
                charges += 1
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise UserError(
                    f"{path}, line {number}: not a line of an exported journal"
                    f" ({type(error).__name__}). Nothing was taken in; remove the line and rerun."
                ) from None
    return records, charges


def _record(value: Any) -> Record:
    """The record, where it has all its fields in their types. Raises TypeError, KeyError."""
    for name, kind in Record.__annotations__.items():
        if type(value[name]) is not kind:
            raise TypeError(name)
    record: Record = value
    return record


def salvage(path: Path, output: Path) -> tuple[int, int]:
    """Make a new journal of what is whole in a damaged one; return numbers of records and charges.

    Raises UserError where `output` is there already, or nothing is whole.
    """
    if output.exists():
        raise UserError(f"{output}: is there already; name a file that is not.")
    records: dict[str, tuple[int, str]] = {}
    charges: dict[int, tuple[Any, ...]] = {}
    for number, row in _rows(path):
        if len(row) == 4 and row[3] == checksum(row[1], row[2]):
            # A page given up may still hold an older row: the one that came last counts.
            records[str(row[1])] = max(records.get(str(row[1]), (0, "")), (number, str(row[2])))
        elif (
            len(row) == 7
            and row[6] == charge_sum(number, *row[1:6])
            and (number not in charges or charges[number][2] in ("sent", "batch", "lost"))
        ):
            charges[number] = row[1:6]
    if not records and not charges:
        raise UserError(f"{path}: nothing whole is left in it; restore a copy.")
    with TeacherJournal(output) as journal, journal.transaction():
        for key, (_, record) in sorted(records.items(), key=lambda item: item[1][0]):
            journal.put(key, json.loads(record))
        for key, owner, state, nano_dollars, made in charges.values():
            journal.enter(
                key, "lost" if state in ("sent", "batch") else state, nano_dollars, owner, made
            )  # fmt: skip
    return len(records), len(charges)


# ---------------------------------------------------------------- SQLite's pages


def _rows(path: Path) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """(row number, values) of all table rows on all pages; older ones of a row come first."""
    try:
        data = path.read_bytes()
        log = Path(f"{path}-wal")
        tail = log.read_bytes() if log.exists() else b""
    except OSError as error:
        raise UserError(f"{path}: can not be read ({error.strerror}).") from None
    size = _page_size(data, tail)
    pages = {k + 1: data[k * size : (k + 1) * size] for k in range(len(data) // size)}
    yield from _rows_of(pages, size)
    newer = dict(pages)
    for at in range(32, len(tail) - size - 23, size + 24):  # frames: a header, and a page
        (number,) = struct.unpack_from(">I", tail, at)
        newer[number] = tail[at + 24 : at + 24 + size]
    if tail:
        yield from _rows_of(newer, size)


def _page_size(data: bytes, log: bytes) -> int:
    for content, at, form in ((log, 8, ">I"), (data, 16, ">H")):
        if len(content) > at + 4:
            (size,) = struct.unpack_from(form, content, at)
            size = 65536 if size == 1 else size
            if 512 <= size <= 65536 and not size & (size - 1):
                return int(size)
    return 4096


def _rows_of(pages: dict[int, bytes], size: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
    for number, page in sorted(pages.items()):
        start = 100 if number == 1 else 0
        if len(page) < size or page[start] != 0x0D:  # a leaf of a table
            continue
        (count,) = struct.unpack_from(">H", page, start + 3)
        for k in range(min(count, size // 4)):
            try:
                (at,) = struct.unpack_from(">H", page, start + 8 + 2 * k)
                yield _cell(pages, page, at, size)
            except (IndexError, ValueError, KeyError, struct.error):
                continue  # this one is damaged


def _cell(pages: dict[int, bytes], page: bytes, at: int, size: int) -> tuple[int, tuple[Any, ...]]:
    length, at = _varint(page, at)
    number, at = _varint(page, at)
    most, least = size - 35, (size - 12) * 32 // 255 - 23
    local = length
    if length > most:
        local = least + (length - least) % (size - 4)
        local = local if local <= most else least
    payload = bytearray(page[at : at + local])
    if length > local:
        (following,) = struct.unpack_from(">I", page, at + local)
        while following and len(payload) < length:
            overflow = pages[following]
            (following,) = struct.unpack_from(">I", overflow, 0)
            payload += overflow[4 : 4 + length - len(payload)]
    if len(payload) != length:
        raise ValueError("cut off")
    return number, tuple(_values(bytes(payload)))


def _values(payload: bytes) -> Iterator[Any]:
    end, at = _varint(payload, 0)
    place = end
    while at < end:
        kind, at = _varint(payload, at)
        if kind in (0, 8, 9):
            yield None if kind == 0 else kind - 8
            continue
        size = (0, 1, 2, 3, 4, 6, 8, 8)[kind] if kind < 8 else (kind - 12) // 2
        value = payload[place : place + size]
        place += size
        if kind < 7:
            yield int.from_bytes(value, "big", signed=True)
        else:
            yield value.decode() if kind % 2 and kind > 12 else value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for k in range(9):
        byte = data[at + k]
        if k == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + k + 1
    raise ValueError("no number")
