"""Generation in this process with transformers, on the processor or one GPU.

The decoding loop is ours: each request draws its tokens with its own random numbers, rows that
are done leave the batch, and a prompt beginning that many requests share is read once.
"""

import itertools
import random
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from .. import io, models
from . import (
    Generated,
    Request,
    Sampling,
    Settings,
    check_distinct,
    check_room,
    decoded,
    encode_prompt,
)

# Tokens looked at before a full sort of the vocabulary; nearly every nucleus is smaller.
_LIKELY = 128


class TransformersEngine:
    """See `Engine`. `batch` sequences are decoded together, of similar prompt length."""

    def __init__(self, model_dir: str | Path, settings: Settings):
        torch.set_num_threads(settings["threads"])
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.batch = settings["batch"]
        self.tokenizer: PreTrainedTokenizerBase = models.open_tokenizer(model_dir)
        self.model: PreTrainedModel = models.open_model(model_dir, settings["dtype"])
        # transformers wraps `to`, and its type takes the model as an argument
        self.model.to(self.device).eval()  # type: ignore[arg-type]
        self.context = getattr(self.model.config, "max_position_embeddings", None) or 2**31
        self.ends = _end_tokens(self.tokenizer, self.model)
        self._encoded: dict[str, list[int]] = {}

    def batches(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Slices of `batch` requests, ordered by prompt length in tokens, then by identity."""
        ordered = sorted(requests, key=lambda r: (len(self._encode(r.prompt)), r.request_id))
        return [ordered[i : i + self.batch] for i in range(0, len(ordered), self.batch)]

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int
    ) -> Generator[Generated]:
        """See `Engine.generate`; a completion is yielded as soon as it is done."""
        check_distinct(requests)
        for request in requests:
            check_room(request, len(self._encode(request.prompt)), self.context)
        for batch in self.batches(requests):
            yield from self._decode(batch, sampling, seed)
        self._encoded.clear()

    def close(self) -> None:
        """Nothing is held that does not end with the object."""

    def _encode(self, prompt: str) -> list[int]:
        if prompt not in self._encoded:
            self._encoded[prompt] = encode_prompt(self.tokenizer, prompt)
        return self._encoded[prompt]

    @torch.inference_mode()
    def _decode(
        self, requests: list[Request], sampling: Sampling, seed: int
    ) -> Generator[Generated]:
        rows = [
            _Row(request, self._encode(request.prompt), sampling, seed, self.context)
            for request in requests
        ]
        stops = _Stops(self.tokenizer, sampling.stop)
        cache, mask, logits = self._read_prompts([row.prompt for row in rows])
        positions = torch.tensor([[len(row.prompt)] for row in rows], device=self.device)
        idle = 0  # row-steps computed for rows that are done
        while True:
            drawn = draw(logits, sampling, [row.uniform() for row in rows])
            for row, token in zip(rows, drawn.tolist(), strict=True):
                if row.finish_reason is None:
                    row.take(token, self.ends, stops)
                    if row.finish_reason is not None:
                        yield row.generated(self.tokenizer)
            alive = [i for i, row in enumerate(rows) if row.finish_reason is None]
            if not alive:
                return
            idle += len(rows) - len(alive)
            # Copying the cache costs about as much as a step, so wait until a step is wasted.
            if idle >= len(alive):
                idle = 0
                keep = torch.tensor(alive, device=self.device)
                rows = [rows[i] for i in alive]
                cache.batch_select_indices(keep)
                mask, positions, drawn = mask[keep], positions[keep], drawn[keep]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            logits = self._step(drawn[:, None], mask, positions, cache)
            positions = positions + 1

    def _step(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Cache
    ) -> torch.Tensor:
        """Logits of the last position, float32 [rows, vocabulary]."""
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        if torch.isnan(logits.sum()):
            raise io.UserError(
                "the model's outputs are not numbers: its weights are damaged or its training"
                " diverged. Make the checkpoint again."
            )
        return logits

    def _read_prompts(self, prompts: list[list[int]]) -> tuple[Cache, torch.Tensor, torch.Tensor]:
        """Fill a cache: cache, its mask [rows, columns], logits of the last position."""
        cache = _growing_cache(self.model.config)
        # With a window that slides, the padding behind a shared beginning would count as text.
        plain = all(isinstance(layer, _GrowingLayer) for layer in cache.layers)
        shared, group_of_row = shared_beginnings(prompts) if plain else (0, [])
        columns = []
        if shared:
            leaders = [group_of_row.index(group) for group in range(max(group_of_row) + 1)]
            ids = torch.tensor([prompts[row][:shared] for row in leaders], device=self.device)
            positions = torch.arange(shared, device=self.device).expand_as(ids)
            self._step(ids, torch.ones_like(ids), positions, cache)
            cache.batch_select_indices(torch.tensor(group_of_row, device=self.device))
            columns.append(ids.new_ones(len(prompts), shared))
        width = max(map(len, prompts)) - shared
        pads = [width + shared - len(prompt) for prompt in prompts]
        ids = torch.tensor(
            [[0] * pad + prompt[shared:] for pad, prompt in zip(pads, prompts, strict=True)],
            device=self.device,
        )
        offset = torch.tensor(pads, device=self.device)[:, None]
        places = torch.arange(width, device=self.device)[None, :] - offset
        mask = torch.cat([*columns, (places >= 0).long()], dim=1)
        positions = places.clamp(min=0) + shared
        return cache, mask, self._step(ids, mask, positions, cache)


class _Row:
    """One request while it is decoded."""

    def __init__(
        self, request: Request, prompt: list[int], sampling: Sampling, seed: int, context: int
    ):
        self.request, self.prompt = request, prompt
        self.tokens: list[int] = []
        self.room = min(sampling.max_new_tokens, context - len(prompt))
        self.finish_reason: str | None = None
        self.text: str | None = None  # set where a stop string ended it
        self.greedy = sampling.temperature == 0
        self.random: random.Random = io.rng(seed, "generation", request.request_id)

    def uniform(self) -> float:
        return 0.0 if self.greedy else self.random.random()

    def take(self, token: int, ends: frozenset[int], stops: "_Stops") -> None:
        self.tokens.append(token)
        if token in ends:
            self.finish_reason = "stop"
            return
        self.text = stops.cut(self.tokens)
        if self.text is not None:
            self.finish_reason = "stop"
        elif len(self.tokens) == self.room:
            self.finish_reason = "length"

    def generated(self, tokenizer: PreTrainedTokenizerBase) -> Generated:
        text = decoded(tokenizer, self.tokens) if self.text is None else self.text
        assert self.finish_reason is not None
        return Generated(
            self.request.request_id, text, self.finish_reason, len(self.prompt), len(self.tokens)
        )


class _Stops:
    """Looks for stop strings in the text of the newest tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: tuple[str, ...]):
        self.tokenizer, self.stop = tokenizer, stop
        # A token stands for a byte at least, and a stop string that is new ends in the newest.
        self.window = max((len(text.encode()) for text in stop), default=0) + 1

    def cut(self, tokens: list[int]) -> str | None:
        """The text before the first stop string, or None where there is none."""
        if not self.stop:
            return None
        recent = decoded(self.tokenizer, tokens[-self.window :])
        if not any(text in recent for text in self.stop):
            return None
        whole = decoded(self.tokenizer, tokens)
        places = [place for place in map(whole.find, self.stop) if place >= 0]
        return whole[: min(places)] if places else None


def _end_tokens(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> frozenset[int]:
    """Every token that ends a text: the tokenizer's and the generation configuration's."""
    ends = {tokenizer.eos_token_id}
    for configuration in (model.generation_config, model.config):
        listed = getattr(configuration, "eos_token_id", None)
        ends.update(listed if isinstance(listed, list) else [listed])
    return frozenset(end for end in ends if end is not None)


# ---------------------------------------------------------------- drawing a token


def draw(logits: torch.Tensor, sampling: Sampling, uniforms: list[float]) -> torch.Tensor:
    """One token per row of `logits` [rows, vocabulary] by inverse distribution function.

    `uniforms` in [0, 1), one per row. Nucleus as in Holtzman et al. 2020: the fewest most likely
    tokens whose probabilities reach `top_p`.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)
    shares = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)[:, None]
    if sampling.top_p >= 1:
        cumulated = probabilities.cumsum(dim=-1, dtype=torch.float64)
        target = shares * cumulated[:, -1:]
        chosen = torch.searchsorted(cumulated, target, right=True)[:, 0]
        return chosen.clamp(max=logits.shape[-1] - 1)
    chosen, reached = _from_nucleus(
        *probabilities.topk(min(_LIKELY, logits.shape[-1]), dim=-1), sampling.top_p, shares
    )
    flat = (~reached).nonzero()[:, 0]
    if len(flat):  # rows of a wide nucleus: sort all of their vocabulary
        ordered = probabilities[flat].sort(dim=-1, descending=True, stable=True)
        chosen[flat] = _from_nucleus(*ordered, sampling.top_p, shares[flat])[0]
    return chosen


def _from_nucleus(
    likely: torch.Tensor, tokens: torch.Tensor, top_p: float, shares: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw from the beginning of each row that reaches `top_p`: tokens, and whether it does."""
    cumulated = likely.cumsum(dim=-1, dtype=torch.float64)
    last = (cumulated < top_p).sum(dim=-1, keepdim=True).clamp(max=likely.shape[-1] - 1)
    target = shares * cumulated.gather(1, last)
    place = torch.minimum(torch.searchsorted(cumulated, target, right=True), last)
    return tokens.gather(1, place)[:, 0], cumulated[:, -1] >= top_p


# ---------------------------------------------------------------- shared beginnings


def shared_beginnings(prompts: list[list[int]]) -> tuple[int, list[int]]:
    """How long a beginning to read once per group of prompts, and each prompt's group.

    Prompts of a group agree in their first `length` tokens; the length saves the most tokens,
    (prompts - groups) * length, and leaves every prompt one token at least. 0: nothing shared.
    """
    order = sorted(range(len(prompts)), key=lambda row: prompts[row])
    common = [_common(prompts[a], prompts[b]) for a, b in itertools.pairwise(order)]
    limit = min(map(len, prompts)) - 1
    best, saved = 0, 0
    for length in sorted({min(shared, limit) for shared in common}):
        saving = length * sum(shared >= length for shared in common)
        if saving > saved:
            best, saved = length, saving
    groups = [0] * len(prompts)
    group = 0
    for place, row in enumerate(order):
        if place and common[place - 1] < best:
            group += 1
        groups[row] = group
    return best, groups


def _common(one: list[int], other: list[int]) -> int:
    """Length of the common beginning."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))


# ---------------------------------------------------------------- key/value cache


class _GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call] # untyped in transformers
    """A layer's keys and values with room to grow, so that a step does not copy them all."""

    _SPARE = 128  # tokens

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._rooms: list[torch.Tensor] = []
            length = 0
        else:
            length = self.get_seq_length()
        total = length + key_states.shape[-2]
        views = []
        for i, new in enumerate((key_states, value_states)):
            if i >= len(self._rooms) or self._rooms[i].shape[-2] < total:
                room = new.new_empty((*new.shape[:-2], total + self._SPARE, new.shape[-1]))
                if length:
                    room[..., :length, :] = self._rooms[i][..., :length, :]
                self._rooms[i : i + 1] = [room]
            self._rooms[i][..., length:total, :] = new
            views.append(self._rooms[i][..., :total, :])
        self.keys, self.values = views
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        if (length := self.get_seq_length()) > 0:
            self._rooms = [room.index_select(0, indices) for room in self._rooms]
            self.keys, self.values = (room[..., :length, :] for room in self._rooms)


def _growing_cache(config: PreTrainedConfig) -> Cache:
    """The cache that fits the model; plain attention layers get room to grow."""
    cache = DynamicCache(config=config)
    for place, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            cache.layers[place] = _GrowingLayer()  # type: ignore[no-untyped-call] # so is its base
    return cache
