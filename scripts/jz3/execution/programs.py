"""Running programs that a model wrote, and putting what they print into tool solutions.

Each program runs in a process of its own (`sandbox`), in an empty folder, with limits on time
and memory, no network, no further processes and nothing to write to. Nothing a model wrote runs
in our own process. The release's output blocks were written by the model and agree with real
execution in 39% of rows; here they are what was really printed.
"""

import contextlib
import dataclasses
import functools
import math
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

from .. import io
from ..program import Progress
from ..prompts import program_of
from . import sandbox

_ALLOW = "JZ3_ALLOW_UNISOLATED"
_LONGEST_ANSWER = 40  # characters of a printed value that can stand as an answer
_WALL = 3  # wall-clock limit in multiples of the limit on processor time


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


def run_programs(programs: Sequence[str], settings: dict[str, Any]) -> list[Execution]:
    """Run Python sources, `settings["workers"]` at a time; results in the order given.

    `settings`: seconds of processor time (thrice that on the clock), memory_mb of address space,
    output_characters kept, workers. Raises UserError where programs cannot be isolated here.
    """
    if not programs:
        return []
    require_isolation()
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=max(1, settings["workers"])) as pool:
        tasks = [pool.submit(_run, source, settings, isolation(), stop) for source in programs]
        try:
            if len(programs) < 100:
                return [task.result() for task in tasks]
            results = []
            with Progress(len(tasks), "programs", "program") as bar:
                for task in tasks:
                    results.append(task.result())
                    bar.update()
            return results
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


@functools.cache
def isolation() -> str:
    """What confines a program on this machine: "seccomp", or "none"; found by trying."""
    settings = {"seconds": 20, "memory_mb": 1024, "output_characters": 100}
    probe = _run(_PROBE, settings, "seccomp", threading.Event())
    return "seccomp" if probe.status == "ok" and probe.output == "confined" else "none"


# Prints "confined" only if no door is open.
_PROBE = """
import os, socket
open_doors = []
def door(name, attempt):
    try:
        attempt()
    except OSError:
        return
    open_doors.append(name)
door("network", lambda: socket.socket())
door("file", lambda: open("file", "w"))
door("folder", lambda: os.mkdir("folder"))
door("signal", lambda: os.kill(os.getppid(), 0))
def fork():
    if os.fork() == 0:
        os._exit(0)
door("process", fork)
print(" ".join(open_doors) or "confined")
"""


def require_isolation() -> None:
    """Raise UserError unless programs are confined, or the user has accepted the risk."""
    if isolation() == "none" and os.environ.get(_ALLOW) != "1":
        raise io.UserError(
            "model-written programs cannot be confined on this machine (it takes Linux with"
            " seccomp on x86_64 or aarch64). Run where that is, or in a container or virtual"
            f" machine you can lose, and set {_ALLOW}=1 there."
        )


# ---------------------------------------------------------------- one program


def _run(source: str, settings: dict[str, Any], isolated: str, stop: threading.Event) -> Execution:
    if "\0" in source:
        return Execution("error", "", "SyntaxError: source code cannot contain null bytes")
    keep = settings["output_characters"]
    with tempfile.TemporaryDirectory(prefix="jz3-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, "program.py")
        path.write_text(source, encoding="utf-8", errors="replace")
        command = [
            sys.executable, "-P", "-s", "-B", sandbox.__file__, str(path),
            str(settings["seconds"]), str(settings["memory_mb"]),
            "confined" if isolated == "seccomp" else "open",
        ]  # fmt: skip
        printed, complained = _Ends(4 * keep), _Ends(2000)
        with subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                in_time = _listen(process, printed, complained, _WALL * settings["seconds"], stop)
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
    return _judge(process.returncode, in_time, printed.text(keep), complained.last_line())


def _environment(folder: str) -> dict[str, str]:
    """Nothing of ours: no keys, no paths. One thread, and sets that print in a fixed order."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        **dict.fromkeys(threads, "1"),
    }


def _listen(
    process: subprocess.Popen[bytes], printed: "_Ends", complained: "_Ends", limit: float,
    stop: threading.Event,
) -> bool:  # fmt: skip
    """Read both streams until the program ends; False if the time was up first."""
    deadline = time.monotonic() + limit
    with selectors.DefaultSelector() as selector:
        for stream, ends in ((process.stdout, printed), (process.stderr, complained)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, ends)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0 or stop.is_set():
                return False
            for key, _ in selector.select(min(left, 0.5)):
                piece = os.read(key.fd, 65536)
                if piece:
                    key.data.add(piece)
                else:
                    selector.unregister(key.fileobj)
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _judge(returncode: int, in_time: bool, output: str, error: str) -> Execution:
    if not in_time or returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return Execution("timeout", output, "the time was up")
    if returncode == sandbox.NOT_CONFINED:
        return Execution("error", "", "the sandbox could not be set up")
    if returncode == sandbox.OUT_OF_MEMORY or "MemoryError" in error:
        return Execution("memory", output, "MemoryError")
    if returncode < 0:
        return Execution("error", output, error or f"ended by signal {-returncode}")
    if returncode > 0:
        return Execution("error", output, error or f"exit status {returncode}")
    return Execution("ok" if output else "no_output", output, "")


class _Ends:
    """The first and the last bytes of a stream of any length."""

    def __init__(self, size: int):
        self.size, self.total = size, 0
        self.first, self.last = bytearray(), bytearray()

    def add(self, piece: bytes) -> None:
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
        whole = bytes(self.first + self.last).decode("utf-8", "replace")
        lines = [line for line in whole.splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else ""


# ---------------------------------------------------------------- tool solutions


def execute_rows(rows: list[dict[str, Any]], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the program of every tool solution still kept (PROBLEMS rows; others pass unchanged).

    The solution becomes program, "```output" block with what was printed, and closing sentence.
    A row whose program fails or prints nothing becomes "not_executed". `answer_agrees` says
    whether the stated answer is what was printed (the filter of that name rejects the others);
    where it is not, the printed value takes its place, since the statement was written before
    the program ran. With several lines printed there is no such value: "disagrees".
    """
    indices = [i for i, row in enumerate(rows) if row["mode"] == "tool" and row["status"] == "kept"]
    programs = [program_of(rows[i]["solution"]) for i in indices]
    done = [dict(row) for row in rows]
    for i, program, execution in zip(
        indices, programs, run_programs(programs, settings), strict=True
    ):
        row = done[i]
        row["executed"] = bool(program) and execution.status == "ok"
        if not row["executed"]:
            row["status"] = "not_executed"
            continue
        row["solution"] = with_output(row["solution"], program, execution.output)
        row["answer_agrees"] = agrees(execution.output, row["answer"])
        if not row["answer_agrees"]:
            printed = execution.output.strip()
            if "\n" in printed or len(printed) > _LONGEST_ANSWER:
                row["status"] = "disagrees"
                continue
            head = row["solution"].rpartition("```")[0]
            row["answer"] = printed
            row["solution"] = f"{head}```\n\nThe answer is \\boxed{{{printed}}}."
    return done


def with_output(solution: str, program: str, output: str) -> str:
    """Put `output` behind the program of a tool solution."""
    closing = solution.rsplit("```", 1)[-1].strip()
    # A fence in the output would end the block early.
    output = output.replace("```", "'''")
    text = f"```python\n{program}\n```\n```output\n{output}\n```"
    return f"{text}\n\n{closing}" if closing else text


_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?:\s*/\s*[-+]?\d+)?")


def agrees(output: str, answer: str) -> bool:
    """Whether a boxed answer is what the program printed.

    True where the last line printed equals the answer as text (spaces, dollar signs and LaTeX
    spacing aside), or where answer and last number printed are numbers equal within 1e-4.
    """
    lines = [line for line in output.splitlines() if line.strip()]
    if not lines or not answer.strip():
        return False
    last = lines[-1]
    if _plain(last) == _plain(answer) or _plain(last.split("=")[-1]) == _plain(answer):
        return True
    stated = _number(_plain(answer))
    if stated is None:
        return False
    numbers = _NUMBER.findall(last)
    printed = _number(_plain(last)) if not numbers else _number(re.sub(r"\s", "", numbers[-1]))
    return printed is not None and math.isclose(printed, stated, rel_tol=1e-4, abs_tol=1e-9)


def _plain(text: str) -> str:
    text = re.sub(r"\\(?:text|mathrm|mbox)\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\[dt]?frac\{([^{}]+)\}\{([^{}]+)\}", r"\1/\2", text)
    text = re.sub(r"\\(?:left|right|,|;|!|:| )|\\?\$|[\s{}]", "", text.strip())
    return text.rstrip(".").lower().replace("**", "^")


def _number(text: str) -> float | None:
    """The number that `text` begins with, units and percent signs aside; None if it has none."""
    match = re.fullmatch(rf"({_NUMBER.pattern})\\?%?(?:[^\W\d_]+)?(?:\^\\?[a-z]+)?", text)
    if not match:
        return None
    digits = match[1].replace(",", "")
    try:
        return float(Fraction(digits)) if "/" in digits else float(digits)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
