"""Run a model server of our own for the length of a `with` block."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from ..io import UserError
from ..program import say
from . import keeper

_REPOSITORY = Path(__file__).resolve().parents[3]
_LEASE = re.compile(r"/jz3-gpus[^/]*/[^/]+\.lock$")  # as scripts/gpus.py names its locks
_STARTS = 3  # another process may take the free port before the server does


def server_command(template: str, model: str, port: int, threads: int) -> list[str]:
    """The words of a server's command; {model}, {port} and {threads} are filled in.

    `python` as the first word is this interpreter; a script that is not in the working directory
    is taken from the repository. Raises UserError for an empty command or an unknown slot.
    """
    values = {"model": model, "port": port, "threads": threads}
    try:
        words = [word.format(**values) for word in shlex.split(template)]
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"teacher.serve.command: {error} in {template!r}; the slots are {{model}}, {{port}} and"
            " {threads}."
        ) from None
    if not words:
        raise UserError("teacher.serve.command is empty; give one, or set teacher.base_url.")
    if words[0] in ("python", "python3"):
        words[0] = sys.executable
        if len(words) > 1 and not Path(words[1]).exists() and (_REPOSITORY / words[1]).is_file():
            words[1] = str(_REPOSITORY / words[1])
    return words


@contextlib.contextmanager
def local_server(
    template: str, model: str, threads: int, ready_seconds: float, log: Path
) -> Iterator[str]:
    """Start a server on a free loopback port; yield its base URL (".../v1") once it answers.

    Its output goes to `log`. It has a process group of its own, which is stopped when the block
    ends in whatever way; on Linux a keeper (keeper.py) stops it also where this process is killed
    outright, with all that it started, and holds the GPUs' lease as long. Raises UserError, with
    the end of the log, where the server stops or is not ready within `ready_seconds`.
    """
    for start in range(_STARTS):
        port = _free_port()
        command = server_command(template, model, port, threads)
        process = _start(command, log)
        try:
            if _wait_until_ready(process, port, ready_seconds, log, last=start + 1 == _STARTS):
                yield f"http://127.0.0.1:{port}/v1"
                return
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    if shutil.which(command[0]) is None:
        raise UserError(
            f"teacher.serve.command: {command[0]} does not start (there is no such program);"
            " install it or change the command."
        )
    if sys.platform == "linux":
        # -S -E: it starts in milliseconds, and needs nothing that is installed
        keeping = [sys.executable, "-S", "-E", keeper.__file__, str(os.getpid())]
        command = [*keeping, *command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=_leases(),
        )


def _leases() -> list[int]:
    """Descriptors of the locks that hold this job's GPUs."""
    held = []
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if _LEASE.search(os.readlink(f"/proc/self/fd/{name}")):
                    held.append(int(name))
    return held


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, seconds: float, log: Path, last: bool
) -> bool:
    """Poll until the server answers. False: it lost its port to someone else, try another."""
    started = time.monotonic()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
    while time.monotonic() - started < seconds:
        if process.poll() is not None:
            text = log.read_text(encoding="utf-8", errors="replace")
            if "in use" in text.lower() and not last:
                return False
            raise UserError(
                f"the model's server stopped with status {process.returncode} before it was"
                f" ready: {_end(text)} (all of it: {log})"
            )
        for path in ("/health", "/v1/models"):
            try:
                with opener.open(f"http://127.0.0.1:{port}{path}", timeout=2):
                    say(f"model's server ready after {time.monotonic() - started:.1f} s")
                    return True
            except (urllib.error.URLError, OSError, ValueError):
                continue
        time.sleep(0.1)
    text = log.read_text(encoding="utf-8", errors="replace")
    raise UserError(
        f"the model's server was not ready within {seconds:g} s: {_end(text)}"
        f" (all of it: {log}). Raise teacher.serve.ready_seconds if it only needs longer."
    )


def _end(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-600:] or "it printed nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    # The keeper is patient itself; only where it does not come back is it killed.
    for number, patience in ((signal.SIGTERM, keeper.PATIENCE + 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGTERM and sys.platform == "linux":
                process.terminate()  # the keeper, which asks the server once
            else:
                os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            if number == signal.SIGTERM:
                continue  # what the server started may outlive it: the group is killed as well
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)
