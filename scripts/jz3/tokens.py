"""How a text begins for a model: one rule for what it is trained on and what it is asked."""

from collections.abc import Sequence
from typing import Any


def beginning(tokenizer: Any) -> list[int]:
    """The beginning-of-text token, alone, where the tokenizer puts it before a text; else []."""
    first = list(tokenizer("", add_special_tokens=True)["input_ids"])[:1]
    return first if first == [tokenizer.bos_token_id] else []


def begun(start: Sequence[int], ids: Sequence[int]) -> list[int]:
    """`ids` after `start` (see `beginning`), unless the text itself begins with it."""
    return list(ids) if list(ids[: len(start)]) == list(start) else [*start, *ids]
