"""A teacher model behind an OpenAI-compatible endpoint (paper section 3.2): whom to ask, and how.

What was answered is never asked again, and never paid again: see `journal`. The budget can
not be passed: the worst case of a request (each byte sent a token, the whole length written)
is reserved before it is sent. `teacher` does the asking.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict
from urllib.parse import urlsplit

from ..io import UserError, did_you_mean, digest
from ..text import shorten
from .classify import Outcome, Sent, Usage
from .journal import TeacherJournal
from .journal_records import NANO, Answer, answer_of, length_of, request_key, serves

Body = dict[str, Any]  # a request in OpenAI's wire format
Asked = tuple[str, Body]  # a request_id, and what is sent


class Price(TypedDict):
    """Dollars per million tokens of the prompt and of the completion."""

    input: float
    output: float


@dataclass(frozen=True)
class Teacher:
    """An endpoint and how to ask it.

    What shapes an answer: model, system (a message before all others, "": none), temperature,
    max_tokens (the longest answer), schema (JSON schema that answers are bound to, or None), seed,
    extra_body (further fields). send: which of temperature and seed the endpoint takes;
    length_parameter: what it calls the length.

    What does not: input_price, output_price, cached_price (of prompt tokens read from the
    provider's cache; None: as input_price): dollars per million tokens. discount: share of the
    price that is not asked for (batches). budget: dollars, over all jobs that share the journal.
    backoff: seconds before the first retry, doubled each time. models: further names under which
    the model may answer; None: any, for a server of our own. requests_per_minute,
    tokens_per_minute: 0 for no limit of ours. patience: seconds that a journal which can not be
    written is tried again.
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
    system: str = ""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    send: tuple[str, ...] = ("temperature", "seed")
    length_parameter: str = "max_tokens"
    cached_price: float | None = None
    discount: float = 0.0
    models: tuple[str, ...] | None = ()
    tokens_per_minute: int = 0
    patience: float = 600.0

    def body(self, request_id: str, prompt: str, examples: list[tuple[str, str]]) -> Body:
        """The request: examples as earlier turns, then the prompt.

        `seed` depends on our seed and the request, so that a server which honours it repeats
        itself (up to rounding that depends on what else is in its batch).
        """
        messages = [{"role": "system", "content": self.system}] if self.system else []
        for asked, answered in examples:
            messages.append({"role": "user", "content": asked})
            messages.append({"role": "assistant", "content": answered})
        messages.append({"role": "user", "content": prompt})
        body: Body = {"model": self.model, "messages": messages}
        if "temperature" in self.send:
            body["temperature"] = self.temperature
        body[self.length_parameter] = self.max_tokens
        if "seed" in self.send:
            body["seed"] = int(digest([self.seed, request_id], 7), 16)
        if self.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "problem", "strict": True, "schema": self.schema},
            }
        return body | dict(self.extra_body)

    def sent(self, body: Body) -> Sent:
        """What the end of a request is judged by."""
        return Sent(
            self.model, _size(body), self.max_tokens, tuple(body), self.models, self.api_key
        )

    def worst_case(self, body: Body) -> int:
        """The most that a request can cost, in nano-dollars: a token has at least one byte."""
        return self.worst_of(self.sent(body))

    def worst_of(self, sent: Sent) -> int:
        """`worst_case` of a request with that size and length."""
        dearest = max(self.input_price, self.cached_price or 0.0)
        return self._nano(sent.sent * dearest + sent.length * self.output_price)

    def price(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> int:
        """The price in nano-dollars, rounded up."""
        cached_price = self.input_price if self.cached_price is None else self.cached_price
        dollars = (prompt_tokens - cached_tokens) * self.input_price + cached_tokens * cached_price
        return self._nano(dollars + completion_tokens * self.output_price)

    def cost(self, usage: Usage | None, worst: int) -> int:
        """What a request cost in nano-dollars: never more than its worst case.

        Without a count of tokens that can be true the price is unknown: the worst case stands.
        """
        if usage is None:
            return worst
        return min(worst, self.price(usage.prompt, usage.completion, usage.cached))

    def _nano(self, millionths: float) -> int:
        return math.ceil(round(millionths * (1 - self.discount) * (NANO / 1_000_000), 6))


def _size(body: Body) -> int:
    return len(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))


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


def api_key(base_url: str, name: str = "OPENAI_API_KEY") -> str:
    """The key in the environment ("none" for a server on this machine). Raises UserError."""
    key = os.environ.get(name, "").strip()
    if is_loopback(base_url):
        return key or "none"
    if not key:
        raise UserError(f"teacher: no {name} in the environment for {base_url}; export it, rerun.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"teacher: {name} holds blanks or odd characters; export it anew.")
    return key


def answered(
    requests: list[Asked], journal: TeacherJournal
) -> tuple[dict[str, Answer], list[Asked]]:
    """({request_id: answer}, requests still to be asked).

    A failure that belongs to its request is an answer, too: only `TeacherJournal.forget` has it
    asked again.
    """
    done: dict[str, Answer] = {}
    missing: list[Asked] = []
    for request_id, body in requests:
        record = journal.record(request_key(body))
        if record is None or not serves(record, length_of(body)):
            missing.append((request_id, body))
        else:
            done[request_id] = answer_of(record)
    return done, missing


def stopped(teacher: Teacher, outcome: Outcome) -> str:
    """The line on an outcome that would meet every request."""
    text, where = outcome.text, teacher.base_url
    if outcome.kind == "quota":
        return f"teacher: the account's quota is used up: {text}"
    if outcome.kind == "key":  # the server's own message may quote the key
        return (
            f"teacher: the key in OPENAI_API_KEY is refused by {where} ({text}); check the key and"
            " its rights."
        )
    if outcome.kind == "model":
        return (
            f'teacher: no model "{teacher.model}" at {where}: {text}; check teacher.model and'
            " teacher.base_url."
        )
    hint = {
        "request": "", "schema": " This endpoint takes no JSON schema: set teacher.structured to"
        " false.", "max_tokens": " Set the teacher's length_parameter to max_completion_tokens.",
        "max_completion_tokens": " Set the teacher's length_parameter to max_tokens.",
    }.get(outcome.kind, f" Take {outcome.kind} out of the teacher's send.")  # fmt: skip
    return shorten(f"teacher: request refused by {where}: {text}.{hint}", 500)
