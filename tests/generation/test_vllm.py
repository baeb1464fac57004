"""Generation with vLLM: everything that a stand-in can show, and the real engine where it is there.

With the CPU build of vLLM (an environment of its own, without Snakemake):
    .venv-vllm/bin/python -m pytest tests/generation/test_vllm.py
"""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from jz3 import io, records  # noqa: E402
from jz3.generation import Request, Sampling, generate_journalled  # noqa: E402
from jz3.generation.engines import open_engine  # noqa: E402
from leases import is_free  # noqa: E402
from tiny_model import make_model  # noqa: E402

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parent / "stand_in"
REAL = importlib.util.find_spec("vllm") is not None
real = pytest.mark.skipif(not REAL, reason="vllm is not installed here")
pytestmark = pytest.mark.vllm

VLLM = {
    "context": 0, "quantization": "none", "speculative_tokens": 0, "gpu_memory": 0.5,
    "tensor_parallel": 0, "data_parallel": 1, "prefix_caching": True, "sequences": 4,
}  # fmt: skip
SETTINGS = {"engine": "vllm", "batch": 1, "dtype": "float32", "threads": 1, "vllm": VLLM}
SAMPLED = Sampling(1.0, 0.9, 24)
GREEDY = Sampling(0.0, 1.0, 24)


def settings(**changes):
    return SETTINGS | {"vllm": VLLM | changes}


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    """Heads as large as vLLM's attention on processors has them."""
    return make_model(
        tmp_path_factory.mktemp("model"), num_attention_heads=2, num_key_value_heads=1
    )


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    """What the engine sets in the environment is undone after the test."""
    from jz3.generation import vllm as ours

    for word in (
        "VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_NO_USAGE_STATS", "VLLM_DO_NOT_TRACK",
        "DO_NOT_TRACK", "VLLM_WORKER_MULTIPROC_METHOD", "OMP_NUM_THREADS", "VLLM_CPU_OMP_THREADS_BIND", *ours.CACHES,
    ):  # fmt: skip
        monkeypatch.setenv(word, "")
        monkeypatch.delenv(word)
    return tmp_path


@pytest.fixture
def stand_in(surroundings, monkeypatch):
    """The stand-in takes vLLM's place, and notes its starts and answers."""
    monkeypatch.syspath_prepend(STAND_IN)
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        monkeypatch.delitem(sys.modules, name)
    for word in ("STARTED", "FINISHED"):
        monkeypatch.setenv(f"STAND_IN_{word}", str(surroundings / word.lower()))
    yield surroundings
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        del sys.modules[name]


def requests(count=11):
    return [
        Request(f"r{i}", "Write a problem. Text: " + "ab" * (i % 4) + str(i)) for i in range(count)
    ]


def by_id(generated):
    return {g.request_id: g for g in generated}


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


# ---------------------------------------------------------------- streaming, with the stand-in


def test_answers_come_and_are_journalled_one_by_one(stand_in, model_dir):
    path = stand_in / "journal.jsonl"
    engine = open_engine(model_dir, settings(sequences=2))
    seen = []
    original = engine.generate

    def noting(*given):
        for generated in original(*given):
            seen.append((len(lines(path)), len(lines(stand_in / "finished"))))
            yield generated

    engine.generate = noting
    done = generate_journalled(engine, requests(), SAMPLED, 5, path, "test")
    assert list(done) == [request.request_id for request in requests()]
    # When the n-th answer comes, those before it are in the journal, and hardly any more exist.
    assert [journalled for journalled, _ in seen] == list(range(11))
    assert all(finished - journalled <= 2 for journalled, finished in seen)


def test_one_record_missing_makes_one_record_again(stand_in, model_dir):
    path = stand_in / "journal.jsonl"
    expected = generate_journalled(
        open_engine(model_dir, SETTINGS), requests(), SAMPLED, 5, path, "test"
    )
    whole = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*whole[:4], *whole[5:-1], whole[-1][:25]]))  # one, and a torn one
    (stand_in / "finished").unlink()
    engine = open_engine(model_dir, SETTINGS)
    assert generate_journalled(engine, requests(), SAMPLED, 5, path, "test") == expected
    missing = {json.loads(line)["request_id"] for line in (whole[4], whole[-1])}
    assert set(lines(stand_in / "finished")) == missing
    (stand_in / "started").unlink()
    engine = open_engine(model_dir, SETTINGS)
    assert generate_journalled(engine, requests(), SAMPLED, 5, path, "test") == expected
    assert not lines(stand_in / "started")  # nothing to do: it does not even start


def test_prompts_are_looked_at_before_the_engine_starts(stand_in, model_dir):
    engine = open_engine(model_dir, settings(context=100))
    assert engine.context == 100
    asked = [*requests(), Request("long", "x" * 100)]
    with pytest.raises(io.UserError, match=r"request long: the prompt has 100 tokens.*holds 100"):
        generate_journalled(engine, asked, SAMPLED, 5, None, "test")
    assert not lines(stand_in / "started")
    assert open_engine(model_dir, settings(context=1000)).context == 256  # the model's own


def test_who_stops_listening_leaves_an_engine_that_can_be_asked(stand_in, model_dir):
    engine = open_engine(model_dir, SETTINGS)
    answers = engine.generate(requests(), SAMPLED, 5)
    first = next(answers)
    answers.close()
    again = by_id(engine.generate(requests(), SAMPLED, 5))
    assert len(again) == 11
    assert again[first.request_id] == first
    assert len(lines(stand_in / "started")) == 1


def test_an_engine_that_does_not_start_is_one_line(stand_in, model_dir):
    engine = open_engine(model_dir, settings(context=13))
    with pytest.raises(io.UserError) as caught:
        list(engine.generate([Request("r", "hello")], SAMPLED, 5))
    assert "\n" not in str(caught.value)
    assert "No memory for the cache. Its settings are compute/vllm" in str(caught.value)


def test_caches_lie_with_the_results_and_nobody_is_told(stand_in, model_dir):
    open_engine(model_dir, SETTINGS | {"caches": str(stand_in / "caches")})
    for word in ("VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        assert Path(os.environ[word]).parent == stand_in / "caches"
    assert os.environ["VLLM_NO_USAGE_STATS"] == os.environ["DO_NOT_TRACK"] == "1"


def test_settings_reach_the_engine(stand_in, model_dir):
    own = settings(
        context=200, quantization="fp8", speculative_tokens=3, tensor_parallel=2, sequences=7,
        prefix_caching=False,
    )  # fmt: skip
    told = open_engine(model_dir, own)._options()
    assert told["max_model_len"] == 200
    assert told["quantization"] == "fp8"
    assert told["speculative_config"]["num_speculative_tokens"] == 3
    assert told["tensor_parallel_size"] == 2
    assert told["max_num_seqs"] == 7
    assert told["enable_prefix_caching"] is False
    assert told["enable_chunked_prefill"] is False  # seeds on a processor
    assert "quantization" not in open_engine(model_dir, SETTINGS)._options()


# ---------------------------------------------------------------- several copies, with the stand-in


@pytest.fixture
def two(stand_in, model_dir, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    engine = open_engine(model_dir, settings(data_parallel=2))
    yield engine
    engine.close()


def test_copies_answer_as_one_does(two, stand_in, model_dir):
    one = by_id(open_engine(model_dir, SETTINGS).generate(requests(), SAMPLED, 5))
    (stand_in / "started").unlink()
    assert by_id(two.generate(requests(), SAMPLED, 5)) == one
    assert by_id(two.generate(requests(3), SAMPLED, 5)).items() <= one.items()
    assert len(set(lines(stand_in / "started"))) == 2
    with pytest.raises(io.UserError, match="request long: the prompt has 300 tokens"):
        list(two.generate([Request("long", "x" * 300)], SAMPLED, 5))
    processes = list(two._processes)
    two.close()
    assert all(process.poll() is not None for process in processes)


def test_who_stops_listening_to_copies_can_ask_again(two):
    answers = two.generate(requests(), SAMPLED, 5)
    next(answers)
    answers.close()
    assert len(by_id(two.generate(requests(), SAMPLED, 5))) == 11


def test_a_copy_that_dies_ends_the_job(two):
    list(two.generate(requests(2), SAMPLED, 5))
    two._processes[1].kill()
    with pytest.raises(RuntimeError, match="a copy of the model ended before its work"):
        list(two.generate(requests(), SAMPLED, 5))
    assert not two._processes


def test_a_copys_mistake_is_one_line_and_gpus_divide(stand_in, model_dir, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    engine = open_engine(model_dir, settings(data_parallel=2, context=13))
    assert engine._devices == [["0", "1"], ["2", "3"]]
    with pytest.raises(io.UserError, match="No memory for the cache"):
        list(engine.generate([Request("r", "hello")], SAMPLED, 5))
    with pytest.raises(io.UserError, match="data_parallel is 3, which does not divide the 4 GPU"):
        open_engine(model_dir, settings(data_parallel=3))


# ---------------------------------------------------------------- a shard, killed


def shard(folder, count):
    """A table of prompts, and the command that has them answered, on one leased device."""
    rows = [
        {
            "request_id": f"q{i}", "passage_id": f"p{i}", "source": "web", "level": "grade",
            "mode": "cot", "prompt": f"Write a problem about {i}. Text: " + "abc" * (i % 5),
        }
        for i in range(count)
    ]  # fmt: skip
    known = set(records.PROMPTS.names)
    rows = [{name: value for name, value in row.items() if name in known} for row in rows]
    io.write_table(folder / "00000.parquet", rows, records.PROMPTS, {})


def command(folder, model_dir, state, output, copies):
    recipe = {
        "engine": "vllm", "batch": 1, "dtype": "float32", "threads": 1,
        "vllm": {"context": 0, "quantization": "none", "speculative_tokens": 0},
        "sampling": {"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 40},
    }  # fmt: skip
    conduct = {
        "caches": str(folder / "caches"),
        "vllm": {
            "gpu_memory": 0.5, "tensor_parallel": copies, "data_parallel": copies,
            "prefix_caching": True, "sequences": 4,
        },
    }  # fmt: skip
    program = [ROOT / "scripts/synthesize.py", "--prompts", folder / "00000.parquet"]
    program += ["--synthesizer", model_dir, "--state", state, "--output", output, "--seed", "3"]
    program += ["--recipe", json.dumps(recipe), "--conduct", json.dumps(conduct)]
    program += ["--log", folder / "log"]
    return [sys.executable, ROOT / "scripts/gpus.py", "--gpus", str(copies), *program]


def processes_of(mark):
    """Living processes with this in the environment that they began with, by id."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (place / "environ").read_bytes().split(b"\0"):
                found.add(int(place.name))
    return found


def parents():
    """The parent of every living process, by id."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (place / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if words[0] not in "ZX":
                found[int(place.name)] = int(words[1])
    return found


def wait_for_the_lease(folder):
    deadline = time.monotonic() + 30
    while not is_free(folder):
        assert time.monotonic() < deadline
        time.sleep(0.01)


SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def kill_on_its_way(folder, model_dir, environment, count, copies, seconds, moments=10):
    """One shard, killed again and again, by one signal after another; then left to finish."""
    shard(folder, count)
    mark = f"TMPDIR={folder}".encode()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}, **environment,
        "CUDA_VISIBLE_DEVICES": "0,1", "TMPDIR": str(folder), "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    journal = folder / "state/completions.jsonl"
    arguments = command(folder, model_dir, folder / "state", folder / "out.parquet", copies)
    for moment in range(moments):
        kept = lines(journal)
        wanted = count * moment // (moments + 1)  # the first while it starts
        process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE)
        deadline = time.monotonic() + seconds
        if moment == 0:
            time.sleep(2)
        while len(lines(journal)) < max(wanted, len(kept) + (moment > 0)):
            assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            time.sleep(0.005)
        sent = SIGNALS[moment % 3]
        process.send_signal(sent)
        process.communicate(timeout=30)
        assert process.returncode == (-sent if sent == signal.SIGKILL else 130) or (
            moment == 0 and process.returncode in (-sent, 1)
        )
        wait_for_the_lease(folder)
        assert not processes_of(mark)  # the lease was free only then
        after = lines(journal)
        assert after[: len(kept)] == kept
        if "STAND_IN_FINISHED" in environment:  # made, and lost: of one step at most
            made = len(set(lines(Path(environment["STAND_IN_FINISHED"]))))
            assert (
                made - len({json.loads(line)["request_id"] for line in whole(after)}) <= 4 * copies
            )
    subprocess.run(arguments, env=environment, check=True, timeout=seconds)
    undisturbed = command(folder, model_dir, folder / "other", folder / "other.parquet", copies)
    subprocess.run(undisturbed, env=environment, check=True, timeout=seconds)
    wait_for_the_lease(folder)
    assert not processes_of(mark)
    ours, theirs = (
        io.read_table(folder / name, records.PROBLEMS).to_pylist()
        for name in ("out.parquet", "other.parquet")
    )
    assert ours == theirs
    assert len(ours) == count
    made = [json.loads(line)["request_id"] for line in lines(journal)]
    assert len(made) == len(set(made)) == count  # nothing was journalled twice


def whole(texts):
    for text in texts:
        with contextlib.suppress(json.JSONDecodeError):
            json.loads(text)
            yield text


@pytest.mark.parametrize(
    ("copies", "moments"), [(1, 3), pytest.param(2, 10, marks=pytest.mark.slow)]
)
def test_a_shard_killed_on_its_way(surroundings, model_dir, copies, moments):
    """Two copies, each with two processes that hear no signal: all go before the lease does."""
    environment = {
        "PYTHONPATH": str(STAND_IN), "STAND_IN_SECONDS": "0.03",
        "STAND_IN_FINISHED": str(surroundings / "finished"),
    }  # fmt: skip
    kill_on_its_way(surroundings, model_dir, environment, 110, copies, 240, moments)


# ---------------------------------------------------------------- the real engine


@pytest.fixture(scope="module")
def engine(model_dir):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        made = open_engine(model_dir, settings(sequences=64))
        yield made
        made.close()


@real
def test_greedy_texts_are_those_of_the_transformers_engine(engine, model_dir):
    plain = {"engine": "transformers", "batch": 4, "dtype": "float32", "threads": 1}
    theirs = by_id(open_engine(model_dir, plain).generate(requests(12), GREEDY, 5))
    assert by_id(engine.generate(requests(12), GREEDY, 5)) == theirs


@real
def test_stops_and_lengths_are_those_of_the_transformers_engine(engine, model_dir):
    plain = {"engine": "transformers", "batch": 4, "dtype": "float32", "threads": 1}
    free = by_id(open_engine(model_dir, plain).generate(requests(12), GREEDY, 5))
    letters = sorted({c for g in free.values() for c in g.text if c.isascii() and c.isprintable()})
    sampling = Sampling(0.0, 1.0, 24, tuple(letters[:2]))
    theirs = by_id(open_engine(model_dir, plain).generate(requests(12), sampling, 5))
    ours = by_id(engine.generate(requests(12), sampling, 5))
    assert {g.finish_reason for g in theirs.values()} == {"stop", "length"}
    assert {k: (g.text, g.finish_reason) for k, g in ours.items()} == {
        k: (g.text, g.finish_reason) for k, g in theirs.items()
    }


@real
def test_a_sampled_answer_does_not_depend_on_its_company(engine):
    together = by_id(engine.generate(requests(), SAMPLED, 5))
    assert len({g.text for g in together.values()}) > 8
    assert by_id(engine.generate(requests()[::-1], SAMPLED, 5)) == together
    for request in requests(4):
        assert list(engine.generate([request], SAMPLED, 5)) == [together[request.request_id]]
    assert by_id(engine.generate(requests(), SAMPLED, 6)) != together


@real
def test_many_sampled_at_once_with_long_prompts(engine):
    """The CPU build ends with "CPU Generator does not use offset" where prompts are cut."""
    asked = [Request(f"r{i}", f"{i} " + "xyz " * 50) for i in range(200)]
    assert len(by_id(engine.generate(asked, Sampling(1.0, 0.9, 8), 5))) == 200


@real
def test_too_long_a_prompt_and_then_an_answer(engine):
    with pytest.raises(io.UserError, match=r"request r: the prompt has 256 tokens.*holds 256"):
        list(engine.generate([Request("r", "x" * 256)], GREEDY, 1))
    [answer] = engine.generate([Request("r", "x" * 250)], GREEDY, 1)
    assert answer.completion_tokens <= 6


@real
@pytest.mark.slow
def test_two_processes_share_the_real_model_and_die_with_us(surroundings, model_dir):
    """Tensor parallelism on processors: the same texts; kill -9 of the program ends its workers."""
    program = (
        "import sys, os, json\n"
        f"sys.path[:0] = {[str(ROOT / 'scripts'), str(ROOT / 'tests'), str(Path(__file__).parent)]!r}\n"
        "if __name__ == '__main__':\n"
        "    from test_vllm import GREEDY, requests, settings\n"
        "    from jz3.generation.engines import open_engine\n"
        f"    engine = open_engine({str(model_dir)!r}, settings(tensor_parallel=2))\n"
        "    made = {g.request_id: g.text for g in engine.generate(requests(12), GREEDY, 5)}\n"
        "    print('MADE', json.dumps(made), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    Path(surroundings, "two.py").write_text(program)
    process = subprocess.Popen(
        [sys.executable, surroundings / "two.py"],
        env=os.environ | {"TMPDIR": str(surroundings), "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = {}
    for line in process.stdout:
        if line.startswith("MADE"):
            said = json.loads(line[5:])
            break
    plain = {"engine": "transformers", "batch": 4, "dtype": "float32", "threads": 1}
    theirs = by_id(open_engine(model_dir, plain).generate(requests(12), GREEDY, 5))
    workers = [pid for pid, parent in parents().items() if parent == process.pid]
    assert len(workers) >= 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while set(workers) & parents().keys():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert said == {name: made.text for name, made in theirs.items()}


@real
@pytest.mark.slow
def test_a_real_shard_killed_at_ten_moments(surroundings, model_dir):
    kill_on_its_way(surroundings, model_dir, {}, 220, 1, 300)
