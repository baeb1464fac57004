"""Stands in for vLLM where it is not installed: its door, and answers made up from prompt and seed.

With `tensor_parallel_size` above 1 it starts as many processes, which import the worker extension as
vLLM's do and then hear no signal. STAND_IN_SECONDS: of a step; STAND_IN_FINISHED: a file that gets a
line for each answer; STAND_IN_STARTED: a file that gets one for each start.
"""

import os
import subprocess
import sys
import time
import types
import zlib

from . import sampling_params  # noqa: F401

WORKER = """
import importlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
importlib.import_module(sys.argv[1].rpartition(".")[0])
while True: time.sleep(1)
"""


def _note(variable, line):
    if variable in os.environ:
        with open(os.environ[variable], "a") as out:
            out.write(line + "\n")


class SamplingParams:
    def __init__(self, **given):
        self.__dict__.update(given)


class EngineArgs:
    def __init__(self, **given):
        self.given = given


class LLMEngine:
    def __init__(self, given):
        self.given, self.waiting, self.running = given, [], {}
        self.workers = []
        if given["tensor_parallel_size"] > 1:
            path = os.pathsep.join(sys.path)
            for _ in range(given["tensor_parallel_size"]):
                command = [sys.executable, "-c", WORKER, given["worker_extension_cls"]]
                environment = os.environ | {"PYTHONPATH": path}
                self.workers.append(subprocess.Popen(command, env=environment))
        self.engine_core = types.SimpleNamespace(shutdown=self._shutdown)
        _note("STAND_IN_STARTED", str(os.getpid()))

    @classmethod
    def from_engine_args(cls, arguments):
        if arguments.given["max_model_len"] == 13:
            raise ValueError("No memory for the cache.\nMore of it.")
        return cls(arguments.given)

    def add_request(self, request_id, prompt, parameters):
        ids = prompt["prompt_token_ids"]
        made = zlib.crc32(repr((ids, parameters.seed)).encode())
        length = min(1 + made % 12, parameters.max_tokens)
        self.waiting.append([request_id, length, str(made), parameters])

    def step(self):
        time.sleep(float(os.environ.get("STAND_IN_SECONDS", "0")))
        while self.waiting and len(self.running) < self.given["max_num_seqs"]:
            request = self.waiting.pop(0)
            self.running[request[0]] = request
        ended = []
        for request in list(self.running.values()):
            request[1] -= 1
            if request[1] <= 0:
                del self.running[request[0]]
                completion = types.SimpleNamespace(
                    finish_reason="stop",
                    stop_reason=None,
                    text="",
                    token_ids=[ord(digit) - 14 for digit in request[2]],
                )
                _note("STAND_IN_FINISHED", request[0])
                ended.append(
                    types.SimpleNamespace(
                        request_id=request[0], finished=True, outputs=[completion]
                    )
                )
        return ended

    def abort_request(self, names):
        self.waiting = [request for request in self.waiting if request[0] not in names]
        for name in names:
            self.running.pop(name, None)

    def _shutdown(self):
        for worker in self.workers:
            worker.kill()
            worker.wait()
