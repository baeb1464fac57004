"""Generation: sampling that depends on the request alone, stops, journal, faults."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from jz3 import generation, io  # noqa: E402
from jz3.generation import Generated, Request, Sampling, generate_journalled  # noqa: E402
from jz3.generation.engines import open_engine  # noqa: E402
from jz3.generation.transformers import draw, shared_beginnings  # noqa: E402
from tiny_model import make_model  # noqa: E402

SETTINGS = {"engine": "transformers", "batch": 4, "dtype": "float32", "threads": 1}
SAMPLED = Sampling(1.0, 0.9, 24)
GREEDY = Sampling(0.0, 1.0, 24)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine(model_dir):
    return open_engine(model_dir, SETTINGS)


def requests(count=11):
    texts = ["Write a problem. Text: " + "abcdefg hij" * (i % 4) + str(i) for i in range(count)]
    return [Request(f"r{i}", text) for i, text in enumerate(texts)]


def by_id(generated):
    return {g.request_id: g for g in generated}


# ---------------------------------------------------------------- sampling


def test_a_request_gets_the_same_in_any_company(engine):
    together = by_id(engine.generate(requests(), SAMPLED, 5))
    assert len({g.text for g in together.values()}) > 8
    for request in requests():
        alone = list(engine.generate([request], SAMPLED, 5))
        assert alone == [together[request.request_id]]
    reordered = by_id(engine.generate(requests()[::-1], SAMPLED, 5))
    assert reordered == together


def test_seed_and_identity_change_the_draw(engine):
    request = requests(1)[0]
    one = next(engine.generate([request], SAMPLED, 5)).text
    assert next(engine.generate([request], SAMPLED, 6)).text != one
    renamed = Request("other", request.prompt)
    assert next(engine.generate([renamed], SAMPLED, 5)).text != one


@pytest.mark.parametrize("shared", [True, False])
def test_greedy_equals_generate_of_transformers(engine, shared):
    chosen = requests() if shared else [Request(f"q{i}", f"{i}{'xyz ' * i}") for i in range(6)]
    ours = by_id(engine.generate(chosen, GREEDY, 1))
    for request in chosen:
        ids = torch.tensor([engine.tokenizer(request.prompt)["input_ids"]])
        with torch.inference_mode():
            theirs = engine.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24,
                pad_token_id=0,
            )[0, ids.shape[1] :].tolist()  # fmt: skip
        mine = ours[request.request_id]
        assert mine.text == engine.tokenizer.decode(theirs, skip_special_tokens=True)
        assert mine.completion_tokens == len(theirs)
        assert mine.prompt_tokens == ids.shape[1]


def test_a_model_with_a_sliding_window_equals_generate_too(tmp_path):
    from transformers import MistralConfig, MistralForCausalLM

    make_model(tmp_path)
    torch.manual_seed(3)
    config = MistralConfig(
        vocab_size=258, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        sliding_window=16, eos_token_id=0, bos_token_id=None, initializer_range=0.3,
    )  # fmt: skip
    MistralForCausalLM(config).save_pretrained(tmp_path)
    engine = open_engine(tmp_path, SETTINGS)
    ours = by_id(engine.generate(requests(5), GREEDY, 1))
    for request in requests(5):
        ids = torch.tensor([engine.tokenizer(request.prompt)["input_ids"]])
        with torch.inference_mode():
            theirs = engine.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24,
                pad_token_id=0,
            )[0, ids.shape[1] :].tolist()  # fmt: skip
        expected = engine.tokenizer.decode(theirs, skip_special_tokens=True)
        assert ours[request.request_id].text == expected


def test_draws_follow_the_distribution():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    uniforms = [(i + 0.5) / 2000 for i in range(2000)]
    many = logits.expand(2000, 4)
    counts = torch.bincount(draw(many, Sampling(1.0, 1.0, 1), uniforms), minlength=4)
    assert counts.tolist() == [1000, 600, 300, 100]
    counts = torch.bincount(draw(many, Sampling(1.0, 0.75, 1), uniforms), minlength=4)
    assert counts.tolist() == [1250, 750, 0, 0]
    # temperature 1/2 squares the probabilities: .25 .09 .0225 .0025 of .365
    counts = torch.bincount(draw(many, Sampling(0.5, 1.0, 1), uniforms), minlength=4)
    assert counts.tolist() == pytest.approx([1369.9, 493.2, 123.3, 13.7], abs=1)
    assert set(draw(many, Sampling(0.0, 1.0, 1), uniforms).tolist()) == {0}


def test_a_wide_nucleus_is_drawn_from_all_of_it():
    logits = torch.zeros(1000, 1000)
    logits[:, 0] = -50.0
    uniforms = [(i + 0.5) / 1000 for i in range(1000)]
    drawn = set(draw(logits, Sampling(1.0, 0.9, 1), uniforms).tolist())
    assert len(drawn) in (899, 900, 901)
    assert 0 not in drawn
    narrow = logits.clone()
    narrow[::2, 5] = 50.0
    mixed = draw(narrow, Sampling(1.0, 0.9, 1), uniforms)
    assert set(mixed[::2].tolist()) == {5}
    assert len(set(mixed[1::2].tolist())) > 440


# ---------------------------------------------------------------- ends


def test_length_and_every_end_token(engine):
    results = list(engine.generate(requests(40), Sampling(1.5, 1.0, 60), 2))
    reasons = {g.finish_reason for g in results}
    assert reasons == {"stop", "length"}
    for g in results:
        assert (g.completion_tokens == 60) or g.finish_reason == "stop"
        assert "<end>" not in g.text
        assert "<stop>" not in g.text
    assert engine.ends == {0, 1}


def test_stop_strings_are_trimmed_and_the_first_wins(engine):
    tried = 0
    for request in requests():
        whole = next(engine.generate([request], SAMPLED, 5))
        letters = [c for c in whole.text if c.isascii() and c.isprintable()]
        if len(letters) < 3:
            continue
        tried += 1
        stop = (letters[-1], letters[1])
        cut = next(engine.generate([request], Sampling(1.0, 0.9, 24, stop), 5))
        expected = whole.text[: min(map(whole.text.find, stop))]
        assert (cut.text, cut.finish_reason) == (expected, "stop")
        assert cut.completion_tokens <= whole.completion_tokens
        absent = Sampling(1.0, 0.9, 24, ("no such text in it",))
        assert next(engine.generate([request], absent, 5)) == whole
    assert tried > 3


def test_a_stop_string_of_several_tokens_is_found(engine):
    # One byte per token: "b" alone must not stop it, nor "ab" cut in two by the window.
    from jz3.generation.transformers import _Stops

    stops = _Stops(engine.tokenizer, ("ab", "c"))
    ids = [engine.tokenizer(c)["input_ids"][0] for c in "xxbaxxxxxxxxab"]
    assert [stops.cut(ids[:n]) for n in range(1, len(ids))] == [None] * (len(ids) - 1)
    assert stops.cut(ids) == "xxbaxxxxxxxx"


def test_new_tokens_stop_at_the_context(engine):
    prompt = "x" * 250
    result = next(engine.generate([Request("r", prompt)], Sampling(0.0, 1.0, 100), 1))
    assert result.prompt_tokens == 250
    assert result.completion_tokens <= 6


def test_too_long_and_empty_prompts_are_the_users_mistake(engine):
    with pytest.raises(io.UserError, match=r"request r: the prompt has 256 tokens.*holds 256"):
        list(engine.generate([Request("r", "x" * 256)], GREEDY, 1))
    with pytest.raises(io.UserError, match="empty"):
        list(engine.generate([Request("r", "")], GREEDY, 1))


def test_weights_that_are_not_numbers(tmp_path, model_dir):
    from safetensors.torch import load_file, save_file

    make_model(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(io.UserError, match="not numbers"):
        list(open_engine(tmp_path, SETTINGS).generate(requests(1), GREEDY, 1))


@pytest.mark.parametrize(
    "values", [(-1, 1, 1), (1, 0, 1), (1, 1.1, 1), (1, 1, 0), (1, 1, 1, ("",))]
)
def test_senseless_sampling(values):
    with pytest.raises(io.UserError):
        Sampling(*values)


def test_missing_checkpoint_and_engine(tmp_path, model_dir):
    with pytest.raises(io.UserError, match="no checkpoint here"):
        open_engine(tmp_path, SETTINGS)
    with pytest.raises(io.UserError, match='Did you mean "transformers"'):
        open_engine(model_dir, SETTINGS | {"engine": "transformer"})


@pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("vllm") is not None, reason="vllm is installed"
)
def test_missing_vllm_names_its_environment(model_dir):
    with pytest.raises(io.UserError, match=r"make environments"):
        open_engine(model_dir, SETTINGS | {"engine": "vllm", "vllm": {"data_parallel": 1}})


# ---------------------------------------------------------------- batches, shared beginnings


def test_batches_depend_on_the_set_and_dividing_again_changes_nothing(engine):
    batches = engine.batches(requests())
    assert [len(batch) for batch in batches] == [4, 4, 3]
    assert engine.batches(requests()[::-1]) == batches
    assert all(engine.batches(batch) == [batch] for batch in batches)
    assert engine.batches(batches[0] + batches[2]) == [batches[0], batches[2]]


def test_shared_beginnings_by_hand():
    a, b = [1, 2, 3, 4], [7, 8, 9]
    prompts = [[*a, 10], [*b, 1, 11], [*a, 12, 13], [*b, 1, 14]]
    length, groups = shared_beginnings(prompts)
    assert length == 4
    assert groups[0] == groups[2] != groups[1] == groups[3]
    assert shared_beginnings([[1, 2], [1, 2]]) == (1, [0, 0])
    assert shared_beginnings([[1], [1, 2]])[0] == 0
    assert shared_beginnings([[5, 6, 7]])[0] == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=8))
def test_groups_agree_in_their_beginning(prompts):
    length, groups = shared_beginnings(prompts)
    beginnings = {}
    for prompt, group in zip(prompts, groups, strict=True):
        assert len(prompt) > length
        assert beginnings.setdefault(group, prompt[:length]) == prompt[:length]
    assert sorted(beginnings) == list(range(len(beginnings)))


# ---------------------------------------------------------------- journal


def test_journal_resumes_whole_batches_and_gives_the_same(engine, tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    expected = generate_journalled(engine, requests(), SAMPLED, 5, None, "test")
    assert list(expected) == [request.request_id for request in requests()]
    generate_journalled(engine, requests(), SAMPLED, 5, path, "test")
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 11
    path.write_text("".join(lines[:6]) + lines[6][:20])  # one batch and a half, and a torn line
    asked = []
    original = type(engine).generate
    monkeypatch.setattr(
        type(engine), "generate",
        lambda self, batch, *rest: asked.append(len(batch)) or original(self, batch, *rest),
    )  # fmt: skip
    assert generate_journalled(engine, requests(), SAMPLED, 5, path, "test") == expected
    assert asked == [7]  # two batches, at once
    asked.clear()
    assert generate_journalled(engine, requests(), SAMPLED, 5, path, "test") == expected
    assert asked == []


def test_records_of_another_prompt_seed_or_sampling_are_not_used(engine, tmp_path):
    path = tmp_path / "journal.jsonl"
    first = generate_journalled(engine, requests(2), SAMPLED, 5, path, "test")
    other = generate_journalled(engine, requests(2), SAMPLED, 6, path, "test")
    assert other != first
    changed = [Request("r0", "Another prompt"), requests(2)[1]]
    result = generate_journalled(engine, changed, SAMPLED, 5, path, "test")
    assert result["r0"] != first["r0"]
    assert result["r1"] == first["r1"]
    longer = Sampling(1.0, 0.9, 25)
    assert generate_journalled(engine, requests(2), longer, 5, path, "test") != first


def test_two_requests_of_one_identity_are_refused(engine):
    with pytest.raises(ValueError, match="r0 occurs twice"):
        generate_journalled(engine, requests(1) * 2, SAMPLED, 5, None, "test")


def test_killed_and_resumed_gives_what_an_undisturbed_run_gives(engine, model_dir, tmp_path):
    path = tmp_path / "journal.jsonl"
    driver = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(generation.__file__).parents[2])!r})\n"
        f"sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}\n"
        "from jz3.generation import generate_journalled\n"
        "from jz3.generation.engines import open_engine\n"
        "from test_generation import SAMPLED, SETTINGS, requests\n"
        f"engine = open_engine({str(model_dir)!r}, SETTINGS)\n"
        "inner = engine.generate\n"
        "def slow(*a):\n"
        "    for g in inner(*a):\n"
        "        time.sleep(0.05)\n"
        "        yield g\n"
        "engine.generate = slow\n"
        f"generate_journalled(engine, requests(40), SAMPLED, 5, {str(path)!r}, 'test')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", driver], env=os.environ)
    deadline = time.monotonic() + 60
    while not path.exists() or len(path.read_bytes().splitlines()) < 8:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(path.read_bytes().splitlines())
    assert done < 40
    resumed = generate_journalled(engine, requests(40), SAMPLED, 5, path, "test")
    assert resumed == generate_journalled(engine, requests(40), SAMPLED, 5, None, "test")
    assert len(path.read_bytes().splitlines()) == 40
    assert Generated(**{k: v for k, v in json.loads(path.read_text().splitlines()[0]).items()
                        if k != "key"}) in resumed.values()  # fmt: skip
