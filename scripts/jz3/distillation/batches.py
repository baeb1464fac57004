"""The Batch API: the same requests for less money, within a day, into the same journal.

Requests are charged at their worst case and noted in the journal under a name of ours before the
provider hears of them; that name travels with the batch, so that a job killed at any moment finds
its batch again. A noted batch holds its requests for whoever runs next: nobody else asks them. Its
results come in any order and in one transaction; what it lacks (expired, cancelled) is given back
and sent again.
"""

import asyncio
import collections
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import aiohttp

from ..io import UserError
from ..program import Progress, say
from .classify import Ended, classify, one_line
from .endpoint import Asked, Body, Teacher, answered, stopped
from .journal import Busy, OverBudget, TeacherJournal
from .journal_records import NANO, Answer, Record, length_of, request_key
from .transport import Transport

ENDPOINT = "/v1/chat/completions"
_MOST, _LARGEST = 20_000, 90_000_000  # requests and bytes of one batch; providers take twice that
_RESULTS = 4_000_000_000  # bytes of a file of results
_ROUNDS = 3  # a request that a batch lacks is sent again so often
_OVER = ("completed", "expired", "cancelled", "failed")


def ask(
    teacher: Teacher, requests: list[Asked], journal: TeacherJournal, poll: float = 60.0,
    what: str = "teacher",
) -> dict[str, Answer]:  # fmt: skip
    """Ask all that are not yet answered, in batches; return {request_id: answer}.

    teacher: `discount` is that of batches. poll: seconds between two looks at a batch. Killed and
    called again it goes on with its batches. Raises UserError where the provider refuses a batch,
    requests stay without an answer, or the budget is used up.
    """
    done, missing = answered(requests, journal)
    if missing or journal.batches():
        with Progress(len(requests), what, "request", len(done)) as bar:
            asyncio.run(_Batches(teacher, journal, requests, poll, bar).run())
        done, missing = answered(requests, journal)
    if missing:
        raise UserError(
            f"teacher: {len(missing)} of {len(requests)} requests are without an answer after"
            f" {_ROUNDS} batches each. Answers are kept; run again to ask for the rest."
        )
    return done


class _Batches:
    def __init__(
        self, teacher: Teacher, journal: TeacherJournal, requests: list[Asked], poll: float,
        bar: Progress,
    ):  # fmt: skip
        self.teacher, self.journal, self.requests = teacher, journal, requests
        self.poll, self.bar = poll, bar
        self.budget = int(teacher.budget * NANO)
        self.rounds: collections.Counter[str] = collections.Counter()

    async def run(self) -> None:
        """Take in what is noted, send what is missing, until nothing is."""
        async with Transport(self.teacher) as self.transport:
            while True:
                await self.find_again()
                while noted := self.journal.batches():
                    for name, note in noted.items():
                        if note["id"] and await self.look(name, note):
                            break
                    else:
                        await asyncio.sleep(self.poll)
                missing = [
                    (name, body) for name, body in answered(self.requests, self.journal)[1]
                    if self.rounds[request_key(body)] < _ROUNDS
                ]  # fmt: skip
                if not missing:
                    return
                for part in _parts(missing):
                    await self.send(part)

    async def find_again(self) -> None:
        """Batches that were noted, but not known to be made: the job was killed in between."""
        lost = {
            name: note for name, note in self.journal.batches().items()
            if not note["id"] and not self.journal.other_lives(note["owner"])
        }  # fmt: skip
        if not lost:
            return
        made = {}
        after = ""
        while True:
            page = await self.call("GET", f"/batches?limit=100{after}")
            for batch in page.get("data") or []:
                made[(batch.get("metadata") or {}).get("jz3")] = batch["id"]
            if not page.get("has_more"):
                break
            after = f"&after={page['data'][-1]['id']}"
        for name, note in lost.items():
            if name in made:
                self.journal.set_batch(name, note | {"id": made[name]})
            else:
                self.give_back(name, note)

    async def send(self, part: list[Asked]) -> None:
        """Charge, note, upload, make."""
        name, charges, lines, over = secrets.token_hex(12), {}, [], False
        with self.journal.transaction():
            for _, body in part:
                key = request_key(body)
                if key in charges:
                    continue
                try:
                    charge = self.journal.begin(
                        key, self.teacher.worst_case(body), self.budget, length_of(body), "batch"
                    )
                except Busy:  # it will be taken in with another batch, or by another job
                    continue
                except OverBudget:
                    over = True
                    break
                if isinstance(charge, int):
                    charges[key] = [charge, self.teacher.worst_case(body)]
                    lines.append(_line(key, body))
            if charges:
                note = {"id": "", "owner": self.journal.owner, "charges": charges}
                self.journal.set_batch(name, note)
        if not charges and (not over or self.journal.batches()):
            await asyncio.sleep(self.poll)
            return
        if not charges:
            raise UserError(
                f"teacher: the budget of ${self.teacher.budget:.4f} is used up. Raise it and rerun;"
                " all answers are kept."
            )
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", b"".join(lines), filename=f"{name}.jsonl")
        try:
            file = await self.call("POST", "/files", form)
            wanted = {
                "input_file_id": file["id"], "endpoint": ENDPOINT, "completion_window": "24h",
                "metadata": {"jz3": name},
            }  # fmt: skip
            batch = await self.call("POST", "/batches", json.dumps(wanted).encode(), tries=1)
        except UserError:
            await self.find_again()  # made or not: nothing stays charged for nothing
            raise
        self.journal.set_batch(name, note | {"id": batch["id"]})
        self.rounds.update(charges.keys())
        say(f"teacher: batch {batch['id']} of {len(charges)} requests is on its way")

    async def look(self, name: str, note: dict[str, Any]) -> bool:
        """Take a batch in where it is over."""
        batch = await self.call("GET", f"/batches/{note['id']}")
        if batch.get("status") not in _OVER:
            return False
        results: dict[str, Any] = {}
        for kind in ("output_file_id", "error_file_id"):
            if file := batch.get(kind):
                ended = await self.fetch("GET", f"/files/{file}/content", limit=_RESULTS)
                results |= _results(ended.content)
        if batch["status"] == "failed" and not results:
            self.give_back(name, note)
            errors = (batch.get("errors") or {}).get("data") or [{}]
            words = one_line(str(errors[0].get("message") or batch), self.teacher.api_key)
            raise UserError(f"teacher: the provider refuses batch {note['id']}: {words}")
        self.take_in(name, note, results)
        return True

    def take_in(self, name: str, note: dict[str, Any], results: dict[str, Any]) -> None:
        """Enter all results of a batch, and give back what it lacks, in one transaction."""
        bodies = {request_key(body): body for _, body in self.requests}
        asked = length_of(next(iter(bodies.values()), {}))
        kept, stop = 0, ""
        with self.journal.transaction():
            if name not in self.journal.batches():  # another job was faster
                return
            for key, (charge, worst) in note["charges"].items():
                ended = results.get(key)
                if ended is None:
                    self.journal.release(charge)
                    continue
                body = bodies.get(key, {"model": self.teacher.model})
                # Of another run's request the body is not at hand: bounded by its worst case.
                sent = self.teacher.sent(body)
                sent = sent if key in bodies else replace(sent, sent=10**9)
                outcome = classify(ended, sent)
                if outcome.action in ("answer", "failure"):
                    price = self.teacher.cost(outcome.usage, worst)
                    price = price if outcome.billed == "usage" else 0
                    usage = outcome.usage
                    record: Record = {
                        "body": json.dumps(body), "response": outcome.response,
                        "text": outcome.text, "finish_reason": outcome.finish_reason,
                        "failure": outcome.kind, "length": length_of(body) or asked,
                        "prompt_tokens": usage.prompt if usage else 0,
                        "completion_tokens": usage.completion if usage else 0,
                        "model": outcome.model or self.teacher.model, "nano_dollars": price,
                    }  # fmt: skip
                    self.journal.keep_record(key, record, charge)
                    kept += 1
                elif outcome.billed == "none":
                    self.journal.release(charge)
                else:
                    self.journal.lose(charge)
                if outcome.action == "stop":
                    stop = stop or stopped(self.teacher, outcome)
            self.journal.set_batch(name, None)
        self.bar.update(kept)
        say(f"teacher: batch {note['id']}: {kept} of {len(note['charges'])} requests ended")
        if stop:
            raise UserError(stop)

    def give_back(self, name: str, note: dict[str, Any]) -> None:
        """Forget a batch that the provider does not have."""
        with self.journal.transaction():
            for charge, _ in note["charges"].values():
                self.journal.release(charge)
            self.journal.set_batch(name, None)

    async def call(self, method: str, path: str, data: Any = None, tries: int = 0) -> Any:
        """A call whose answer is JSON. Raises UserError where it fails for good."""
        ended = await self.fetch(method, path, data, tries)
        try:
            value = json.loads(ended.content)
            if isinstance(value, dict):
                return value
        except (ValueError, RecursionError):
            pass
        text = one_line(ended.content.decode("utf-8", "replace"), self.teacher.api_key)
        raise UserError(f"teacher: no answer of a Batch API at {self.teacher.base_url}: {text}")

    async def fetch(
        self, method: str, path: str, data: Any = None, tries: int = 0, limit: int = 16_000_000
    ) -> Ended:
        """A call, tried again where its fault may pass (`tries`: so often; 0: as the teacher)."""
        tries = 1 if isinstance(data, aiohttp.FormData) else tries or self.teacher.attempts
        for attempt in range(tries):
            ended = await self.transport.call(method, path, data, limit=limit)
            if ended.status in (200, 201):
                return ended
            outcome = classify(replace(ended, status=ended.status or 0), self.teacher.sent({}))
            if outcome.action == "stop" and outcome.kind != "model":
                raise UserError(stopped(self.teacher, outcome))
            if outcome.action != "retry" or attempt + 1 == tries:
                break
            await asyncio.sleep(max(self.teacher.backoff * 2.0**attempt, outcome.wait))
        raise UserError(
            f"teacher: {method} {path.split('?')[0]} at {self.teacher.base_url} failed:"
            f" {outcome.text}. Batches under way are noted; run again to go on with them."
        )


def _line(key: str, body: Body) -> bytes:
    line = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(line).encode() + b"\n"


def _parts(requests: list[Asked]) -> Iterator[list[Asked]]:
    """The requests in parts that fit into one batch each."""
    part: list[Asked] = []
    size = 0
    for name, body in requests:
        length = len(json.dumps(body)) + 200
        if part and (len(part) == _MOST or size + length > _LARGEST):
            yield part
            part, size = [], 0
        part.append((name, body))
        size += length
    if part:
        yield part


def _results(content: bytes) -> dict[str, Ended]:
    """{key: end of the request} of a file of results; a line that is none is left out."""
    found = {}
    for line in content.splitlines():
        try:
            value = json.loads(line.decode("utf-8", "replace"))
            response = value.get("response") or {}
            status = response.get("status_code")
            if isinstance(value["custom_id"], str) and isinstance(status, int):
                body = json.dumps(response.get("body")).encode()
                found[value["custom_id"]] = Ended(status, {}, body)
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            continue
    return found
