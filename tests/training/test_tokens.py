"""The beginning of a text: the same in training and in generation."""

import pytest
from jz3 import tokens
from jz3.generation import encode_prompt
from jz3.training.packing import encode
from test_packing import letters


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("prompt", ["ab", "<s>ab", "", "<s>"])
def test_training_and_generation_begin_a_text_alike(bos, prompt):
    tokenizer = letters(bos=bos)
    asked = encode_prompt(tokenizer, prompt)
    document = encode(tokenizer, prompt, "cd", 20)
    assert document.input_ids == [*asked, 4, 5, tokenizer.eos_token_id]
    assert asked.count(0) == (bos or prompt.startswith("<s>"))


def test_beginning():
    assert tokens.beginning(letters(bos=True)) == [0]
    assert tokens.beginning(letters()) == []
    assert tokens.begun([0], [2, 3]) == [0, 2, 3]
    assert tokens.begun([0], [0, 3]) == [0, 3]
    assert tokens.begun([], [2]) == [2]
