"""A server that runs model-written programs, each in a confined process forked from a warm one.

Started by `programs`, which asks for one program at a time over standard input and output. Python,
numpy and, once they are named, sympy and its like are loaded once; a program gets a copy of that
process, limits, and a new folder.
"""

import base64
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import struct
import sys
import time
from collections.abc import Sequence
from typing import IO, Any

from . import confinement, interpreter

NOT_CONFINED = 98  # exit status
_PRELOADED = ("numpy", "math", "fractions", "itertools", "random", "decimal", "statistics")
# Loaded by the server at the first program that names them: slow, and the same for all.
_PRELOADED_IF_NAMED = (
    "sympy",
    "matplotlib.pyplot",
    "scipy.optimize",
    "scipy.stats",
    "pandas",
    "networkx",
)
# What sympy loads and computes at its first equation, integral and so on.
_WARM_SYMPY = """
from sympy import *
a, b = symbols("a_ b_"); n = symbols("n_", integer=True, positive=True); f = Function("f_")
simplify((a**2 - 1)/(a - 1)); factor(a**3 - 1); expand((a + b)**2); apart(1/(a*(a + 1)), a)
solve(a**2 - 2*a - 3, a); solve([Eq(a + b, 3), Eq(a - b, 1)], [a, b]); solveset(a**2 - 4, a)
solve(sin(a) - Rational(1, 2), a); solve(a**2 - 3 < 0, a); solve(exp(a) - 2, a)
diff(sin(a)*exp(a), a); integrate(a*exp(a), a); integrate(sin(a)**2, (a, 0, pi))
limit(sin(a)/a, a, 0); series(exp(a), a, 0, 4); summation(n, (n, 1, 10))
dsolve(f(a).diff(a) - f(a), f(a)); Matrix([[1, 2], [3, 4]]).eigenvals(); sqrt(2).evalf()
nsimplify(0.5); factorint(360); binomial(5, 2); str(sqrt(a) + 1/a); latex(a/b)
lambdify(a, a**2)(3); Poly(a**2 + 1, a).nroots(); trigsimp(sin(a)**2 + cos(a)**2)
"""
_WALL = 10  # times the limit by the clock, where it is not known how long a program waited
_BLOCKED = 2  # times the limit that a program may sleep
_TICK = 0.2  # seconds between two looks at a program that says nothing

# ---------------------------------------------------------------- messages


def send(stream: IO[bytes], message: dict[str, Any]) -> None:
    """Write one message: its length, then JSON."""
    body = json.dumps(message).encode()
    stream.write(struct.pack("<I", len(body)) + body)
    stream.flush()


def receive(stream: IO[bytes]) -> dict[str, Any] | None:
    """Read one message; None at the end of the stream."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    body = stream.read(struct.unpack("<I", head)[0])
    message: dict[str, Any] = json.loads(body)
    return message


class Ends:
    """The first and the last bytes of a stream of any length."""

    def __init__(self, size: int):
        self.size, self.total = size, 0
        self.first, self.last = bytearray(), bytearray()

    def add(self, piece: bytes) -> None:
        """Take in what came next."""
        self.total += len(piece)
        room = self.size - len(self.first)
        self.first += piece[:room]
        self.last += piece[room:] if room > 0 else piece
        del self.last[: -self.size]

    def text(self, characters: int) -> str:
        """The whole, or its first and last `characters`/2 with "..." between them."""
        if len(self.first) + len(self.last) == self.total:
            whole = (self.first + self.last).decode("utf-8", "replace").strip()
            if len(whole) <= characters:
                return whole
            start, end = whole, whole
        else:
            start = self.first.decode("utf-8", "replace").lstrip()
            end = self.last.decode("utf-8", "replace").rstrip()
        half = characters // 2
        return start[:half] + "..." + end[-half:]

    def last_line(self) -> str:
        """The last line with something in it, cut at 300 characters."""
        whole = bytes(self.first + self.last).decode("utf-8", "replace")
        lines = [line for line in whole.splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else ""


# ---------------------------------------------------------------- the server


def serve(own_folder: str) -> None:
    """Confine this process as a server, and run what is asked until the asking stream ends.

    `own_folder`: where this code lies, for no program to see.
    """
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)
    os.close(null)
    sys.path[:] = [path for path in sys.path if path and os.path.abspath(path) != own_folder]
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    readable = confinement.readable_paths(own_folder)
    namespaces = confinement.enter_namespaces()
    if namespaces and (first := os.fork()):
        requests.close()
        replies.close()
        os.waitpid(first, 0)  # all end with the first process
        os._exit(0)
    processes = -1
    if namespaces:
        confinement.end_with_parent()
        root = confinement.own_root(readable)
        namespaces, processes = root is not None, -1 if root is None else root
    else:
        with contextlib.suppress(OSError):
            processes = os.open("/proc", os.O_RDONLY)
    confinement.forget_bounds()
    for name in [name for name in sys.modules if name.split(".")[0] == "jz3"]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()
    _Server(requests, replies, readable, namespaces, processes).loop()
    os._exit(0)


class _Server:
    def __init__(
        self, requests: IO[bytes], replies: IO[bytes], readable: Sequence[str], namespaces: bool,
        processes: int,
    ) -> None:  # fmt: skip
        self.requests, self.replies, self.processes = requests, replies, processes
        self.readable, self.namespaces = readable, namespaces
        self.folder = confinement.WORK if namespaces else ""
        self.loaded: set[str] = set()
        self.rules = self._rules()

    def _rules(self) -> int:
        return confinement.landlock_rules(self.readable, self.folder)

    def _load(self, name: str) -> None:
        self.loaded.add(name)
        os.chdir(self.folder or "/")
        with contextlib.suppress(Exception):
            importlib.import_module(name)
            if name == "sympy":
                exec(_WARM_SYMPY, {})
        self._sweep()
        gc.collect()
        gc.freeze()

    def loop(self) -> None:
        """Answer requests until there is none."""
        while (request := receive(self.requests)) is not None:
            answer = self.run(request)
            if answer is None:
                return
            send(self.replies, answer)

    def run(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Run one program; None if whoever asked went away meanwhile."""
        source = base64.b64decode(request["source"])
        for name in _PRELOADED_IF_NAMED:
            if name not in self.loaded and name.split(".")[0].encode() in source:
                self._load(name)
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        started = time.monotonic()
        child = os.fork()
        if not child:
            _program(self, request, out_end, err_end)
        os.close(out_end)
        os.close(err_end)
        keep = request["output_characters"]
        ends = {out: Ends(4 * keep), err: Ends(2000)}
        try:
            verdict, status, cpu = self._watch(child, ends, request["seconds"], started)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(-1 if self.namespaces else child, signal.SIGKILL)
            self._sweep()
            os.close(out)
            os.close(err)
        if verdict == "gone":
            return None
        code = os.waitstatus_to_exitcode(status)
        return {
            "code": code,
            "cut": verdict == "cut",
            "cpu": cpu,
            "output": ends[out].text(keep),
            "error": ends[err].last_line(),
        }

    def _watch(
        self, child: int, ends: dict[int, Ends], seconds: float, started: float
    ) -> tuple[str, int, float]:
        """(done | cut | gone, exit status, processor seconds), reading what is printed."""
        poll = select.poll()
        for descriptor in ends:
            poll.register(descriptor, select.POLLIN)
        asking = self.requests.fileno()
        poll.register(asking, 0)  # only its end is of interest
        left, verdict, pause = len(ends), "done", 0.0005
        while True:
            if left:
                for descriptor, _ in poll.poll(_TICK * 1000):
                    if descriptor == asking:
                        return "gone", 0, 0.0
                    if piece := os.read(descriptor, 65536):
                        ends[descriptor].add(piece)
                    else:
                        poll.unregister(descriptor)
                        left -= 1
            if not left:  # about to end, or it closed its streams
                ended, status, usage = os.wait4(child, os.WNOHANG)
                if ended:
                    return verdict, status, usage.ru_utime + usage.ru_stime
                if any(descriptor == asking for descriptor, _ in poll.poll(pause * 1000)):
                    return "gone", 0, 0.0
                time.sleep(pause)
                pause = min(2 * pause, _TICK)
            wall = time.monotonic() - started
            if verdict == "done" and _over(self.processes, child, wall, seconds):
                verdict = "cut"
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signal.SIGKILL)

    def _sweep(self) -> None:
        """Wait until nothing of a program is left, and give the next one a new folder."""
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        if self.namespaces and os.listdir(self.folder):
            confinement.renew_folder()
            if self.rules >= 0:
                os.close(self.rules)
            self.rules = self._rules()


def _over(processes: int, process: int, wall: float, seconds: float) -> bool:
    """Whether a program slept for too long: time that it ran or waited for a processor is none.

    `processes`: a descriptor of /proc. Where the kernel does not tell, a multiple of the limit by
    the clock.
    """
    if wall < _BLOCKED * seconds:
        return False
    active = 0.0
    try:
        tasks = os.open(f"{process}/task", os.O_RDONLY, dir_fd=processes)
        try:
            for task in os.listdir(tasks):
                with open(os.open(f"{task}/schedstat", os.O_RDONLY, dir_fd=tasks)) as stream:
                    ran, queued, _ = stream.read().split()
                    active = max(active, (int(ran) + int(queued)) / 1e9)
        finally:
            os.close(tasks)
    except (OSError, ValueError):
        return wall > _WALL * seconds
    return wall - active > _BLOCKED * seconds


# ---------------------------------------------------------------- the program's process


def _program(server: _Server, request: dict[str, Any], out: int, err: int) -> None:
    """Become the program of a request. Never returns."""
    code = 1
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        rules = server.rules
        os.closerange(3, rules)
        os.closerange(max(rules, 2) + 1, 256)
        with contextlib.suppress(OSError):
            os.setsid()
        os.chdir(server.folder or "/")
        interpreter.limit(request["seconds"], request["memory_mb"])
        held = confinement.confine(rules, server.namespaces)
        wanted = request["held"]  # None while it is being found out
        if wanted is not None and list(held) != wanted:
            os._exit(NOT_CONFINED)
        if wanted is None:
            os.write(2, json.dumps(held).encode() + b"\n")
        source = base64.b64decode(request["source"]).decode("utf-8", "replace")
        code = interpreter.run(source, request["seed"], request["later"])
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(code)
