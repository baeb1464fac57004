"""Writes to a teacher's journal beside an event loop: in a thread, many to one transaction.

Each change waits for its own commit on the disk, but what comes together is committed together.
"""

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..program import say
from .journal import TeacherJournal, Unwritable

T = TypeVar("T")

_TOGETHER = 512  # changes in one transaction
_BALLAST = 16_000_000  # bytes kept back on the disk, for the answers under way when it is full


class _Change(NamedTuple):
    operation: Callable[[TeacherJournal], Any]
    sends: bool
    future: "asyncio.Future[Any]"


class JournalWriter:
    """The only user of `journal` while it is open (`async with`).

    A journal that can not be written (locked, full disk) is tried again for `patience` seconds.
    From the first full disk on nothing more is sent, and a file kept for that is given up so that
    answers under way still find room.
    """

    def __init__(self, journal: TeacherJournal, patience: float = 600.0):
        self.journal, self.patience = journal, patience
        self._changes: queue.SimpleQueue[_Change | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._ballast = Path(f"{journal.path}.room.{os.getpid()}.{id(self):x}")
        self._full = False

    async def do(self, operation: Callable[[TeacherJournal], T], sends: bool = False) -> T:
        """Run `operation` in a transaction; return once that is on the disk.

        sends: a request would follow, so it is refused when the disk is full. Raises what
        `operation` raises (it has changed nothing then), and Unwritable.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._changes.put(_Change(operation, sends, future))
        return await future

    async def __aenter__(self) -> "JournalWriter":
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError), self._ballast.open("wb") as stream:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, _BALLAST)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._changes.put(None)
        await asyncio.to_thread(self._thread.join)
        self._ballast.unlink(missing_ok=True)

    def _work(self) -> None:
        while (first := self._changes.get()) is not None:
            changes: list[_Change] = [first]
            last = False
            while len(changes) < _TOGETHER:
                try:
                    following = self._changes.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    last = True
                    break
                changes.append(following)
            results = self._patiently(changes)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(_deliver, changes, results)
            if last:
                return

    def _patiently(self, changes: list[_Change]) -> list[tuple[Any, BaseException | None]]:
        end, told = time.monotonic() + self.patience, False
        while True:
            try:
                return self._commit(changes)
            except Unwritable as error:
                if not told:
                    say(f"teacher: the journal can not be written: {error}; trying on")
                    told = True
                if self._is_full(error):
                    self._full = True
                    self._ballast.unlink(missing_ok=True)
                sending = self._full and all(change.sends for change in changes)
                if sending or time.monotonic() > end:
                    return [(None, error)] * len(changes)
                time.sleep(0.1)
            except Exception as error:  # damaged, or a defect: all of them failed
                return [(None, error)] * len(changes)

    @staticmethod
    def _is_full(error: Unwritable) -> bool:
        return "full" in str(error) or "disk I/O" in str(error)

    def _commit(self, changes: list[_Change]) -> list[tuple[Any, BaseException | None]]:
        results: list[tuple[Any, BaseException | None]] = []
        with self.journal.transaction():
            for change in changes:
                if change.sends and self._full:
                    results.append((None, Unwritable(f"{self.journal.path}: the disk is full")))
                    continue
                try:
                    results.append((change.operation(self.journal), None))
                except (Unwritable, sqlite3.Error):
                    raise
                except Exception as error:
                    results.append((None, error))
        return results


def _deliver(changes: list[_Change], results: list[tuple[Any, BaseException | None]]) -> None:
    for change, (result, error) in zip(changes, results, strict=True):
        if change.future.done():  # nobody waits any more
            continue
        if error is None:
            change.future.set_result(result)
        else:
            change.future.set_exception(error)
