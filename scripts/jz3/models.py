"""Opening a checkpoint: a folder as Hugging Face writes it, never a name to be downloaded."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import processor
from .io import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

QUANTISED = "model.gguf"  # in the folder of a checkpoint that llama.cpp runs as it is


def require(folder: str | Path) -> None:
    """Raise UserError unless `folder` holds a checkpoint."""
    if not (Path(folder) / "config.json").is_file():
        raise UserError(
            f"{folder}: no checkpoint here (config.json is missing). Run the workflow again to"
            " make it."
        )


def open_model(folder: str | Path, dtype: str) -> "PreTrainedModel":
    """The causal language model in `folder`, on the CPU, with its weights in `dtype`.

    Raises UserError where there is no checkpoint or it does not load, or where this machine has no
    such type (`processor.check`).
    """
    import torch
    from transformers import AutoModelForCausalLM

    processor.check(dtype)
    model: PreTrainedModel = _load(
        AutoModelForCausalLM, folder, dtype=getattr(torch, dtype), attn_implementation="sdpa"
    )
    return model


def open_tokenizer(folder: str | Path) -> "PreTrainedTokenizerBase":
    """The tokenizer in `folder`. Raises UserError as `open_model` does."""
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = _load(AutoTokenizer, folder)
    return tokenizer


def _load(kind: Any, folder: str | Path, **options: Any) -> Any:
    require(folder)
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{folder}: the checkpoint does not load ({reason}).") from error
