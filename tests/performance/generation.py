"""Answers per CPU-second: vLLM as we stream it, as batches of 4,096, and the transformers engine.

    .venv-vllm/bin/python tests/performance/generation.py \\
        --base results/sources/models/smollm2_135m [--answers 192]

Run it with the Python of an environment that holds vLLM (its CPU build does). All ways answer the
same prompts greedily, each in a process of its own, after one answer that warms it up. CPU-seconds
are those of the process and of all that it started, while it answers; `first` is the time to the
first answer in the journal, which is what a killed shard keeps, and `start` what loading took.
"batches of 4,096" is what this project did before: vLLM's LLM.generate, its core in a process of its
own, journalled at the end of a batch. Texts may differ where bfloat16 sums do; how many agree is
said. Ends with one line of JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from jz3 import io, program  # noqa: E402
from jz3.generation import Request, Sampling, generate_journalled  # noqa: E402

VLLM = {
    "context": 1024, "quantization": "none", "speculative_tokens": 0, "gpu_memory": 0.9,
    "tensor_parallel": 0, "data_parallel": 1, "prefix_caching": True,
}  # fmt: skip
TOPICS = ("fractions", "a train", "a garden", "primes", "a recipe", "triangles", "a shop", "time")
WAYS = ("streaming", "batches of 4,096", "transformers")


def requests(count: int) -> list[Request]:
    """Prompts of a common beginning and of several lengths, as those of synthesis are."""
    start = "Write a word problem for pupils about the text below, then solve it step by step.\n"
    return [
        Request(
            f"r{i}", f"{start}Text {i}: {TOPICS[i % 8]} " + "and numbers " * (i % 11) + "\nProblem:"
        )
        for i in range(count)
    ]


def cpu_seconds() -> float:
    """Of this process and of all living ones that it started, and of those that it waited for."""
    import psutil

    me = psutil.Process()
    own = me.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in me.children(recursive=True):
        times = child.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def batches(options: argparse.Namespace, sampling: Sampling, journal: Path):
    """What there was before: (warm up, answer all)."""
    import vllm
    from jz3.generation.vllm import VllmEngine

    engine = VllmEngine(options.base, settings(options, "vllm"))
    told = engine._options()
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1"
    model = vllm.LLM(**told)
    parameters = vllm.SamplingParams(temperature=0, max_tokens=sampling.max_new_tokens)

    def answer(asked: list[Request], where: Path) -> int:
        tokens = 0
        with io.Journal(where, "key") as kept:
            for i in range(0, len(asked), 4096):
                some = asked[i : i + 4096]
                made = model.generate([r.prompt for r in some], parameters, use_tqdm=False)
                records = []
                for request, output in zip(some, made, strict=True):
                    completion = output.outputs[0]
                    tokens += len(completion.token_ids)
                    records.append({"key": request.request_id, "text": completion.text})
                kept.append(records)
        return tokens

    return answer


def ours(options: argparse.Namespace, sampling: Sampling, engine_name: str):
    """The engines as the programs use them."""
    from jz3.generation.engines import open_engine

    engine = open_engine(options.base, settings(options, engine_name))

    def answer(asked: list[Request], where: Path) -> int:
        done = generate_journalled(engine, asked, sampling, 1, where, "answering")
        return sum(generated.completion_tokens for generated in done.values())

    return answer


def settings(options: argparse.Namespace, engine: str) -> dict:
    """Of an engine, by its name."""
    return {
        "engine": engine, "batch": options.batch, "dtype": options.dtype,
        "threads": options.threads, "vllm": {**VLLM, "sequences": options.batch},
    }  # fmt: skip


def measure(options: argparse.Namespace) -> dict:
    """One way, in this process."""
    sampling = Sampling(0.0, 1.0, options.tokens)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        if options.only == "batches of 4,096":
            answer = batches(options, sampling, Path(folder))
        else:
            name = "vllm" if options.only == "streaming" else "transformers"
            answer = ours(options, sampling, name)
        answer([Request("warm", "Write a problem.")], Path(folder, "warm"))
        start = time.monotonic() - began
        journal = Path(folder, "journal")
        asked = requests(options.answers)
        watcher = subprocess.Popen([sys.executable, "-c", WATCH, journal], stdout=subprocess.PIPE)
        before, began, clock = cpu_seconds(), time.monotonic(), time.time()
        tokens = answer(asked, journal)
        seconds, spent = time.monotonic() - began, cpu_seconds() - before
        first = float(watcher.communicate()[0]) - clock
        kept = [json.loads(line) for line in journal.read_text().splitlines()]
        texts = {record.get("request_id", record["key"]): record["text"] for record in kept}
    return {
        "answers per CPU-second": round(options.answers / spent, 3),
        "tokens per CPU-second": round(tokens / spent, 1),
        "first": round(first, 2), "all": round(seconds, 1), "start": round(start, 1),
        "tokens": tokens, "texts": texts,
    }  # fmt: skip


def end() -> NoReturn:
    """With all that was started: vLLM's engine core does not go by itself."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(0)


# Waits, at next to no cost, for the first bytes of a journal.
WATCH = """
import os, sys, time
while not (os.path.exists(sys.argv[1]) and os.path.getsize(sys.argv[1])): time.sleep(0.05)
print(time.time())
"""


def main() -> None:
    """Measure every way, or with --only one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--answers", type=int, default=192, help="prompts answered")
    parser.add_argument("--tokens", type=int, default=64, help="longest answer")
    parser.add_argument("--batch", type=int, default=32, help="answered together")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--dtype", default="bfloat16", help="of weights: bfloat16 or float32")
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    program.share_cores()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if options.only:
        print(json.dumps(measure(options)), flush=True)
        end()
    told = [f"--{k}={v}" for k, v in vars(options).items() if k != "only"]
    rows = {}
    for way in WAYS:
        command = [sys.executable, __file__, *told, "--only", way]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows[way] = json.loads(done.stdout.splitlines()[-1])
    reference = rows["streaming"].pop("texts")
    for way, row in rows.items():
        texts = row.pop("texts", reference)
        row["texts as streamed"] = sum(texts[name] == text for name, text in reference.items())
        print(way, row, flush=True)
    speeds = {way: row["answers per CPU-second"] for way, row in rows.items()}
    result = {
        "step": "generation", "unit": "answers/CPU-second", "ours": speeds.pop("streaming"),
        "peers": speeds, "answers": options.answers,
        "first journalled answer, seconds": {way: row["first"] for way, row in rows.items()},
        "all, seconds": {way: row["all"] for way, row in rows.items()},
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
