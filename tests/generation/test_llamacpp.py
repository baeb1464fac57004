"""The llamacpp engine: a GGUF file of known weights against the transformers engine."""

import re
import urllib.error
import urllib.request

import pytest

pytest.importorskip("torch")
pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")

from jz3 import io
from jz3.generation import Request, Sampling, generate_journalled
from jz3.generation.engines import open_engine
from jz3.sources import checkpoints
from tiny_gguf import make_gguf
from tiny_model import make_model

SETTINGS = {"engine": "llamacpp", "batch": 4, "dtype": "float32", "threads": 1}
SAMPLED = Sampling(1.0, 0.9, 24)
GREEDY = Sampling(0.0, 1.0, 24)
MARKS = re.compile("\ufffd+")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("plain") / "model")


@pytest.fixture(scope="module")
def quantised(plain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantised")
    file = make_gguf(plain, folder / "a_source")
    entry = {"kind": "gguf", "dtype": "float32", "digits": False, "quantised": True}
    checkpoints.make(entry, folder / "model", "tiny", gguf=file)
    return folder / "model"


@pytest.fixture(scope="module")
def engine(quantised):
    return open_engine(quantised, SETTINGS)


def requests(count=8):
    return [Request(f"r{i}", f"Write a problem. Text: {'abc ' * (i % 3)}{i}") for i in range(count)]


def by_id(generated):
    return {g.request_id: g for g in generated}


def test_the_folder_holds_the_file_as_it_is_and_no_other_weights(quantised):
    names = {path.name for path in quantised.iterdir()}
    assert {"model.gguf", "config.json", "tokenizer.json"} <= names
    assert not [name for name in names if "safetensors" in name]
    assert io.file_digest(quantised / "model.gguf") == io.file_digest(quantised.parent / "a_source")


def test_greedy_texts_are_those_of_the_same_weights_in_transformers(engine, plain):
    theirs = by_id(
        open_engine(plain, SETTINGS | {"engine": "transformers"}).generate(requests(), GREEDY, 1)
    )
    ours = by_id(engine.generate(requests(), GREEDY, 1))
    for name, expected in theirs.items():
        # bytes that are no text become one mark or several
        assert MARKS.sub("?", ours[name].text) == MARKS.sub("?", expected.text)
        assert ours[name].finish_reason == expected.finish_reason
        assert ours[name].prompt_tokens == expected.prompt_tokens


def test_a_request_gets_the_same_in_any_company(engine):
    together = by_id(engine.generate(requests(), SAMPLED, 5))
    assert len({g.text for g in together.values()}) > 5
    for request in requests():
        assert list(engine.generate([request], SAMPLED, 5)) == [together[request.request_id]]
    assert by_id(engine.generate(requests()[::-1], SAMPLED, 5)) == together


def test_seed_and_identity_change_the_draw(engine):
    [request] = requests(1)
    one = next(engine.generate([request], SAMPLED, 5)).text
    assert next(engine.generate([request], SAMPLED, 6)).text != one
    assert next(engine.generate([Request("other", request.prompt)], SAMPLED, 5)).text != one


def test_a_stop_string_ends_a_completion_and_is_no_part_of_it(engine):
    [request] = requests(1)
    whole = next(engine.generate([request], GREEDY, 1))
    assert whole.finish_reason == "length"
    assert whole.completion_tokens == 24
    stop = re.search("[ -~]{2}", whole.text)[0]
    cut = next(engine.generate([request], Sampling(0.0, 1.0, 24, (stop,)), 1))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"


def test_a_prompt_that_leaves_no_room_is_one_readable_line(engine):
    with pytest.raises(io.UserError, match=r"request long: the prompt has \d+ tokens, the model's"):
        list(engine.generate([Request("long", "abc " * 200)], GREEDY, 1))
    with pytest.raises(io.UserError, match="request none: the prompt is empty"):
        list(engine.generate([Request("none", "")], GREEDY, 1))


def test_every_record_is_journalled_and_none_is_written_twice(engine, tmp_path):
    journal = tmp_path / "completions.jsonl"
    whole = generate_journalled(engine, requests(), SAMPLED, 5, None, "test")
    first = generate_journalled(engine, requests(), SAMPLED, 5, journal, "test")
    assert first == whole
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:3]) + lines[3][:20])  # killed while the fourth was written

    class Counting:
        tokenizer, context, batches = engine.tokenizer, engine.context, engine.batches
        asked = 0

        def generate(self, chosen, *others):
            self.asked += len(chosen)
            return engine.generate(chosen, *others)

    counting = Counting()
    assert generate_journalled(counting, requests(), SAMPLED, 5, journal, "test") == whole
    assert counting.asked == 5


def test_a_quantised_model_runs_in_llamacpp_whatever_runs_the_others(quantised, plain):
    assert type(open_engine(quantised, SETTINGS | {"engine": "vllm"})).__name__ == "LlamaCppEngine"
    with pytest.raises(io.UserError, match=r'is "llamacpp", which runs quantised checkpoints'):
        open_engine(plain, SETTINGS)


def test_the_server_ends_with_the_engine(quantised):
    engine = open_engine(quantised, SETTINGS)
    address = engine.address
    urllib.request.urlopen(f"{address}/models", timeout=5).close()
    engine.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{address}/models", timeout=5)
    with pytest.raises(io.UserError, match=r"llama\.cpp's server is gone"):
        list(engine.generate(requests(1), GREEDY, 1))
