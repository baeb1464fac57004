"""Checkpoints of every kind load as plain Hugging Face folders."""

import json
import shutil
from pathlib import Path

import pytest
from jz3 import io
from jz3.io import UserError
from jz3.sources import checkpoints

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

RANDOM = {
    "kind": "random", "hidden_size": 64, "intermediate_size": 96, "layers": 2, "heads": 4,
    "vocabulary": 600, "parameters": 0.0001, "dtype": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    checkpoints.make(RANDOM, folder, "tiny", seed=5)
    return folder


def load(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    return model, transformers.AutoTokenizer.from_pretrained(folder)


def test_random_checkpoint_round_trip(tiny):
    model, tokenizer = load(tiny)
    assert len(tokenizer) == model.config.vocab_size == 600
    assert model.config.num_hidden_layers == 2
    assert model.lm_head.weight is model.model.embed_tokens.weight
    ids = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    assert len(ids) == 3
    assert None not in ids
    text = "Mia has 3 + 5 = 8 apples.\nThe answer is \\boxed{8}. ∑ ü"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat == "<|begin|>user\nhi<|end|>\n<|begin|>assistant\n"
    prompt = tokenizer("3 + 5", return_tensors="pt")
    made = model.generate(**prompt, max_new_tokens=4, do_sample=False)
    assert made.shape[1] <= prompt["input_ids"].shape[1] + 4


def test_tokenizer_takes_digits_one_by_one(tiny):
    _, tokenizer = load(tiny)
    assert tokenizer.tokenize("12345") == list("12345")


def test_random_checkpoint_depends_on_seed_and_name_only(tiny, tmp_path):
    torch.manual_seed(99)
    expected = torch.rand(1)
    torch.manual_seed(99)
    checkpoints.make(RANDOM, tmp_path / "again", "tiny", seed=5)
    assert torch.rand(1) == expected  # the global generator is left alone
    checkpoints.make(RANDOM, tmp_path / "other", "tiny", seed=6)
    assert io.file_digest(tmp_path / "again") == io.file_digest(tiny)
    weights, others = (
        (folder / "model.safetensors").read_bytes() for folder in (tiny, tmp_path / "other")
    )
    assert weights != others


def test_local_folder_keeps_only_what_belongs_to_a_checkpoint(tiny, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(tiny, source)
    for name in ("pytorch_model.bin", "consolidated.safetensors", "README.md"):
        (source / name).write_text("x")
    checkpoints.make({"kind": "local", "path": str(source)}, tmp_path / "out", "mine")
    assert io.file_digest(tmp_path / "out") == io.file_digest(tiny)
    load(tmp_path / "out")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "no tokenizer"),
        ("model.safetensors", "1 of 1 weight files are missing"),
    ],
)
def test_incomplete_folder_is_refused_and_nothing_is_left(tiny, tmp_path, missing, message):
    source = tmp_path / "source"
    shutil.copytree(tiny, source)
    (source / missing).unlink()
    with pytest.raises(UserError, match=message):
        checkpoints.make({"kind": "local", "path": str(source)}, tmp_path / "out" / "m", "mine")
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_shard_is_named(tiny, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(tiny, source)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"1 of 2 weight files.*model-2"):
        checkpoints.make({"kind": "local", "path": str(source)}, tmp_path / "out", "mine")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "gguff"}, 'unknown kind "gguff".*Did you mean "gguf"'),
        ({"kind": "hub", "repository": "a/b"}, "needs revision"),
        ({"kind": "local", "path": "/no/such/folder"}, "no such folder"),
        ({"kind": "gguf", "dtype": "float32"}, "needs the file of its `source`"),
        ({**RANDOM, "vocabulary": 10}, "at least 259"),
        ({**RANDOM, "heads": 7}, "multiple of heads"),
        ({**RANDOM, "dtype": "float8"}, 'unknown dtype "float8"'),
    ],
)
def test_user_errors(tmp_path, entry, message):
    with pytest.raises(UserError, match=message):
        checkpoints.make(entry, tmp_path / "out", "mine")


# ---------------------------------------------------------------- GGUF


def write_gguf(folder: Path, target: Path) -> None:
    """The tiny checkpoint as GGUF, as llama.cpp's converter lays it out."""
    gguf = pytest.importorskip("gguf")
    model, tokenizer = load(folder)
    config, weights = model.config, model.state_dict()
    heads = config.num_attention_heads

    def rotary(tensor):  # llama.cpp pairs neighbouring rows, transformers the two halves
        rows = tensor.shape[0] // heads // 2
        return tensor.reshape(heads, 2, rows, -1).swapaxes(1, 2).reshape(tensor.shape)

    out = gguf.GGUFWriter(str(target), "llama")
    out.add_context_length(256)
    out.add_embedding_length(config.hidden_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(heads)
    out.add_head_count_kv(heads)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(10000.0)
    out.add_vocab_size(config.vocab_size)
    settings = json.loads((folder / "tokenizer.json").read_text())
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("smollm")
    out.add_token_list([piece for piece, _ in pieces])
    out.add_token_types([3 if number < 3 else 1 for _, number in pieces])
    out.add_token_merges([" ".join(pair) for pair in settings["model"]["merges"]])
    out.add_bos_token_id(tokenizer.bos_token_id)
    out.add_eos_token_id(tokenizer.eos_token_id)
    out.add_chat_template(tokenizer.chat_template)
    out.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"].numpy())
    out.add_tensor("output_norm.weight", weights["model.norm.weight"].numpy())
    names = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    for layer in range(config.num_hidden_layers):
        for theirs, ours in names.items():
            tensor = weights[f"model.layers.{layer}.{theirs}.weight"]
            tensor = rotary(tensor) if ours in ("attn_q", "attn_k") else tensor
            out.add_tensor(f"blk.{layer}.{ours}.weight", tensor.contiguous().numpy())
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def test_gguf_round_trip_gives_the_same_model(tiny, tmp_path):
    write_gguf(tiny, tmp_path / "no_suffix")  # sources are stored by name alone
    entry = {"kind": "gguf", "source": "x", "digits": True, "dtype": "float32"}
    checkpoints.make(entry, tmp_path / "out", "mine", gguf=tmp_path / "no_suffix")
    model, tokenizer = load(tmp_path / "out")
    original, original_tokenizer = load(tiny)
    for text in ("Mia has 12345 + 67.", "x^2 - 3x\n= 10 apples"):
        ids = original_tokenizer(text, return_tensors="pt").input_ids
        assert tokenizer(text, return_tensors="pt").input_ids.tolist() == ids.tolist()
        assert torch.allclose(model(ids).logits, original(ids).logits, atol=1e-5)
    assert tokenizer.chat_template == original_tokenizer.chat_template
    assert tokenizer.pad_token_id is not None
    assert model.config.pad_token_id == tokenizer.pad_token_id
    for file in (tmp_path / "out").glob("*.json"):  # no trace of this machine
        assert str(tmp_path) not in file.read_text()
    assert (tmp_path / "out" / "model.safetensors").stat().st_mode & 0o044


def test_file_that_is_no_gguf(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"<html>")
    with pytest.raises(UserError, match="is not a GGUF file"):
        checkpoints.make(
            {"kind": "gguf", "dtype": "float32"}, tmp_path / "out", "m", gguf=tmp_path / "x.gguf"
        )
