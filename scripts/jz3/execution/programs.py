"""Running programs that a model wrote, many at once.

Nothing a model wrote runs in our own process: each program has a process of its own in a `sandbox`,
with limits on processor time and memory, a folder of its own, no network and no other processes.
"""

import atexit
import base64
import contextlib
import dataclasses
import functools
import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .. import io
from ..program import Progress
from . import confinement, interpreter, sandbox

# What must hold of a sandbox, and what is open where it does not.
PROTECTIONS = {
    "system_calls": "programs may ask the kernel for anything (it takes seccomp)",
    "files": "programs can read every file that this user can, keys and passwords included"
    " (it takes Landlock, or name spaces for a root of its own)",
    "network": "programs can reach the network (it takes seccomp or name spaces)",
    "processes": "programs can start processes, or signal others (it takes seccomp)",
    "privileges": "programs keep the user id of root, or capabilities",
    "folder": "programs have no folder to write in, so that some that work elsewhere fail here"
    " (it takes name spaces)",
}
_OUTCOME = {sandbox.NOT_CONFINED: "the sandbox could not be set up"}
_LATER = 100 * 24 * 3600 + 12345.0  # seconds by which the clock of a second run is ahead


@dataclasses.dataclass(frozen=True)
class Execution:
    """What became of a program.

    `status`: ok | error | timeout | memory | no_output. `output` is what it printed (or, where
    nothing was printed, the value of its last expression), shortened in the middle; `error` is
    the last line of standard error, "" if all went well.
    """

    status: str
    output: str
    error: str


def run_programs(
    programs: Sequence[str], settings: dict[str, Any], again: bool = False
) -> list[Execution]:
    """Run Python sources, `settings["workers"]` at a time; results in the order given.

    `settings`: seconds of processor time, memory_mb of address space, output_characters kept,
    workers, accept_missing (names of `PROTECTIONS` that may be missing). `again`: with other seeds,
    another time of day and other hashes of texts, to tell what a program prints by chance. What
    slept for twice its limit is run once more alone. Raises UserError where programs are not
    confined here.
    """
    if not programs:
        return []
    require_protection(settings.get("accept_missing") or ())
    workers = max(1, min(settings["workers"], len(programs)))
    pool = _pool(again)
    results: list[Execution | None] = []
    with ThreadPoolExecutor(max_workers=workers) as threads:
        tasks = [threads.submit(pool.run, source, settings) for source in programs]
        try:
            with _progress(len(tasks)) as tick:
                for task in tasks:
                    results.append(task.result())
                    tick()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            pool.close()
            raise
    return [
        found or pool.run(source, settings) or Execution("timeout", "", "the time was up")
        for source, found in zip(programs, results, strict=True)
    ]


@contextlib.contextmanager
def _progress(count: int) -> Iterator[Any]:
    if count < 100:
        yield lambda: None
        return
    with Progress(count, "programs", "program") as bar:
        yield bar.update


# ---------------------------------------------------------------- what holds


# Prints the names of the protections that it gets past, as JSON.
_PROBE = """
import ctypes, errno, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
missing = set()
def door(name, attempt):
    try:
        attempt()
    except OSError:
        return
    missing.add(name)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)
door("network", lambda: socket.socket())
door("network", lambda: socket.socket(socket.AF_UNIX))
door("files", lambda: os.listdir("/var"))
door("files", lambda: open("/etc/passwd"))
door("files", lambda: open("/proc/1/environ"))
door("files", lambda: open("/proc/1/cmdline"))
door("processes", lambda: os.kill(os.getppid(), 0))
door("processes", lambda: call("fcntl", 0, 8, os.getpid()))
def fork():
    if os.fork() == 0:
        os._exit(0)
door("processes", fork)
door("system_calls", lambda: call("prctl", 1, 9, 0, 0, 0))
door("system_calls", lambda: call("ioctl", 0, 0x5452, ctypes.byref(ctypes.c_int(0))))
door("system_calls", lambda: call("getpriority", 0, 0))
if libc.prctl(21, 0, 0, 0, 0) != 2:
    missing.add("system_calls")
if 0 in os.getresuid() or libc.prctl(39, 0, 0, 0, 0) != 1:
    missing.add("privileges")
door("privileges", lambda: call("sethostname", b"x", 1))
try:
    with open("file", "w") as stream:
        stream.write("x" * 100)
    os.remove("file")
except OSError:
    missing.add("folder")
print(json.dumps(sorted(missing)))
"""


@functools.cache
def _probed() -> tuple[list[Any], dict[str, Any]]:
    """What the kernel grants here, as it must for every program; and the probe's answer."""
    settings = {"seconds": 20, "memory_mb": 1024, "output_characters": 1000}
    with contextlib.closing(_Server("0")) as server:
        granted = server.ask("", settings, held=None)
        answer = server.ask(_PROBE, settings, held=None)
    try:
        return json.loads(granted["error"]), answer
    except ValueError:
        return [], answer


def missing_protections() -> dict[str, str]:
    """Name and meaning of each of `PROTECTIONS` that does not hold here; found by trying each.

    Raises UserError where not even the probe can be run.
    """
    answer = _probed()[1]
    try:
        return {name: PROTECTIONS[name] for name in json.loads(answer["output"])}
    except (ValueError, KeyError):
        raise io.UserError(
            "the sandbox for model-written programs cannot be probed:"
            f" {answer['error'] or answer['output'] or answer['code']}. As root, Python's own"
            " folders must be readable by other users."
        ) from None


def require_protection(accepted: Sequence[str] = ()) -> None:
    """Raise UserError unless programs are confined, or what is missing is accepted by name."""
    missing = missing_protections()
    if open_ := {name: text for name, text in missing.items() if name not in accepted}:
        holes = "; ".join(f"{name}: {text}" for name, text in open_.items())
        raise io.UserError(
            f"model-written programs would not be confined on this machine. {holes}. Run where that"
            " holds; or, on a machine that you can lose, write execution.accept_missing:"
            f" [{', '.join(open_)}]."
        )


# ---------------------------------------------------------------- servers


class _Server:
    """One warm sandbox, started on the first use and again after it broke."""

    def __init__(self, hashes: str) -> None:
        self.hashes = hashes
        self.process: subprocess.Popen[bytes] | None = None

    def _start(self) -> subprocess.Popen[bytes]:
        entry, folder = sandbox.serve, str(Path(io.__file__).parents[1])
        program = (
            f"import sys; sys.path.insert(0, {folder!r});"
            f" from {entry.__module__} import {entry.__name__}; {entry.__name__}({folder!r})"
        )
        return subprocess.Popen(
            [sys.executable, "-P", "-s", "-B", "-c", program],
            cwd="/", env=_environment(self.hashes), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def ask(
        self, source: str, settings: dict[str, Any], held: Sequence[Any] | None
    ) -> dict[str, Any]:
        """Run one program; the sandbox's answer. A sandbox that broke costs this program only."""
        request = {
            "source": base64.b64encode(source.encode("utf-8", "replace")).decode(),
            "held": held,
            "seed": int(self.hashes),
            "later": _LATER * int(self.hashes),
            **{name: settings[name] for name in ("seconds", "memory_mb", "output_characters")},
        }
        self.process = self.process or self._start()
        broken = {"code": 1, "cut": False, "output": "", "error": "the sandbox broke"}
        try:
            assert self.process.stdin
            assert self.process.stdout
            sandbox.send(self.process.stdin, request)
            answer = sandbox.receive(self.process.stdout)
        except (OSError, ValueError):
            answer = None
        if answer is None:
            self.close()
        return answer or broken

    def close(self) -> None:
        """End the sandbox and whatever runs in it."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]  # both are pipes
            process.wait()


class _Pool:
    """Servers that wait for programs; each is used by one thread at a time."""

    def __init__(self, hashes: str) -> None:
        self.hashes = hashes
        self.idle: queue.SimpleQueue[_Server] = queue.SimpleQueue()
        self.all: list[_Server] = []

    def run(self, source: str, settings: dict[str, Any]) -> Execution | None:
        """What became of a program; None if it was cut off by the clock."""
        if "\0" in source:
            return Execution("error", "", "SyntaxError: source code cannot contain null bytes")
        try:
            server = self.idle.get_nowait()
        except queue.Empty:
            server = _Server(self.hashes)
            self.all.append(server)
        try:
            answer = server.ask(source, settings, _probed()[0])
        finally:
            self.idle.put(server)
        return None if answer["cut"] else _judge(answer)

    def close(self) -> None:
        """End all."""
        for server in self.all:
            server.close()


@functools.cache
def _pool(again: bool) -> _Pool:
    pool = _Pool("1" if again else "0")
    atexit.register(pool.close)
    return pool


def _environment(hashes: str) -> dict[str, str]:
    """Nothing of ours: no keys, no paths. One thread, and sets that print in a fixed order."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    folder = confinement.WORK
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "PYTHONHASHSEED": hashes,
        "PYTHONUTF8": "1",
        **dict.fromkeys(threads, "1"),
    }


def _judge(answer: dict[str, Any]) -> Execution:
    code, output, error = answer["code"], answer["output"], answer["error"]
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return Execution("timeout", output, "the time was up")
    if code in _OUTCOME:
        return Execution("error", "", _OUTCOME[code])
    if code == interpreter.OUT_OF_MEMORY or "MemoryError" in error:
        return Execution("memory", output, "MemoryError")
    if code < 0:
        return Execution("error", output, error or f"ended by signal {-code}")
    if code > 0:
        return Execution("error", output, error or f"exit status {code}")
    return Execution("ok" if output else "no_output", output, "")
