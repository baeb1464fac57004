"""Attention that stays inside each document of a pack, without a mask.

Registered with transformers as "documents", so that work grows with the documents' lengths and
not with the square of the pack's, and does not depend on how a version of transformers finds
document boundaries. A GPU with half-precision arithmetic takes all documents in one call of the
FlashAttention kernel that torch brings; elsewhere every document is one causal call of
scaled_dot_product_attention (a sixth faster than a mask on a CPU).
"""

import contextlib
import inspect
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
import transformers
from torch.nn.attention.varlen import varlen_attn

# Before torch 2.12 the kernel took fewer heads of keys than of queries without a word.
_GROUPED = {"enable_gqa": True} if "enable_gqa" in inspect.signature(varlen_attn).parameters else {}


class _Bounds(NamedTuple):
    """Where the documents of one pack begin, its length last: for Python, and for the kernel."""

    cuts: list[int]
    on_device: torch.Tensor  # int32, as the kernel wants it
    longest: int


_last: tuple[torch.Tensor | None, _Bounds] = (None, _Bounds([], torch.empty(0), 0))


def _document_bounds(positions: torch.Tensor) -> _Bounds:
    """The documents of one row of positions (1, tokens), which restart at 0."""
    global _last
    if _last[0] is not positions:  # all layers of a model are given the same tensor
        cuts = [*(positions[0] == 0).nonzero().flatten().tolist(), positions.shape[1]]
        on_device = torch.tensor(cuts, dtype=torch.int32, device=positions.device)
        _last = (positions, _Bounds(cuts, on_device, max(b - a for a, b in pairwise(cuts))))
    return _last[1]


def kernel(device: torch.device, dtype: torch.dtype) -> str:
    """What computes attention in `dtype` on `device`, in words for a log."""
    if _has_flash_attention(device, dtype):
        return f"torch's FlashAttention, {torch.__version__}"
    return "one call of scaled_dot_product_attention per document"


def _has_flash_attention(device: torch.device, dtype: torch.dtype) -> bool:
    half = dtype in (torch.bfloat16, torch.float16)
    return half and device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


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
    documents = _document_bounds(position_ids)
    kind = query.dtype
    if query.is_cuda and torch.is_autocast_enabled("cuda"):  # which does not know the kernel
        kind = torch.get_autocast_dtype("cuda")
    if not dropout and query.shape[-1] <= 256 and _has_flash_attention(query.device, kind):
        cuts, longest = documents.on_device, documents.longest
        q, k, v = (part[0].transpose(0, 1).to(kind) for part in (query, key, value))
        options: dict[str, Any] = {"scale": scaling, "window_size": (-1, 0), **_GROUPED}  # causal
        attended = varlen_attn(q, k, v, cuts, cuts, longest, longest, **options)
        return cast("torch.Tensor", attended)[None], None
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
        for first, last in pairwise(documents.cuts)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


transformers.AttentionInterface.register("documents", document_attention)


@contextlib.contextmanager
def per_document(model: transformers.PreTrainedModel, length: int) -> Iterator[None]:
    """Make `model` use document attention within the block, where it can.

    A sliding window shorter than `length` tokens needs the model's own mask.
    """
    before = model.config._attn_implementation
    window = getattr(model.config, "sliding_window", None)
    if window and window < length:
        yield
        return
    model.set_attn_implementation("documents")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
