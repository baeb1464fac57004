"""Ask a teacher: many requests at once, each until it is answered, failed, or out of attempts.

One request never harms another: whatever a server sends is sorted by `classify`, and only a fault
that would meet every request (the key, the model, the budget) ends the job, after what is under way
has come to its end and is kept.
"""

import asyncio
import collections
import contextlib
import functools
import json
import random
import secrets
import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io import UserError, rng
from ..program import Progress, say
from .classify import Ended, Outcome, Sent, classify, one_line
from .endpoint import Asked, Body, Price, Teacher, answered, api_key, is_loopback, price_of, stopped
from .journal import Busy, OverBudget, TeacherJournal, Unwritable
from .journal_records import NANO, Answer, Record, answer_of, length_of, request_key
from .journal_writer import JournalWriter
from .transport import Transport
from .waiting import spent_limits

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Asked", "Body", "Price", "Teacher", "answered", "api_key", "ask", "is_loopback",
           "price_of"]  # fmt: skip

_RATE_TRIES = 6  # times as many as for other faults: a 429 says that the teacher lives
_POLL = 0.2  # seconds between two looks at what other jobs do


def ask(
    teacher: Teacher,
    requests: list[Asked],
    journal: TeacherJournal,
    what: str = "teacher",
) -> dict[str, Answer]:
    """Ask all that are not yet answered; return {request_id: answer}.

    Raises UserError where the teacher is not there,
    refuses all requests, fails more than half of them, or where the budget is used up; whatever
    was answered is in the journal then.
    """
    done, missing = answered(requests, journal)
    if missing:
        with Progress(len(requests), what, "request", len(done)) as bar:
            session = _Session(teacher, journal, len(requests), done, bar)
            done.update(asyncio.run(session.run(missing)))
        say_spent(teacher, journal, what)
        if session.beyond:
            say(f"{what}: {session.beyond} answers are longer than asked for; the server ignores"
                f" {teacher.length_parameter}")  # fmt: skip
    failed = [answer["text"] for answer in done.values() if answer["finish_reason"] == "error"]
    if failed:
        again = f"python scripts/journal.py again {journal.path}"
        count = f"{len(failed)} of {len(requests)} requests failed"
        if len(failed) * 2 > len(requests):
            raise UserError(
                f"teacher: {count} (the first: {one_line(failed[0])}). What was paid for is kept;"
                f" run again to ask what may pass, and `{again}` first to ask all of them."
            )
        say(f"{what}: {count}; those kept in the journal are asked again only after `{again}`")
    return done


def say_spent(teacher: Teacher, journal: TeacherJournal, what: str) -> None:
    """One line on what all jobs spent."""
    spent, open_ = (value / NANO for value in journal.totals())
    if spent:
        note = f", ${open_:.4f} of it reserved for requests without an answer" if open_ else ""
        say(f"{what}: ${spent:.4f} of ${teacher.budget:.2f} used by all jobs{note}")


@dataclass(frozen=True)
class _Request:
    """A request, with what is worked out of it once. wire: its bytes; worst: nano-dollars."""

    key: str
    name: str
    wire: bytes
    length: int
    sent: Sent
    worst: int


class _Session:
    """One call of `ask`. Everything here runs in the event loop; the journal is the writer's."""

    def __init__(
        self, teacher: Teacher, journal: TeacherJournal, total: int,
        known: dict[str, Answer], bar: Progress,
    ):  # fmt: skip
        self.teacher, self.path, self.total, self.bar = teacher, journal.path, total, bar
        self.writer = JournalWriter(journal, teacher.patience)
        self.budget = int(teacher.budget * NANO)
        self.before = sum(answer["finish_reason"] != "error" for answer in known.values())
        self.failed = len(known) - self.before
        self.answered = self.in_flight = self.beyond = 0
        self.failed_now = [0, 0]  # by whether they are kept
        self.open_at = 0.0  # of the loop's clock: nothing is sent earlier
        self.settled = asyncio.Event()
        self.rescued: list[dict[str, Any]] = []
        # Set with the first error that meets every request: nothing more is sent, but what is
        # under way comes to its end, so that its answer is kept and its charge settled.
        self.stop = asyncio.Event()
        self.error: BaseException | None = None

    async def run(self, missing: list[Asked]) -> dict[str, Answer]:
        """Ask them, `concurrency` at a time; equal bodies are asked once."""
        keys = {request_id: request_key(body) for request_id, body in missing}
        requests = {
            keys[name]: self.request(keys[name], name, body) for name, body in reversed(missing)
        }
        queue = collections.deque((0.0, key) for key in reversed(requests))
        answers: dict[str, Answer] = {}

        async def worker(transport: Transport) -> None:
            while queue and not self.stop.is_set():
                due, key = queue.popleft()
                try:
                    await self.pause(due - time.monotonic())
                    answers[key] = await self.one(transport, requests[key])
                except Busy as busy:  # another job asks it: its answer will do
                    if str(busy) == "batch":
                        self.end(UserError(
                            "teacher: a batch under way asks some of the same; let the teacher ask"
                            " in batches until it is taken in (its batch key), and run again."
                        ))  # fmt: skip
                        return
                    queue.append((time.monotonic() + _POLL, key))
                    continue
                except (UserError, Unwritable) as error:
                    self.end(error)
                    return
                self.bar.update()

        with self.interruptible():
            async with (
                self.writer,
                Transport(self.teacher) as transport,
                asyncio.TaskGroup() as group,
            ):
                for _ in range(min(self.teacher.concurrency, len(requests))):
                    group.create_task(worker(transport))
        if self.rescued:
            self.rescue()
        if isinstance(self.error, Unwritable):
            raise UserError(
                f"teacher: the journal can not be written ({self.error}). All answers so far are"
                " kept; free some space, or end what locks it, and run again."
            )
        if self.error:
            raise self.error
        return {request_id: answers[key] for request_id, key in keys.items()}

    def request(self, key: str, name: str, body: Body) -> _Request:
        """Work out what a request needs."""
        sent = self.teacher.sent(body)
        wire = json.dumps(body).encode()  # ASCII, so that any text can be sent
        return _Request(key, name, wire, length_of(body), sent, self.teacher.worst_of(sent))

    def end(self, error: BaseException) -> None:
        """Send nothing more; the first error is the one that is told."""
        self.error = self.error or error
        self.stop.set()
        self.settled.set()

    @contextlib.contextmanager
    def interruptible(self) -> "Iterator[None]":
        """The first interrupt lets what is under way, and is paid for, come to its end."""
        loop, numbers = asyncio.get_running_loop(), []
        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT, signal.SIGTERM]
        handlers = {number: signal.getsignal(number) for number in numbers}

        def interrupted() -> None:
            say(f"teacher: stopping; {self.in_flight} requests under way come to their end")
            self.end(KeyboardInterrupt())
            for number, handler in handlers.items():  # the second one does not wait
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

        for number in numbers:
            loop.add_signal_handler(number, interrupted)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    # ------------------------------------------------------------ one request

    async def one(self, transport: Transport, request: _Request) -> Answer:
        """Ask one request until it is answered, refused, or out of attempts."""
        chance = rng(self.teacher.seed, "backoff", request.name)
        tries = collections.Counter[bool]()
        while True:
            outcome = await self.attempt(transport, request, chance)
            if not isinstance(outcome, Outcome):
                self.count(outcome["finish_reason"] == "error", outcome["text"], kept=True)
                return outcome
            tries[outcome.kind == "rate"] += 1
            most = self.teacher.attempts * (_RATE_TRIES if outcome.kind == "rate" else 1)
            if outcome.action != "retry" or tries[outcome.kind == "rate"] >= most:
                break
            longest = 60.0 * self.teacher.backoff
            wait = min(self.teacher.backoff * 2.0 ** (sum(tries.values()) - 1), longest)
            wait = max(wait * (0.5 + chance.random()), outcome.wait)
            if outcome.shared:
                await self.pause_all(wait)
            await self.pause(wait)
        if outcome.kind == "absent" and not self.answered:
            raise UserError(
                f"teacher: nothing answers at {self.teacher.base_url} ({outcome.text}); check"
                " teacher.base_url and the network. What was answered before is kept."
            )
        if outcome.kind == "unreadable":  # each try may have been billed: not again by itself
            await self.keep(request, outcome, None, 0)
        self.count(True, outcome.text)
        say(f"teacher: request {request.name} failed: {outcome.text}")
        return {
            "text": outcome.text, "finish_reason": "error", "prompt_tokens": 0,
            "completion_tokens": 0, "model": self.teacher.model, "cost": 0.0,
        }  # fmt: skip

    def count(self, failed: bool, reason: str, kept: bool = False) -> None:
        """Give up early: when half of all requests failed already, or the first ones all did.

        kept: the failure belongs to its request; a few of these in a row say little of the others.
        """
        self.answered += not failed
        self.failed += failed
        self.failed_now[kept] += failed
        nothing = not self.answered and not self.before
        most = 2 * self.teacher.concurrency
        early = nothing and (self.failed_now[False] >= most or self.failed_now[True] >= most + 20)
        if failed and (self.failed * 2 > self.total or (early and self.failed < self.total)):
            self.end(UserError(
                f"teacher: {self.failed} requests of {self.total} failed, {self.answered} were"
                f" answered just now (last failure: {one_line(reason)}). Answers are kept; run"
                " again to ask for the rest."
            ))  # fmt: skip

    async def attempt(
        self, transport: Transport, request: _Request, chance: random.Random
    ) -> Answer | Outcome:
        """Reserve, send, settle: an answer, or an outcome that is none. Raises UserError, Busy."""
        charge = await self.reserve(request, chance)
        if not isinstance(charge, int):
            return answer_of(charge)
        self.in_flight += 1
        try:
            try:
                await self.take_turn(request)
            except BaseException:
                await self.writer.do(lambda journal: journal.release(charge))
                raise
            ended = await transport.send(request.wire)
            outcome = classify(ended, request.sent)
            self.heed(ended)
            return await self.enter(request, outcome, charge)
        finally:
            self.in_flight -= 1
            self.settled.set()

    async def enter(self, request: _Request, outcome: Outcome, charge: int) -> Answer | Outcome:
        """Put the end of a request into the journal."""
        price = request.worst
        if outcome.billed == "usage":
            price = self.teacher.cost(outcome.usage, price)
        if outcome.action in ("answer", "failure"):
            price = 0 if outcome.billed == "none" else price
            answer = await self.keep(request, outcome, charge, price)
            if outcome.usage and outcome.usage.beyond:
                self.overrun(outcome.usage.beyond)
            return answer
        if outcome.billed == "none":
            await self.writer.do(lambda journal: journal.release(charge))
        elif outcome.billed == "unknown":
            await self.writer.do(lambda journal: journal.lose(charge))
        else:
            await self.writer.do(lambda journal: journal.pay(charge, price))
        if outcome.action == "stop":
            raise UserError(stopped(self.teacher, outcome))
        return outcome

    async def keep(
        self, request: _Request, outcome: Outcome, charge: int | None, price: int
    ) -> Answer:
        """Keep an answer or a failure. A journal that takes nothing more ends the job, not it."""
        usage = outcome.usage
        record: Record = {
            "body": request.wire.decode(), "response": outcome.response,
            "text": outcome.text, "finish_reason": outcome.finish_reason,
            "failure": outcome.kind, "length": request.length,
            "prompt_tokens": usage.prompt if usage else 0,
            "completion_tokens": usage.completion if usage else 0,
            "model": outcome.model or self.teacher.model, "nano_dollars": price,
        }  # fmt: skip
        try:
            if charge is None:
                await self.writer.do(lambda journal: journal.put(request.key, record))
            else:
                await self.writer.do(
                    lambda journal: journal.keep_record(request.key, record, charge)
                )
        except Unwritable as error:
            self.rescued.append({"key": request.key, "record": record, "charge": charge})
            self.end(error)
        return answer_of(record)

    def overrun(self, beyond: int) -> None:
        """A server that ignores the length: with prices, no budget can be held there."""
        self.beyond += 1
        if self.teacher.output_price:
            self.end(UserError(
                f"teacher: {self.teacher.base_url} wrote {beyond:,} tokens more than the"
                f" {self.teacher.max_tokens:,} asked for: it ignores"
                f" {self.teacher.length_parameter}, so the budget can not be held there. Nothing"
                " more is sent; set the teacher's length_parameter to the name that it heeds."
            ))  # fmt: skip

    def rescue(self) -> None:
        """Write what the journal did not take wherever there is room, to be imported."""
        name = f"jz3-answers-{secrets.token_hex(4)}.jsonl"
        for folder in (self.path.parent, Path(tempfile.gettempdir()), Path.cwd()):
            with contextlib.suppress(OSError):
                lines = [json.dumps({k: row[k] for k in ("key", "record")}) for row in self.rescued]
                (folder / name).write_text("\n".join(lines) + "\n")
                say(f"teacher: {len(lines)} paid answers did not fit into the journal and are in"
                    f" {folder / name}; bring them in with: python scripts/journal.py import"
                    f" {self.path} {folder / name}")  # fmt: skip
                return

    # ------------------------------------------------------------ when to send

    async def reserve(self, request: _Request, chance: random.Random) -> int | Record:
        """Claim a request, once the teacher takes requests and the budget allows it."""

        def begin(journal: TeacherJournal) -> int | Record | float:
            return journal.paused() or journal.begin(
                request.key, request.worst, self.budget, request.length
            )

        while True:
            now = asyncio.get_running_loop().time()
            if self.open_at > now:
                await self.pause(self.open_at - now + chance.random() * min(self.open_at - now, 1))
                continue
            try:
                found = await self.writer.do(begin, sends=True)
            except OverBudget as error:
                if not self.in_flight and not error.shared:
                    raise await self.used_up(request.worst) from None
                self.settled.clear()  # what those under way do not use may suffice
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.settled.wait(), _POLL)
                await self.pause(0)
                continue
            if not isinstance(found, float):
                if isinstance(found, int) and self.error:
                    await self.writer.do(functools.partial(TeacherJournal.release, charge=found))
                    raise self.error
                return found
            await self.pause(found + chance.random() * 0.1)

    async def used_up(self, worst: int) -> UserError:
        """What is said when the budget is used up."""
        spent, open_ = await self.writer.do(lambda journal: journal.totals())
        note = f"${open_ / NANO:.4f} for requests without an answer"
        return UserError(
            f"teacher: the budget of ${self.teacher.budget:.4f} is used up: ${spent / NANO:.4f}"
            f" spent or reserved ({note}), the next request could cost ${worst / NANO:.4f}. Raise"
            " teacher.budget_dollars and rerun; all answers are kept."
            + (f" `python scripts/journal.py list {self.path}` shows them." if open_ else "")
        )

    async def take_turn(self, request: _Request) -> None:
        """Wait for a place under the limits per minute, of all jobs together."""
        teacher = self.teacher
        if not teacher.requests_per_minute and not teacher.tokens_per_minute:
            return
        tokens = request.sent.sent / 4 + request.length

        def turn(journal: TeacherJournal) -> float:
            return max(
                journal.turn(teacher.requests_per_minute),
                journal.turn(teacher.tokens_per_minute, tokens, "tokens"),
            )

        await self.pause(await self.writer.do(turn))

    def heed(self, ended: Ended) -> None:
        """Wait where the provider says that nothing is left of its limits."""
        if wait := spent_limits(ended.headers):
            self.open_at = max(self.open_at, asyncio.get_running_loop().time() + wait)

    async def pause_all(self, seconds: float) -> None:
        """Let all requests wait, those of other jobs too: one was told to slow down."""
        self.open_at = max(self.open_at, asyncio.get_running_loop().time() + seconds)
        await self.writer.do(lambda journal: journal.pause(seconds))

    async def pause(self, seconds: float) -> None:
        """Sleep. Raises the session's error where it stops meanwhile."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), seconds)
        if self.error:
            raise self.error
