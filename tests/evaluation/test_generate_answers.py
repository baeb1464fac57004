"""One start of the engine for all benchmarks of a model: the journals, and who reads them."""

import json

import answer_benchmark
import generate_answers
import pyarrow.parquet as pq
import pytest
from jz3 import io, records
from jz3.generation import engines
from tiny_model import make_model

VLLM = {
    "context": 0, "gpu_memory": 0.5, "data_parallel": 1, "sequences": 8, "tensor_parallel": 1,
    "prefix_caching": True, "quantization": "none", "speculative_tokens": 0,
}  # fmt: skip
RECIPE = {
    "temperature": 0.0, "top_p": 1.0, "samples": 1, "max_new_tokens": 8, "template": "jiuzhang",
    "engine": "transformers", "batch": 2, "dtype": "float32", "threads": 1, "vllm": VLLM,
}  # fmt: skip
OF_MODE = {
    "cot": {"shots": 0},
    "tool": {
        "tool_rounds": 2,
        "execution": {"seconds": 1, "memory_mb": 512, "output_characters": 400, "workers": 1},
    },
}  # fmt: skip
NAMES = ["addition", "doubling"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


def benchmark(folder, name, words="What is"):
    rows = [
        {
            "problem_id": f"{name}{n}", "benchmark": name, "split": "test", "subject": "",
            "question": f"{words} {n}+{n}?", "answer": str(2 * n), "solution": "", "program": "",
            "choices": [],
        }
        for n in range(3)
    ]  # fmt: skip
    io.write_table(folder / f"{name}.parquet", rows, records.BENCHMARK, {})


def generate(folder, model, mode):
    told = {"benchmarks": dict.fromkeys(NAMES, RECIPE | OF_MODE[mode])}
    run(
        generate_answers, "--benchmarks", *(folder / f"{name}.parquet" for name in NAMES),
        "--model", model, "--mode", mode, "--shots", *["-"] * len(NAMES),
        "--states", *(folder / f"{name}.state" for name in NAMES), "--reader", "c", "--seed", 3,
        "--recipe", json.dumps(told), "--output", folder / "generated.json",
    )  # fmt: skip


def answer(folder, model, mode, name, *more, state="state"):
    output = folder / f"{name}.{state}.answers.parquet"
    run(
        answer_benchmark, "--benchmark", folder / f"{name}.parquet", "--model", model,
        "--mode", mode, "--state", folder / f"{name}.{state}", "--code", "c", "--seed", 3,
        "--recipe", json.dumps(RECIPE | OF_MODE[mode]), "--output", output, *more,
    )  # fmt: skip
    return pq.read_table(output).to_pylist()


def run(program, *arguments):
    program.main(program.parser().parse_args([str(argument) for argument in arguments]))


def asked(monkeypatch):
    """Identities of the requests that an engine is asked for from now on."""
    found = []
    open_engine = engines.open_engine

    def opened(*arguments):
        engine = open_engine(*arguments)
        made = engine.generate

        def generating(requests, *rest):
            found.extend(request.request_id for request in requests)
            return made(requests, *rest)

        engine.generate = generating
        return engine

    monkeypatch.setattr(engines, "open_engine", opened)
    return found


@pytest.mark.parametrize("mode", ["cot", "tool"])
def test_the_journals_hold_what_each_benchmark_alone_would_get(tmp_path, model, mode, monkeypatch):
    for name in NAMES:
        benchmark(tmp_path, name)
    generate(tmp_path, model, mode)
    assert json.loads((tmp_path / "generated.json").read_text()) == dict.fromkeys(NAMES, 3)
    requests = asked(monkeypatch)
    for name in NAMES:
        read = answer(tmp_path, model, mode, name, "--generated", tmp_path / "generated.json")
        assert not requests
        assert read == answer(tmp_path, model, mode, name, state="alone")
        assert requests
        requests.clear()


def test_only_a_benchmark_that_has_changed_is_generated_again(tmp_path, model, monkeypatch):
    for name in NAMES:
        benchmark(tmp_path, name)
    generate(tmp_path, model, "cot")
    benchmark(tmp_path, "doubling", "How many are")
    requests = asked(monkeypatch)
    generate(tmp_path, model, "cot")
    assert sorted(requests) == [f"doubling{n}#0" for n in range(3)]


def test_a_lost_journal_is_one_line(tmp_path, model):
    for name in NAMES:
        benchmark(tmp_path, name)
    generate(tmp_path, model, "cot")
    (tmp_path / "addition.state/completions.jsonl").unlink()
    mark = tmp_path / "generated.json"
    with pytest.raises(io.UserError, match=r"3 completions are not .*generated\.json.* Delete"):
        answer(tmp_path, model, "cot", "addition", "--generated", mark)
