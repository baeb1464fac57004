"""Text from a local model: one interface, an engine per backend, a journal for long runs.

    engine = engines.open_engine(model_dir, settings)
    for generated in engine.generate(requests, Sampling(0.7, 0.95, 256), seed): ...

What a request gets depends on the model, the seed and its `request_id`; which requests share a
batch depends on the whole set of requests (`Engine.batches`), never on what an earlier,
interrupted run had finished. So a resumed run writes what an undisturbed one would have written.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict

from .. import io
from ..program import Progress
from ..tokens import beginning, begun

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Settings(TypedDict):
    """engine: transformers | vllm | llamacpp; batch: sequences; threads: of torch or llama.cpp.

    dtype: float32 | bfloat16.
    """

    engine: str
    batch: int
    dtype: str
    threads: int


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How to draw tokens: `temperature` 0 is greedy; `top_p` keeps the smallest likely set.

    `max_new_tokens` bounds a completion; generation also ends at the model's end-of-text tokens
    and before the first of the `stop` strings.
    """

    temperature: float
    top_p: float
    max_new_tokens: int
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", tuple(self.stop))
        if self.temperature < 0:
            raise io.UserError(f"temperature is {self.temperature}; it must be 0 or more.")
        if not 0 < self.top_p <= 1:
            raise io.UserError(f"top_p is {self.top_p}; it must be above 0 and at most 1.")
        if self.max_new_tokens < 1:
            raise io.UserError(f"max_new_tokens is {self.max_new_tokens}; it must be 1 or more.")
        if "" in self.stop:
            raise io.UserError("an empty stop string would end every completion; remove it.")


@dataclasses.dataclass(frozen=True)
class Request:
    """A prompt, with the stable identity that its randomness depends on."""

    request_id: str
    prompt: str


@dataclasses.dataclass(frozen=True)
class Generated:
    """A completion. `text` is free of the stop string and of special tokens.

    `finish_reason` is "stop" (the model ended, or a stop string came) or "length" (cut off).
    """

    request_id: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class Engine(Protocol):
    """A loaded model."""

    tokenizer: "PreTrainedTokenizerBase"
    context: int  # tokens of prompt and completion together

    def batches(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Divide `requests` as `generate` does: a function of the set, not of its order.

        Dividing one of the batches again gives that batch.
        """
        ...

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int
    ) -> Iterator[Generated]:
        """Yield one `Generated` per request, in any order.

        Raises UserError where a prompt leaves no room in the model's context.
        """
        ...


def encode_prompt(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    """Token ids of a prompt, with one beginning-of-text token where the model is used to one."""
    return begun(beginning(tokenizer), tokenizer(prompt, add_special_tokens=False)["input_ids"])


def check_distinct(requests: Sequence[Request]) -> None:
    """Refuse two requests of one identity: they would share their randomness and their record."""
    seen: set[str] = set()
    for request in requests:
        if request.request_id in seen:
            raise ValueError(f"request_id {request.request_id} occurs twice")
        seen.add(request.request_id)


def check_room(request: Request, tokens: int, context: int) -> None:
    """Raise UserError unless a prompt of `tokens` leaves room for one more in the context."""
    if tokens == 0:
        raise io.UserError(f"request {request.request_id}: the prompt is empty.")
    if tokens >= context:
        raise io.UserError(
            f"request {request.request_id}: the prompt has {tokens} tokens, the model's context"
            f" holds {context}. Shorten the passages (corpus/passage/characters) or the prompt."
        )


def generate_journalled(
    engine: Engine,
    requests: Sequence[Request],
    sampling: Sampling,
    seed: int,
    journal_path: str | Path | None,
    what: str,
) -> dict[str, Generated]:
    """Generate for all requests, in the order given, with every finished batch in a journal.

    Killed at any moment, the run loses one batch at most. A batch that is not wholly in the
    journal is generated again with all its members, so that the numbers which depend on a
    batch's company come out the same. Records of another prompt, sampling or seed are not used;
    the model is the caller's to guard (`io.resume_directory`). `journal_path` None: no journal.
    """
    check_distinct(requests)
    draw = dataclasses.asdict(sampling)
    keys = {r.request_id: io.digest([r.request_id, r.prompt, draw, seed], 32) for r in requests}
    journal = io.Journal(journal_path, "key") if journal_path else None
    known = dict(journal.records) if journal else {}
    done: dict[str, Generated] = {}
    pending: list[list[Request]] = []
    for batch in engine.batches(requests):
        records = [known[keys[r.request_id]] for r in batch if keys[r.request_id] in known]
        if len(records) == len(batch):
            for record in records:
                fields = {name: value for name, value in record.items() if name != "key"}
                done[record["request_id"]] = Generated(**fields)
        else:
            pending.append(batch)
    try:
        with Progress(len(requests), what, "completion", done=len(done)) as bar:
            for batch in pending:
                fresh = []
                for generated in engine.generate(batch, sampling, seed):
                    fresh.append(generated)
                    bar.update()
                if journal:
                    journal.append(
                        [{"key": keys[g.request_id], **dataclasses.asdict(g)} for g in fresh]
                    )
                done.update({generated.request_id: generated for generated in fresh})
    finally:
        if journal:
            journal.close()
    return {request.request_id: done[request.request_id] for request in requests}
