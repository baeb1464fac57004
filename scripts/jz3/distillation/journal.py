"""What a teacher was asked, what it answered and what that cost: one SQLite file.

Several jobs may share the file (it is in WAL mode, so it belongs on a local disk). An answer is
keyed by the sha256 of the exact request body; a changed prompt, model name or temperature is
another request, an added row leaves all others answered.

Money is counted in whole nano-dollars. Before a request is sent, its worst case is entered as a
charge; the answer replaces that by the real price in one transaction with the answer itself. A
charge without an answer (the job was killed, the connection broke) stays at its worst case for
good: the provider may have billed it. So the sum of all charges never falls below what was spent,
and nothing need be cleaned up after a crash.
"""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from ..io import UserError, digest

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam, completion_create_params

NANO = 1_000_000_000

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, body TEXT NOT NULL, response TEXT NOT NULL, text TEXT NOT NULL,
    finish_reason TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    model TEXT NOT NULL, nano_dollars INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS charges (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, nano_dollars INTEGER NOT NULL,
    answered INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS pace (one INTEGER PRIMARY KEY CHECK (one = 1), next REAL NOT NULL);
"""


class OverBudget(Exception):
    """The worst case of a request does not fit into what is left of the budget."""


class Body(TypedDict):
    """A request in OpenAI's wire format."""

    model: str
    messages: "list[ChatCompletionMessageParam]"
    temperature: float
    max_tokens: int
    seed: int
    response_format: NotRequired["completion_create_params.ResponseFormat"]


class Answer(TypedDict):
    """What the teacher answered. finish_reason: stop | length | error; cost: dollars."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    model: str
    cost: float


def request_key(body: Body) -> str:
    """Identity of a request: sha256 of its body as canonical JSON."""
    return digest(body, 64)


class TeacherJournal:
    """The journal at `path`, made if it is not there.

    Raises UserError where the file is not a journal.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # a paid answer outlives a power cut
            self._db.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{self.path}: not a usable teacher journal ({error}). Restore it from a copy, or"
                " move it away to ask (and pay for) everything again."
            ) from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")  # the write lock first: no two jobs read one balance
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def answer(self, key: str) -> Answer | None:
        """The kept answer to a request."""
        row = self._db.execute(
            "SELECT text, finish_reason, prompt_tokens, completion_tokens, model, nano_dollars"
            " FROM answers WHERE key = ?",
            (key,),
        ).fetchone()
        if row is None:
            return None
        text, finish_reason, prompt_tokens, completion_tokens, model, nano_dollars = row
        return {
            "text": text, "finish_reason": finish_reason, "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens, "model": model, "cost": nano_dollars / NANO,
        }  # fmt: skip

    def reserve(self, key: str, worst: int, budget: int) -> int:
        """Enter the worst case (nano-dollars) of a request about to be sent; return the charge.

        Raises OverBudget, and enters nothing, where all charges would come to more than `budget`.
        """
        with self._transaction() as db:
            (spent,) = db.execute("SELECT COALESCE(SUM(nano_dollars), 0) FROM charges").fetchone()
            if worst > 0 and spent + worst > budget:
                raise OverBudget
            made = db.execute("INSERT INTO charges (key, nano_dollars) VALUES (?, ?)", (key, worst))
            return int(made.lastrowid or 0)

    def release(self, charge: int) -> None:
        """Take back a charge for a request that the provider refused or never received."""
        with self._transaction() as db:
            db.execute("DELETE FROM charges WHERE id = ?", (charge,))

    def keep(
        self, key: str, body: Body, response: str, answer: Answer,
        charge: int, price: int,
    ) -> None:  # fmt: skip
        """Keep an answer and settle its charge at `price` (nano-dollars), both or neither."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key, json.dumps(body, sort_keys=True, ensure_ascii=False), response,
                    answer["text"], answer["finish_reason"], answer["prompt_tokens"],
                    answer["completion_tokens"], answer["model"], price,
                ),
            )  # fmt: skip
            db.execute(
                "UPDATE charges SET nano_dollars = ?, answered = 1 WHERE id = ?", (price, charge)
            )

    def totals(self) -> tuple[int, int]:
        """(all charges, the part of them for requests not answered), in nano-dollars."""
        (spent, open_) = self._db.execute(
            "SELECT COALESCE(SUM(nano_dollars), 0),"
            " COALESCE(SUM(CASE WHEN answered THEN 0 ELSE nano_dollars END), 0) FROM charges"
        ).fetchone()
        return spent, open_

    def turn(self, per_minute: int) -> float:
        """Take the next place in the queue of all jobs here; return the seconds to wait for it."""
        if per_minute <= 0:
            return 0.0
        now = time.time()
        with self._transaction() as db:
            row = db.execute("SELECT next FROM pace").fetchone()
            place = max(now, row[0] if row else 0.0)
            if place > now + 3600:  # the clock was set back
                place = now
            db.execute("INSERT OR REPLACE INTO pace VALUES (1, ?)", (place + 60 / per_minute,))
        return place - now

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> "TeacherJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
