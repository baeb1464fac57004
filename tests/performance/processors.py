"""What this machine's processor makes of the miniature's heavy loops, in either number type.

    python tests/performance/processors.py --base results/sources/models/smollm2_135m \\
        [--teacher results/sources/files/qwen_coder_1b5_gguf]

Measures training (one update after another, packs of 256 tokens), generation (32 answers together)
and the served teacher (one answer after another), with float32 and bfloat16, alone and beside 4 and
8 processes that never rest, and says which type `compute.dtype: auto` gives here. Speeds are tokens
per second by the clock; beside N busy processes a fair scheduler leaves two threads on two cores
2/(2+N) of the time. "0.0": not one update or batch within the limit. Other ways of waiting are tried
with the variables of OpenMP: GOMP_SPINCOUNT=300000 is libgomp's own. Ends with one line of JSON.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from jz3 import processor, program  # noqa: E402

BUSY = (0, 4, 8)  # processes beside the measured one
LENGTH = 256  # tokens of a pack
PROMPT = "Write a problem about fractions and solve it step by step. Text: "
SPIN = "while True: pass"


def packs(count: int) -> list[dict]:
    """Packs of one made-up document each: half prompt, half output."""
    from jz3.training import packing

    half = LENGTH // 2
    made = []
    for number in range(count):
        ids = [(7 * number + 13 * place) % 250 + 10 for place in range(LENGTH)]
        made.append(packing.join([packing.Document(ids, [packing.IGNORED] * half + ids[half:])]))
    return made


def train(base: Path, dtype: str, threads: int, seconds: float, state: Path) -> float:
    """Tokens per second of the updates after the first, for about `seconds`."""
    import torch
    from jz3.training import train as training

    torch.set_num_threads(threads)
    recipe = {
        "learning_rate": 1e-5, "schedule": "linear", "warmup_ratio": 0.0, "stable_ratio": 0.0,
        "minimum_ratio": 0.0, "epochs": 1, "global_batch": 1, "micro_batch": 1, "length": LENGTH,
        "weight_decay": 0.0, "gradient_clip": 1.0, "gradient_checkpointing": False,
        "save_steps": 10**6, "dtype": dtype, "threads": threads,
    }  # fmt: skip
    times: list[float] = []
    history = state / "history.jsonl"

    def watch() -> None:
        """Note when each update is written, and ask for the end once it is time."""
        seen = 0
        while True:
            lines = history.read_text().count("\n") if history.exists() else 0
            times.extend([time.monotonic()] * (lines - seen))
            seen = lines
            if len(times) > 3 and times[-1] - times[0] > seconds:
                os.kill(os.getpid(), 2)  # saves nothing that is kept; the speed is known
                return
            time.sleep(0.02)

    threading.Thread(target=watch, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        training.train(training.load_model(base), packs(4000), recipe, seed=1, state=state)
    return LENGTH * (len(times) - 1) / (times[-1] - times[0])


def generate(base: Path, dtype: str, threads: int, seconds: float, state: Path) -> float:
    """New tokens per second of batches of 32 answers, for about `seconds`."""
    from jz3.generation import Request, Sampling
    from jz3.generation.engines import open_engine

    settings = {"engine": "transformers", "batch": 32, "dtype": dtype, "threads": threads}
    engine = open_engine(base, settings)
    engine.ends = frozenset()  # every answer has its full length
    tokens, began = 0, time.monotonic()
    while not tokens or time.monotonic() - began < seconds:
        requests = [Request(str(n), PROMPT + "word " * (n % 20)) for n in range(32)]
        for made in engine.generate(requests, Sampling(0.0, 1.0, 32), 1):
            tokens += made.completion_tokens
    return tokens / (time.monotonic() - began)


def teach(gguf: Path, _dtype: str, threads: int, seconds: float, state: Path) -> float:
    """New tokens per second of the teacher as the workflow serves it, for about `seconds`."""
    from jz3.distillation.local_server import local_server

    command = "python scripts/serve_gguf.py --model {model} --port {port} --threads {threads}"
    question = {"role": "user", "content": PROMPT}
    body = {"messages": [question], "max_tokens": 32, "temperature": 0}
    tokens = 0
    with local_server(command, str(gguf), threads, 120, state / "log") as address:
        began = time.monotonic()
        while not tokens or time.monotonic() - began < seconds:
            request = urllib.request.Request(
                f"{address}/chat/completions",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request) as answer:
                tokens += json.load(answer)["usage"]["completion_tokens"]
        return tokens / (time.monotonic() - began)


LOOPS = {"training": train, "generation": generate, "teacher": teach}


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """`count` processes that compute without rest."""
    beside = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in beside:
            process.kill()
            process.wait()


def measured(options: argparse.Namespace, what: str, dtype: str, beside: int) -> float:
    """Speed in a process of its own; 0.0 where it had none within the limit."""
    model = options.teacher if what == "teacher" else options.base
    command = [sys.executable, str(ROOT / "scripts/gpus.py"), "--gpus", "0"]
    command += [__file__, "--base", str(model), "--only", what, dtype]
    command += ["--seconds", str(options.seconds), "--threads", str(options.threads)]
    with busy(beside):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=options.limit, check=True
            )
        except subprocess.TimeoutExpired:
            return 0.0
        except subprocess.CalledProcessError as error:
            sys.exit(error.stderr[-2000:])
    return float(done.stdout.split()[-1])


def main() -> None:
    """Measure everything, or with --only one thing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True, help="folder of SmolLM2-135M")
    parser.add_argument("--teacher", type=Path, help="GGUF file of the served teacher")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--seconds", type=float, default=15, help="that each speed is taken over")
    parser.add_argument("--limit", type=float, default=300, help="seconds for one measurement")
    parser.add_argument("--only", nargs=2, metavar=("WHAT", "DTYPE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    program.share_cores()
    if options.only:
        what, dtype = options.only
        with tempfile.TemporaryDirectory() as state:
            speed = LOOPS[what](options.base, dtype, options.threads, options.seconds, Path(state))
        print(speed)
        return
    chosen = processor.resolve("auto", gpus=0)
    print(f"compute.dtype: auto is {processor.explain(chosen)}", flush=True)
    speeds: dict[str, dict[str, list[float]]] = {}
    measurements = dict.fromkeys(("training", "generation"), processor.DTYPES)
    if options.teacher:
        measurements["teacher"] = ("quantised",)
    for what, dtypes in measurements.items():
        for dtype in dtypes:
            row = [measured(options, what, dtype, beside) for beside in BUSY]
            speeds.setdefault(what, {})[dtype] = [round(speed, 1) for speed in row]
            shares = "  ".join(
                f"beside {beside}: {speed:.1f} ({speed / row[0]:.0%}, fair {2 / (2 + beside):.0%})"
                for beside, speed in zip(BUSY[1:], row[1:], strict=True)
                if row[0]
            )
            print(f"{what:10} {dtype:9}  alone: {row[0]:.1f} tokens/s  {shares}", flush=True)
    result = {"step": "processors", "unit": "tokens/s", "busy": BUSY, "auto": chosen}
    print(json.dumps(result | {"ours": speeds}))


if __name__ == "__main__":
    main()
