"""Opening a checkpoint, in one place for every stage."""

from pathlib import Path

import pytest
import torch
from jz3 import models
from jz3.io import UserError
from tiny_model import make_model

SCRIPTS = Path(__file__).parents[1] / "scripts"


def test_model_and_tokenizer(tmp_path):
    make_model(tmp_path)
    model = models.open_model(tmp_path, "bfloat16")
    assert model.dtype == torch.bfloat16
    assert model.config._attn_implementation == "sdpa"
    assert models.open_tokenizer(tmp_path)("a")["input_ids"]


def test_no_checkpoint_and_a_broken_one_are_one_line(tmp_path):
    for open_ in (models.open_tokenizer, lambda folder: models.open_model(folder, "float32")):
        with pytest.raises(UserError, match=r"no checkpoint here \(config\.json is missing\)"):
            open_(tmp_path / "none")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UserError, match="the checkpoint does not load") as caught:
        models.open_model(tmp_path, "float32")
    assert "\n" not in str(caught.value)


def test_checkpoints_are_opened_here_only():
    """Apart from where they are made of other formats."""
    others = {
        path.relative_to(SCRIPTS).as_posix()
        for path in SCRIPTS.rglob("*.py")
        if "AutoModelForCausalLM.from_pretrained(\n" in (text := path.read_text(encoding="utf-8"))
        or "AutoTokenizer.from_pretrained(" in text.replace("`AutoTokenizer.from_pretrained(", "")
    }
    assert others == {"jz3/sources/checkpoints.py", "jz3/sources/quantised.py"}
