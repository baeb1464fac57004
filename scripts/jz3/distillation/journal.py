"""What a teacher was asked, what it answered and what that cost: one SQLite file.

Several jobs may share the file (it is in WAL mode, so it belongs on a local disk). A record is
keyed by what was asked of whom: the sha256 of the request's body without the longest length allowed
(a longer one asks again only for what was cut off). Failures that belong to a request (a refusal, a
text too long) are records as well: they cost money and are not asked again unless that is wished
(`forget`).

Money is counted in whole nano-dollars. Before a request is sent, its worst case is entered as a
charge in state "sent", which is also the claim that keeps other jobs from asking the same; the end
of the request replaces it by the real price in one transaction with the record. A charge whose job
was killed, or whose connection broke, stays at its worst case until somebody settles it: the
provider may have billed it. So the sum of all charges never falls below what was spent, and nothing
need be cleaned up after a crash.

Each row has a checksum. A damaged file is one readable line, and `journal_files.salvage` reads what
is left of it.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..io import UserError
from .claims import Owner, lives
from .journal_layout import VERSION, create, damaged, make_tables, passes
from .journal_records import (
    NANO,
    Answer,
    Charge,
    Record,
    answer_of,
    charge_sum,
    checksum,
    length_of,
    request_key,
    serves,
)  # fmt: skip

__all__ = ["NANO", "Answer", "Busy", "Charge", "OverBudget", "Record", "TeacherJournal",
           "Unwritable", "answer_of", "request_key"]  # fmt: skip


class OverBudget(Exception):
    """The worst case of a request does not fit into what is left of the budget.

    shared: another living job holds charges that may yet be given back.
    """

    def __init__(self, shared: bool = False):
        super().__init__("over budget")
        self.shared = shared


class Busy(Exception):
    """Another living job, or a batch ("batch"), is asking for the same at this moment."""


class Unwritable(Exception):
    """The journal can not be written just now: it is locked, or the disk is full."""


class TeacherJournal:
    """The journal at `path`, made if it is not there. Usable from one thread at a time.

    Raises UserError where the file is damaged, not a journal or can not be opened; each change
    raises Unwritable where the file is locked for `patience` seconds or the disk is full.
    """

    def __init__(self, path: str | Path, patience: float = 60.0):
        self.path = Path(path)
        self._alive: Owner | None = None
        self._inside = False
        with _disk(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                create(self.path)
        if self.path.stat().st_size == 0:
            raise UserError(damaged(self.path, "it is empty"))
        try:
            with self._errors():
                self._open(patience)
        except Unwritable as error:
            raise UserError(
                f"{error}: the teacher's journal can not be opened for writing. End what locks it,"
                " or free some space, and run again."
            ) from None

    def _open(self, patience: float) -> None:
        self._db = sqlite3.connect(
            self.path, timeout=patience, isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # a paid answer outlives a power cut
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            self._upgrade(version)
        self._check_balance()

    @property
    def owner(self) -> str:
        """The name under which this journal claims requests, for as long as it is open."""
        if self._alive is None:
            self._alive = Owner(self.path)
        return self._alive.name

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if passes(error):
                raise Unwritable(f"{self.path}: {error}") from None
            raise UserError(damaged(self.path, str(error))) from None
        except sqlite3.DatabaseError as error:
            raise UserError(damaged(self.path, str(error))) from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing; a block within a block belongs to the outer one."""
        if self._inside:
            yield self._db
            return
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")  # the write lock first: no two jobs read one sum
            self._inside = True
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            finally:
                self._inside = False

    # ------------------------------------------------------------ records

    def record(self, key: str) -> Record | None:
        """What is kept of a request. Raises UserError where its checksum does not fit."""
        with self._errors():
            row = self._db.execute(
                "SELECT record, checksum FROM answers WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else self._read(key, *row)

    def records(self) -> Iterator[tuple[str, Record]]:
        """All of them with their keys, in the order of arrival."""
        with self._errors():
            for row in self._db.execute("SELECT key, record, checksum FROM answers ORDER BY id"):
                yield row[0], self._read(*row)

    def _read(self, key: str, record: str, found: str) -> Record:
        if checksum(key, record) != found:
            raise UserError(damaged(self.path, f"the record {key[:12]} has another checksum"))
        value: Record = json.loads(record)
        return value

    def answer(self, key: str) -> Answer | None:
        """The kept answer to a request."""
        record = self.record(key)
        return None if record is None else answer_of(record)

    def put(self, key: str, record: Record) -> None:
        """Keep a record in the place of any before."""
        text = json.dumps(record, sort_keys=True, ensure_ascii=False)
        with self.transaction() as db:
            db.execute("DELETE FROM answers WHERE key = ?", (key,))
            db.execute(
                "INSERT INTO answers (key, record, checksum) VALUES (?, ?, ?)",
                (key, text, checksum(key, text)),
            )

    def forget(self, kinds: Iterable[str] = ()) -> int:
        """Drop the failures of these kinds (none given: all), so that they are asked again.

        Their charges stay. Returns how many.
        """
        kinds = set(kinds)
        gone = [
            key for key, record in self.records()
            if record["failure"] and (not kinds or record["failure"] in kinds)
        ]  # fmt: skip
        with self.transaction() as db:
            db.executemany("DELETE FROM answers WHERE key = ?", [(key,) for key in gone])
        return len(gone)

    # ------------------------------------------------------------ charges, which are claims too

    def begin(
        self, key: str, worst: int, budget: int, length: int = 0, state: str = "sent"
    ) -> int | Record:
        """Claim a request and enter its worst case (nano-dollars): the charge's number.

        A record, where one serves by now. state: "batch" for a part of one, which is nobody's claim
        and ends with the batch. Raises Busy where another living job, or a batch, asks the same,
        and OverBudget where all charges would come to more than `budget`; nothing is entered then.
        """
        owner = self.owner
        with self.transaction() as db:
            record = self.record(key)
            if record is not None and serves(record, length):
                return record
            for other, held in db.execute(
                "SELECT DISTINCT owner, state FROM charges"
                " WHERE key = ? AND state IN ('sent', 'batch')", (key,),
            ).fetchall():  # fmt: skip
                if held == "batch":
                    raise Busy("batch")
                if other != owner and lives(self.path, other):
                    raise Busy
            (spent,) = db.execute("SELECT charged FROM balance").fetchone()
            if worst > 0 and spent + worst > budget:
                raise OverBudget(self._others_live(db))
            return self.enter(key, state, worst, owner, int(time.time()))

    def enter(self, key: str, state: str, nano_dollars: int, owner: str, made: int) -> int:
        """Enter a charge as it is; return its number. Inside a `transaction`."""
        db, row = self._db, (key, owner, state, nano_dollars, made)
        cursor = db.execute(
            "INSERT INTO charges (key, owner, state, nano_dollars, made, checksum)"
            " VALUES (?, ?, ?, ?, ?, '')", row,
        )  # fmt: skip
        charge = int(cursor.lastrowid or 0)
        db.execute(
            "UPDATE charges SET checksum = ? WHERE id = ?", (charge_sum(charge, *row), charge)
        )
        return charge

    def _others_live(self, db: sqlite3.Connection) -> bool:
        others = db.execute("SELECT DISTINCT owner FROM charges WHERE state = 'sent'").fetchall()
        return any(other != self.owner and lives(self.path, other) for (other,) in others)

    def reserve(self, key: str, worst: int, budget: int) -> int:
        """`begin` for a request of which nothing is kept."""
        charge = self.begin(key, worst, budget)
        if not isinstance(charge, int):
            raise ValueError("answered already")
        return charge

    def release(self, charge: int) -> None:
        """Take back a charge for a request that the provider refused or never received."""
        with self.transaction() as db:
            db.execute("DELETE FROM charges WHERE id = ?", (charge,))

    def lose(self, charge: int) -> None:
        """Leave a charge at its worst case: nobody knows whether the provider billed it."""
        self._change(charge, "lost")

    def pay(self, charge: int, price: int) -> None:
        """Settle a charge at `price`, for a request that is going to be asked again."""
        self._change(charge, "paid", price)

    def keep(
        self, key: str, body: Any, response: str, answer: Answer, charge: int, price: int
    ) -> None:
        """Keep an answer and settle its charge at `price` (nano-dollars), both or neither."""
        record: Record = {
            "body": json.dumps(body), "response": response, "text": answer["text"],
            "finish_reason": answer["finish_reason"], "failure": "", "length": length_of(body),
            "prompt_tokens": answer["prompt_tokens"],
            "completion_tokens": answer["completion_tokens"], "model": answer["model"],
            "nano_dollars": price,
        }  # fmt: skip
        self.keep_record(key, record, charge)

    def keep_record(self, key: str, record: Record, charge: int) -> None:
        """Keep a record and settle its charge at the record's price, both or neither."""
        with self.transaction():
            self.put(key, record)
            self._change(charge, "paid", record["nano_dollars"])

    def settle(self, charge: int, nano_dollars: int) -> None:
        """Enter what the provider's bill says of an open charge."""
        self._change(charge, "settled", nano_dollars)

    def _change(self, charge: int, state: str, nano_dollars: int | None = None) -> None:
        with self.transaction() as db:
            row = db.execute(
                "SELECT key, owner, nano_dollars, made FROM charges WHERE id = ?", (charge,)
            ).fetchone()
            if row is None:
                raise UserError(f"{self.path}: no charge {charge}; `list` shows those that are.")
            key, owner, before, made = row
            amount = before if nano_dollars is None else nano_dollars
            db.execute(
                "UPDATE charges SET state = ?, nano_dollars = ?, checksum = ? WHERE id = ?",
                (state, amount, charge_sum(charge, key, owner, state, amount, made), charge),
            )

    def totals(self) -> tuple[int, int]:
        """(all charges, the part of them whose end nobody knows yet), in nano-dollars."""
        with self._errors():
            spent, open_ = self._db.execute(
                "SELECT charged, (SELECT COALESCE(SUM(nano_dollars), 0) FROM charges"
                " WHERE state IN ('sent', 'batch', 'lost')) FROM balance"
            ).fetchone()
        return spent, open_

    def charges(self, states: Iterable[str] = ("sent", "batch", "lost")) -> list[Charge]:
        """Charges in these states; see `under_way`."""
        names = ("id", "key", "owner", "state", "nano_dollars", "made")
        wanted = tuple(states)
        with self._errors():
            rows = self._db.execute(
                f"SELECT {', '.join(names)}, checksum FROM charges"
                f" WHERE state IN ({', '.join('?' * len(wanted))}) ORDER BY id", wanted,
            ).fetchall()  # fmt: skip
        found: list[Any] = []
        for *row, kept in rows:
            if charge_sum(*row) != kept:
                raise UserError(damaged(self.path, f"the charge {row[0]} has another checksum"))
            found.append(dict(zip(names, row, strict=True)))
        return found

    def other_lives(self, owner: str) -> bool:
        """Whether a job of that name, other than this one, still lives."""
        return owner != self.owner and lives(self.path, owner)

    def under_way(self, charge: Charge) -> bool:
        """Whether a charge belongs to a batch, or to a job that still lives."""
        state, owner = charge["state"], charge["owner"]
        return state == "batch" or (state == "sent" and lives(self.path, owner))

    def _check_balance(self) -> None:
        charged, total = self._db.execute(
            "SELECT charged, (SELECT COALESCE(SUM(nano_dollars), 0) FROM charges) FROM balance"
        ).fetchone()
        if charged != total:
            text = f"its charges come to {total}, its balance says {charged}"
            raise UserError(damaged(self.path, text))

    # ------------------------------------------------------------ pace

    def turn(self, per_minute: float, amount: float = 1.0, name: str = "requests") -> float:
        """Take the next place in the queue of all jobs here; return the seconds to wait for it.

        amount: what the request takes of the `per_minute` allowed (0: no limit).
        """
        if per_minute <= 0:
            return 0.0
        now = time.time()
        with self.transaction() as db:
            place = max(now, self._next(db, name, now))
            self._set_next(db, name, place + 60 * amount / per_minute)
        return place - now

    def pause(self, seconds: float) -> None:
        """Let all jobs wait: the provider asked for it."""
        now = time.time()
        with self.transaction() as db:
            self._set_next(db, "pause", max(now + seconds, self._next(db, "pause", now)))

    def paused(self) -> float:
        """Seconds that all jobs still have to wait."""
        now = time.time()
        with self._errors():
            return max(0.0, self._next(self._db, "pause", now) - now)

    @staticmethod
    def _next(db: sqlite3.Connection, name: str, now: float) -> float:
        row = db.execute("SELECT next FROM pace WHERE name = ?", (name,)).fetchone()
        return float(row[0]) if row and row[0] <= now + 3600 else 0.0  # else the clock was set back

    @staticmethod
    def _set_next(db: sqlite3.Connection, name: str, place: float) -> None:
        db.execute("INSERT OR REPLACE INTO pace VALUES (?, ?)", (name, place))

    # ------------------------------------------------------------ batches

    def batches(self) -> dict[str, dict[str, Any]]:
        """Batches noted and not yet taken in, by our name for them."""
        with self._errors():
            rows = self._db.execute("SELECT id, record FROM batches").fetchall()
        return {number: json.loads(record) for number, record in rows}

    def set_batch(self, name: str, record: dict[str, Any] | None) -> None:
        """Keep a batch, or drop it (None)."""
        with self.transaction() as db:
            db.execute("DELETE FROM batches WHERE id = ?", (name,))
            if record is not None:
                db.execute("INSERT INTO batches VALUES (?, ?)", (name, json.dumps(record)))

    # ------------------------------------------------------------ file

    def _upgrade(self, version: int) -> None:
        """Take over a journal of the first layout, with all that was paid for."""
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master")}
        if version or not {"answers", "charges"} <= tables:
            raise UserError(
                f"{self.path}: not a usable teacher journal (layout {version}, this is {VERSION})."
                " Use the program that wrote it, or give another path."
            )
        with self.transaction() as db:
            columns = [row[1] for row in db.execute("PRAGMA table_info(answers)")]
            if "record" in columns:  # another job was faster
                return
            rows = [
                dict(zip(columns, row, strict=True)) for row in db.execute("SELECT * FROM answers")
            ]
            charges = db.execute("SELECT key, nano_dollars, answered FROM charges").fetchall()
            keys: dict[str, str] = {}
            for name in ("answers", "charges", "pace"):
                db.execute(f"DROP TABLE IF EXISTS {name}")
            make_tables(db)
            for row in rows:
                if row["finish_reason"] == "error":
                    continue  # that layout asked them again
                body = json.loads(row["body"])
                keys[row.pop("key")] = request_key(body)
                record: Any = row | {"failure": "", "length": length_of(body)}
                self.put(request_key(body), record)
            for key, nano_dollars, answered in charges:
                self.enter(keys.get(key, key), "paid" if answered else "lost", nano_dollars, "", 0)

    def close(self) -> None:
        """Close the file and give up all claims."""
        self._db.close()
        if self._alive:
            self._alive.close()
            self._alive = None

    def __enter__(self) -> "TeacherJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unwritable(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(
            f"{path}: no journal can be made there ({error.strerror}); give another place."
        ) from None
