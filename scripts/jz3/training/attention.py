"""Attention that stays inside each document of a pack, without a mask.

Registered with transformers as "documents": every document is one causal call of torch's
scaled_dot_product_attention, so that work grows with the documents' lengths and not with the
square of the pack's (a sixth faster than a mask on CPU, and it does not depend on how a version
of transformers finds document boundaries).
"""

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
import transformers

_bounds: tuple[torch.Tensor | None, list[int]] = (None, [])  # of the last positions seen


def _document_bounds(positions: torch.Tensor) -> list[int]:
    """Starts of the documents in one row of positions, and the row's length."""
    global _bounds
    if _bounds[0] is not positions:  # all layers of a model are given the same tensor
        starts = (positions[0] == 0).nonzero().flatten().tolist()
        _bounds = (positions, [*starts, positions.shape[1]])
    return _bounds[1]


def document_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_ids: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over one row of packed documents: tensors (1, heads, tokens, size).

    Returns (1, tokens, heads, size) and no weights. `position_ids` (1, tokens) restart at 0.
    """
    if position_ids is None or query.shape[0] != 1:
        raise ValueError("document attention needs position_ids and a single row of packs")
    grouped = query.shape[1] != key.shape[1]
    parts = [
        torch.nn.functional.scaled_dot_product_attention(
            query[:, :, first:last],
            key[:, :, first:last],
            value[:, :, first:last],
            dropout_p=dropout,
            is_causal=True,
            scale=scaling,
            enable_gqa=grouped,
        )
        for first, last in pairwise(_document_bounds(position_ids))
    ]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


transformers.AttentionInterface.register("documents", document_attention)


@contextlib.contextmanager
def per_document(model: transformers.PreTrainedModel, length: int) -> Iterator[None]:
    """Make `model` use document attention within the block, unless it has something better.

    Flash attention finds the documents by itself; a sliding window shorter than `length` tokens
    needs the model's own mask.
    """
    before = model.config._attn_implementation
    window = getattr(model.config, "sliding_window", None)
    if before not in ("sdpa", "eager") or (window and window < length):
        yield
        return
    model.set_attn_implementation("documents")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
