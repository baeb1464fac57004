"""What a teacher's journal holds: records of requests, and charges; both with checksums."""

from typing import Any, TypedDict

from ..io import digest

NANO = 1_000_000_000
LENGTHS = ("max_tokens", "max_completion_tokens")  # what the length parameter may be called


class Answer(TypedDict):
    """What the teacher answered. finish_reason: stop | length | error; cost: dollars."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    model: str
    cost: float


class Record(TypedDict):
    """What is kept of a request. body, response: JSON text; length: the longest answer allowed.

    failure: "" for an answer, else the kind of failure (see `classify`).
    """

    body: str
    response: str
    text: str
    finish_reason: str
    failure: str
    length: int
    prompt_tokens: int
    completion_tokens: int
    model: str
    nano_dollars: int


class Charge(TypedDict):
    """One entry of the account. state: sent | lost | paid | settled; made: seconds since 1970."""

    id: int
    key: str
    owner: str
    state: str
    nano_dollars: int
    made: int


def request_key(body: Any) -> str:
    """Identity of a request: sha256 of its body as canonical JSON, without the length allowed."""
    return digest({name: value for name, value in body.items() if name not in LENGTHS}, 64)


def length_of(body: Any) -> int:
    """The longest answer that a request's body allows, in tokens (0: it says nothing)."""
    return max((int(body[name]) for name in LENGTHS if name in body), default=0)


def answer_of(record: Record) -> Answer:
    """The part of a record that goes into tables."""
    return {
        "text": record["text"], "finish_reason": record["finish_reason"],
        "prompt_tokens": record["prompt_tokens"],
        "completion_tokens": record["completion_tokens"], "model": record["model"],
        "cost": record["nano_dollars"] / NANO,
    }  # fmt: skip


def serves(record: Record, length: int) -> bool:
    """Whether a record spares a request for up to `length` tokens: cut off shorter, it does not."""
    return record["finish_reason"] != "length" or record["length"] >= length


def checksum(*parts: object) -> str:
    """What stands beside a row."""
    return digest("\0".join(map(str, parts)))


def charge_sum(id: int, key: str, owner: str, state: str, nano_dollars: int, made: int) -> str:
    """What stands beside a charge."""
    return checksum(id, key, owner, state, nano_dollars, made)
