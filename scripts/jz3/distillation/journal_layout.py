"""The file of a teacher's journal: its tables, how it is made, and which errors mean damage."""

import contextlib
import os
import secrets
import sqlite3
from pathlib import Path

from ..io import UserError

VERSION = 2  # of the file's layout, in PRAGMA user_version

STATES = ("sent", "batch", "lost", "paid", "settled")

TABLES = """
CREATE TABLE answers (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, record TEXT NOT NULL, checksum TEXT NOT NULL);
CREATE TABLE charges (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, owner TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sent', 'batch', 'lost', 'paid', 'settled')),
    nano_dollars INTEGER NOT NULL CHECK (nano_dollars >= 0), made INTEGER NOT NULL,
    checksum TEXT NOT NULL);
CREATE INDEX under_way ON charges (key) WHERE state IN ('sent', 'batch');
CREATE TABLE balance (one INTEGER PRIMARY KEY CHECK (one = 1), charged INTEGER NOT NULL);
CREATE TABLE pace (name TEXT PRIMARY KEY, next REAL NOT NULL);
CREATE TABLE batches (id TEXT PRIMARY KEY, record TEXT NOT NULL);
INSERT INTO balance VALUES (1, 0);
CREATE TRIGGER charge_made AFTER INSERT ON charges BEGIN
    UPDATE balance SET charged = charged + NEW.nano_dollars; END;
CREATE TRIGGER charge_changed AFTER UPDATE ON charges BEGIN
    UPDATE balance SET charged = charged - OLD.nano_dollars + NEW.nano_dollars; END;
CREATE TRIGGER charge_gone AFTER DELETE ON charges BEGIN
    UPDATE balance SET charged = charged - OLD.nano_dollars; END;
"""


def damaged(path: Path, what: str) -> str:
    """The line about a damaged journal."""
    return (
        f"{path}: not a usable teacher journal ({what}). Restore it from a copy, or read what is"
        f" left of it: python scripts/journal.py salvage {path} --output NEW. Without a journal"
        " everything would be asked, and paid for, again."
    )


def passes(error: sqlite3.Error) -> bool:
    """Whether it is about the moment (a lock, a full disk) and not about the content."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM,
    )  # fmt: skip


def make_tables(db: sqlite3.Connection) -> None:
    """Make the tables of this layout."""
    statement = ""
    for line in TABLES.splitlines():  # executescript would end the transaction
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
    db.execute(f"PRAGMA user_version = {VERSION}")


def create(path: Path) -> None:
    """A new journal, whole or absent: a file without content is then always a damaged one."""
    if Path(f"{path}-wal").exists():
        raise UserError(damaged(path, f"the file is gone, {path.name}-wal is still there"))
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with contextlib.closing(sqlite3.connect(scratch, isolation_level=None)) as db:
            db.execute("BEGIN")
            make_tables(db)
            db.execute("COMMIT")
        with contextlib.suppress(FileExistsError):  # another job was faster
            os.link(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
