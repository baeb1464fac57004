"""Several copies of a model in one job: each in a process of its own, with its share of the GPUs.

They are told their requests on standard input and answer on standard output, a line of JSON each.
None outlives this process, whatever ends it.
"""

import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, cast

from .. import io
from ..processes import die_with_parent
from . import Generated, Request, Sampling, Settings, VllmSettings, check_distinct
from .vllm import VllmEngine


class Replicas:
    """See `Engine`. Requests are dealt out one by one; what each gets does not depend on it."""

    def __init__(self, model_dir: str | Path, settings: Settings):
        own, copies = settings["vllm"], settings["vllm"]["data_parallel"]
        self._front = VllmEngine(model_dir, settings)  # looks at prompts, and never starts
        self.tokenizer, self.context = self._front.tokenizer, self._front.context
        devices = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        if len(devices) % copies:
            raise io.UserError(
                f"compute.vllm.data_parallel is {copies}, which does not divide the"
                f" {len(devices)} GPU(s) of this job. Change it, or compute.gpus.generate."
            )
        each = len(devices) // copies
        self._devices = [devices[i * each : (i + 1) * each] for i in range(copies)]
        alone = cast(VllmSettings, {**own, "data_parallel": 1})
        self._told = {"folder": str(model_dir), "settings": {**settings, "vllm": alone}}
        self._processes: list[subprocess.Popen[str]] = []

    def batches(self, requests: Sequence[Request]) -> list[list[Request]]:
        """As one copy does."""
        return self._front.batches(requests)

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int
    ) -> Generator[Generated]:
        """See `Engine.generate`."""
        check_distinct(requests)
        self._front.check(requests)
        if not self._processes:
            self._processes = [self._started(devices) for devices in self._devices]
        copies = len(self._processes)
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        for number, process in enumerate(self._processes):
            threading.Thread(
                target=_converse,
                args=(process, [dataclasses.asdict(r) for r in requests[number::copies]],
                      dataclasses.asdict(sampling), seed, lines),
                daemon=True,
            ).start()  # fmt: skip
        left, finished = copies, False
        try:
            while left:
                said: dict[str, Any] = json.loads(lines.get())
                if "mistake" in said:
                    raise io.UserError(said["mistake"])
                if "died" in said:
                    raise RuntimeError("a copy of the model ended before its work; see the log")
                if "done" in said:
                    left -= 1
                else:
                    yield Generated(**said)
            finished = True
        finally:
            if not finished:  # answers that nobody waits for would come in between the next ones
                self.close()

    def close(self) -> None:
        """End the copies."""
        processes, self._processes = self._processes, []
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()

    def _started(self, devices: list[str]) -> "subprocess.Popen[str]":
        ours = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            [sys.executable, "-c", f"from {serve.__module__} import serve; serve()"],
            env={**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ",".join(devices)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="surrogatepass",
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(self._told) + "\n")
        return process


def _converse(
    process: "subprocess.Popen[str]",
    requests: list[dict[str, str]],
    sampling: dict[str, Any],
    seed: int,
    lines: "queue.SimpleQueue[str]",
) -> None:
    """Tell one copy what to do, and pass on what it says until it is done."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        work = {"requests": requests, "sampling": sampling, "seed": seed}
        process.stdin.write(json.dumps(work) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            lines.put(line)
            if '"done"' in line and "done" in json.loads(line):
                return
    except (OSError, ValueError):  # its pipes are closed
        pass
    lines.put('{"died": true}')


def serve() -> None:
    """Be one copy: answer what comes on standard input until it ends."""
    die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):  # the job's process decides what becomes of us
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="ascii")
    os.dup2(2, 1)  # vLLM talks on standard output

    def say(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")

    told = json.loads(sys.stdin.readline())
    engine = VllmEngine(told["folder"], told["settings"])
    for line in sys.stdin:
        work = json.loads(line)
        requests = [Request(**request) for request in work["requests"]]
        try:
            for made in engine.generate(requests, Sampling(**work["sampling"]), work["seed"]):
                say(dataclasses.asdict(made))
        except io.UserError as error:
            say({"mistake": str(error)})
        say({"done": True})
    engine.close()
