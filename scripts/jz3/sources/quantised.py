"""A checkpoint folder around a GGUF file that is kept as it is, for the llamacpp engine."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .. import models, program
from ..io import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def keep(
    gguf: Path, folder: Path, name: str, mend: "Callable[[PreTrainedTokenizerBase], None] | None"
) -> None:
    """Make `folder`: the file (linked where it can be), its tokenizer and its configuration.

    mend: what restores of the tokenizer what GGUF loses. Raises UserError where the file's
    architecture or tokenizer is unknown to transformers.
    """
    from transformers import AutoConfig, AutoTokenizer

    place, file = str(gguf.resolve().parent), gguf.name
    program.say(f"{name}: reading the tokenizer of {file}")
    folder.mkdir()
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=file)
        config = AutoConfig.from_pretrained(place, gguf_file=file)
    except (ValueError, KeyError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"checkpoint {name}: {gguf} is not understood ({reason}).") from None
    if mend:
        mend(tokenizer)
    config.name_or_path = ""
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    try:
        os.link(gguf.resolve(), folder / models.QUANTISED)
    except OSError:  # another file system
        shutil.copyfile(gguf, folder / models.QUANTISED)
