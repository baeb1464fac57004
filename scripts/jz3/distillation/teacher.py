"""Ask a teacher model, through any OpenAI-compatible endpoint, for problems (paper section 3.2).

What was answered is never asked again, and never paid again: see `journal`. The budget can
not be passed: the worst case of a request (each byte sent a token, all of `max_tokens` written)
is reserved before it is sent.
"""

import asyncio
import contextlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict
from urllib.parse import urlsplit

from ..io import UserError, did_you_mean, digest, rng
from ..program import Progress, say
from ..text import shorten
from .journal import NANO, Answer, Body, OverBudget, TeacherJournal, request_key

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletionMessageParam

# Refusals that concern one request only; any other 400 would meet every request.
_ONE_REQUEST = ("context_length_exceeded", "exceed_context_size_error", "content_filter",
                "content_policy_violation")  # fmt: skip
_NEVER_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError")
_LONGEST_WAIT = 600.0  # seconds, whatever Retry-After says


Asked = tuple[str, Body]  # a request_id, and what is sent


class Price(TypedDict):
    """Dollars per million tokens of the prompt and of the completion."""

    input: float
    output: float


@dataclass(frozen=True)
class Teacher:
    """An endpoint and how to ask it.

    input_price, output_price: dollars per million tokens. budget: dollars, over all jobs that
    share the journal. schema: JSON schema that answers are bound to, or None. backoff: seconds
    before the first retry, doubled each time.
    """

    base_url: str
    model: str
    api_key: str = field(repr=False)
    temperature: float
    max_tokens: int
    input_price: float
    output_price: float
    budget: float
    schema: dict[str, Any] | None = None
    concurrency: int = 8
    requests_per_minute: int = 0
    timeout: float = 300.0
    attempts: int = 5
    backoff: float = 1.0
    seed: int = 0

    def body(self, request_id: str, prompt: str, examples: list[tuple[str, str]]) -> Body:
        """The request: examples as earlier turns, then the prompt.

        `seed` depends on our seed and the request, so that a server which honours it repeats
        itself (up to rounding that depends on what else is in its batch).
        """
        messages: list[ChatCompletionMessageParam] = []
        for asked, answered in examples:
            messages.append({"role": "user", "content": asked})
            messages.append({"role": "assistant", "content": answered})
        messages.append({"role": "user", "content": prompt})
        body: Body = {
            "model": self.model,
            "messages": messages,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": int(digest([self.seed, request_id], 7), 16),
        }
        if self.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "problem", "strict": True, "schema": self.schema},
            }
        return body

    def worst_case(self, body: Body) -> int:
        """The most that a request can cost, in nano-dollars: a token has at least one byte."""
        sent = len(json.dumps(body, ensure_ascii=False).encode())
        return self.price(sent, self.max_tokens)

    def price(self, prompt_tokens: int, completion_tokens: int) -> int:
        """The price in nano-dollars, rounded up."""
        dollars = prompt_tokens * self.input_price + completion_tokens * self.output_price
        return math.ceil(round(dollars * (NANO / 1_000_000), 6))


def is_loopback(base_url: str) -> bool:
    """Whether the endpoint is on this machine, where no key is needed and no proxy is used."""
    return urlsplit(base_url).hostname in ("127.0.0.1", "localhost", "::1")


def price_of(model: str, prices: Mapping[str, Price]) -> tuple[float, float]:
    """(input, output) dollars per million tokens. Raises UserError for a model without a price."""
    if model not in prices:
        raise UserError(
            f'teacher: the model "{model}" has no entry in teacher.prices; add its input and output'
            f" price in dollars per million tokens, with a date.{did_you_mean(model, prices)}"
        )
    return float(prices[model]["input"]), float(prices[model]["output"])


def api_key(base_url: str) -> str:
    """The key in OPENAI_API_KEY ("none" for a server on this machine). Raises UserError."""
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if is_loopback(base_url):
        return key or "none"
    if not key:
        raise UserError(
            f"teacher: no OPENAI_API_KEY in the environment for {base_url}; export it and rerun."
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError("teacher: OPENAI_API_KEY holds blanks or odd characters; export it anew.")
    return key


def answered(
    requests: list[Asked], journal: TeacherJournal
) -> tuple[dict[str, Answer], list[Asked]]:
    """({request_id: answer}, requests still to be asked). A failed answer is asked again."""
    done: dict[str, Answer] = {}
    missing: list[Asked] = []
    for request_id, body in requests:
        answer = journal.answer(request_key(body))
        if answer is None or answer["finish_reason"] == "error":
            missing.append((request_id, body))
        else:
            done[request_id] = answer
    return done, missing


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
            session = _Session(teacher, journal, len(requests), bar)
            done.update(asyncio.run(session.run(missing)))
        spent, open_ = (value / NANO for value in journal.totals())
        if spent:
            note = f", ${open_:.4f} of it reserved for requests without an answer" if open_ else ""
            say(f"{what}: ${spent:.4f} of ${teacher.budget:.2f} used by all jobs{note}")
    failed = [answer["text"] for answer in done.values() if answer["finish_reason"] == "error"]
    if len(failed) * 2 > len(requests):
        raise UserError(
            f"teacher: {len(failed)} of {len(requests)} requests failed (the first:"
            f" {_line(failed[0])}). Answers are kept; run again to ask for the rest."
        )
    if failed:
        say(f"{what}: {len(failed)} of {len(requests)} requests failed; a rerun asks them again")
    return done


class _Retry(Exception):
    def __init__(self, reason: str, wait: float = 0.0, absent: bool = False):
        super().__init__(reason)
        self.wait, self.absent = wait, absent


class _Failed(Exception):
    """This one request failed for good."""


class _Session:
    def __init__(self, teacher: Teacher, journal: TeacherJournal, total: int, bar: Progress):
        self.teacher, self.journal, self.total, self.bar = teacher, journal, total, bar
        self.budget = int(teacher.budget * NANO)
        self.failed = self.answered = self.in_flight = 0
        self.settled = asyncio.Event()
        # Set with the first error that meets every request: nothing more is sent, but what is
        # under way comes to its end, so that its answer is kept and its charge settled.
        self.stop = asyncio.Event()
        self.error: UserError | None = None

    async def run(self, missing: list[Asked]) -> dict[str, Answer]:
        """Ask them, `concurrency` at a time; equal bodies are asked once."""
        import openai

        local = is_loopback(self.teacher.base_url)
        http = openai.DefaultAsyncHttpxClient(
            timeout=self.teacher.timeout, trust_env=not local, base_url=self.teacher.base_url
        )
        first = {request_key(body): (request_id, body) for request_id, body in reversed(missing)}
        answers: dict[str, Answer] = {}
        queue = iter(reversed(first.items()))
        async with openai.AsyncOpenAI(
            base_url=self.teacher.base_url, api_key=self.teacher.api_key, max_retries=0,
            timeout=self.teacher.timeout, http_client=http,
        ) as client:  # fmt: skip

            async def worker() -> None:
                for key, (request_id, body) in queue:
                    try:
                        answers[key] = await self.one(client, key, request_id, body)
                    except UserError as error:
                        self.error = self.error or error
                        self.stop.set()
                    if self.stop.is_set():
                        return
                    self.bar.update()

            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.teacher.concurrency, len(missing))):
                    group.create_task(worker())
        if self.error:
            raise self.error
        return {request_id: answers[request_key(body)] for request_id, body in missing}

    async def one(
        self, client: "openai.AsyncOpenAI", key: str, request_id: str, body: Body
    ) -> Answer:
        """Ask one request until it is answered, refused, or out of attempts."""
        chance = rng(self.teacher.seed, "backoff", request_id)
        reason, absent = "", False
        for attempt in range(self.teacher.attempts):
            try:
                answer = await self.attempt(client, key, body)
                self.answered += answer["finish_reason"] != "error"
                self.failed += answer["finish_reason"] == "error"
                self.stop_if_hopeless(answer["text"])
                return answer
            except _Failed as error:
                reason, absent = str(error), False
                break
            except _Retry as error:
                reason, absent = str(error), error.absent
                if attempt + 1 < self.teacher.attempts:
                    wait = min(self.teacher.backoff * 2**attempt, 60.0) * (0.5 + chance.random())
                    await self.pause(min(max(wait, error.wait), _LONGEST_WAIT))
        if absent and not self.answered:
            raise UserError(
                f"teacher: nothing answers at {self.teacher.base_url} ({reason}); check"
                " teacher.base_url and the network. What was answered before is kept."
            )
        self.failed += 1
        self.stop_if_hopeless(reason)
        say(f"teacher: request {request_id} failed: {reason}")
        return {
            "text": reason, "finish_reason": "error", "prompt_tokens": 0, "completion_tokens": 0,
            "model": self.teacher.model, "cost": 0.0,
        }  # fmt: skip

    def stop_if_hopeless(self, reason: str) -> None:
        """Give up early: when half of all requests failed already, or the first ones all did."""
        early = not self.answered and self.failed >= 2 * self.teacher.concurrency
        if self.failed * 2 > self.total or (early and self.failed < self.total):
            raise UserError(
                f"teacher: {self.failed} requests of {self.total} failed, {self.answered} were"
                f" answered just now (last failure: {_line(reason)}). Answers are kept; run again"
                " to ask for the rest."
            )

    async def attempt(self, client: "openai.AsyncOpenAI", key: str, body: Body) -> Answer:
        """Reserve, send, settle. Raises _Retry, _Failed or UserError."""
        import openai

        charge = await self.reserve(key, body)
        self.in_flight += 1
        try:
            await self.pause(self.journal.turn(self.teacher.requests_per_minute), charge)
            async with asyncio.timeout(self.teacher.timeout):
                raw = await client.chat.completions.with_raw_response.create(**body)
            response = raw.http_response.text
        except openai.APIStatusError as error:
            self.journal.release(charge)
            self.refused(error)
        except (openai.APITimeoutError, TimeoutError) as error:
            if type(error.__cause__).__name__ in _NEVER_SENT:
                self.journal.release(charge)
            raise _Retry(f"no answer in {self.teacher.timeout:g} s") from None
        except openai.APIConnectionError as error:
            cause = type(error.__cause__).__name__
            absent = cause in _NEVER_SENT
            if absent:
                self.journal.release(charge)
            raise _Retry(f"connection failed, {cause}", absent=absent) from None
        finally:
            self.in_flight -= 1
            self.settled.set()
        answer, price = self.read(response, self.teacher.worst_case(body))
        self.journal.keep(key, body, response, answer, charge, price)
        return answer

    async def pause(self, seconds: float, charge: int | None = None) -> None:
        """Sleep. Raises the session's error, and takes `charge` back, where it stops meanwhile."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)
        if self.error:
            if charge is not None:
                self.journal.release(charge)
            raise self.error

    async def reserve(self, key: str, body: Body) -> int:
        worst = self.teacher.worst_case(body)
        while True:
            try:
                return self.journal.reserve(key, worst, self.budget)
            except OverBudget:
                if self.in_flight:  # what they do not use may suffice
                    self.settled.clear()
                    await self.settled.wait()
                    continue
                spent, open_ = (value / NANO for value in self.journal.totals())
                raise UserError(
                    f"teacher: the budget of ${self.teacher.budget:.4f} is used up: ${spent:.4f}"
                    f" spent or reserved (${open_:.4f} for requests without an answer), the next"
                    f" request could cost ${worst / NANO:.4f}. Raise teacher.budget_dollars and"
                    " rerun; all answers are kept."
                ) from None

    def refused(self, error: "openai.APIStatusError") -> NoReturn:
        """Sort an HTTP error: retry, give up this request, or stop with one line."""
        status = error.status_code
        details = error.body if isinstance(error.body, dict) else {}
        code = f"{details.get('code') or ''} {details.get('type') or ''}"
        text = _line(str(details.get("message") or error.message))
        text = text.replace(self.teacher.api_key, "***") if self.teacher.api_key else text
        if status == 429 and "insufficient_quota" in code:
            raise UserError(f"teacher: the account's quota is used up: {text}") from None
        if status in (408, 409, 425, 429) or status >= 500:
            raise _Retry(f"HTTP {status}: {text}", _retry_after(error.response.headers)) from None
        if status in (400, 413, 422) and any(name in code for name in _ONE_REQUEST):
            raise _Failed(f"HTTP {status}: {text}") from None
        where = f"{self.teacher.base_url} (HTTP {status})"
        if status in (401, 403):  # the message may quote the key
            raise UserError(
                f"teacher: the key in OPENAI_API_KEY is refused by {where}; check the key and its"
                " rights."
            ) from None
        if status == 404:
            raise UserError(
                f'teacher: no model "{self.teacher.model}" at {where}: {text}; check teacher.model'
                " and teacher.base_url."
            ) from None
        hint = ""
        if self.teacher.schema and any(word in text for word in ("response_format", "schema")):
            hint = " This endpoint takes no JSON schema: set teacher.structured to false."
        raise UserError(f"teacher: request refused by {where}: {text}.{hint}") from None

    def read(self, response: str, worst: int) -> tuple[Answer, int]:
        """(answer, nano-dollars) from a response body. Raises _Retry where it is cut or not one."""
        try:
            value = json.loads(response)
            choice = value["choices"][0]
            reason, message = choice["finish_reason"], choice["message"]
            text = message.get("content") or ""
            usage = value.get("usage") or {}
            sent, written = (int(usage.get(k) or 0) for k in ("prompt_tokens", "completion_tokens"))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise _Retry(f"unreadable response: {_line(response)}") from None
        if not isinstance(text, str):
            raise _Retry(f"unreadable response: {_line(response)}")
        if message.get("refusal") or reason not in ("stop", "length") or not text.strip():
            text = text or str(message.get("refusal") or f"no text (finish_reason {reason})")
            reason = "error"
        # Without a count of tokens the price is unknown: the worst case stands.
        price = self.teacher.price(sent, written) if sent and written else worst
        answer: Answer = {
            "text": text, "finish_reason": reason, "prompt_tokens": sent,
            "completion_tokens": written, "model": str(value.get("model") or self.teacher.model),
            "cost": price / NANO,
        }  # fmt: skip
        return answer, price


def _line(text: str) -> str:
    return shorten(" ".join(text.split()), 200)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a Retry-After header asks for (0.0 without one); a date counts as one minute."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        return 60.0 if value else 0.0
