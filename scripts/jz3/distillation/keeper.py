"""Keep a server, and whatever it starts, no longer than the program that asked for it.

python keeper.py OWNER COMMAND...

Runs COMMAND and ends with its status. On SIGTERM, and where the process OWNER is gone (the kernel
says so by SIGTERM, even after kill -9), everything that came of COMMAND is ended: asked first,
killed after some seconds. What a server starts may outlive it, in a process group of its own and
with a GPU's memory (vLLM's engine and workers do): orphans become children of this process, which
ends when there are none. Standard library only; Linux only.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 8.0  # seconds for a server to end by itself
_ORPHANS = 1.0  # and for what it leaves behind
_LONGEST = 60.0
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG in <linux/prctl.h>
_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_WAKING = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


def die_with(owner: int, number: int) -> None:
    """Ask the kernel to send this process a signal when its parent, `owner`, ends."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, number)
    if os.getppid() != owner:  # ended in between
        os._exit(1)


def descendants() -> Iterator[int]:
    """Processes below this one."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = children.get(os.getpid(), [])
    for process in found:  # grows meanwhile
        found += children.get(process, [])
    yield from found


def reap() -> dict[int, int]:
    """Statuses of children that ended. Raises ChildProcessError where there are no children."""
    ended: dict[int, int] = {}
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            if not ended:
                raise
            return ended
        if not process:
            return ended
        ended[process] = os.waitstatus_to_exitcode(status)


def end_all(server: int | None) -> None:
    """End every descendant; return when there are none.

    server: to be waited for; what it leaves behind is killed a second after it.
    """
    number, asked = signal.SIGTERM, time.monotonic()
    until = asked + (PATIENCE if server else _ORPHANS)
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < asked + _LONGEST:  # else they are in the kernel's hands
            for process in descendants():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, number)
            while time.monotonic() < until:
                if server in reap():
                    until = min(until, time.monotonic() + _ORPHANS)
                time.sleep(0.02)
            # again and again: what dies may have started more
            number, until = signal.SIGKILL, time.monotonic() + 0.1


def main() -> int:
    """Run the command; the status to end with."""
    owner, command = int(sys.argv[1]), sys.argv[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAKING)
    die_with(owner, signal.SIGTERM)
    ctypes.CDLL(None).prctl(_CHILD_SUBREAPER, 1)
    ours = os.getpid()

    def begin() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAKING)
        die_with(ours, signal.SIGKILL)

    # Leases of GPUs go on to the server: a GPU is free when nobody computes on it.
    server = subprocess.Popen(command, preexec_fn=begin, close_fds=False)
    while True:
        number = signal.sigwait(_WAKING)
        if number != signal.SIGCHLD:
            end_all(server.pid)
            return 128 + number
        with contextlib.suppress(ChildProcessError):
            if (ended := reap()) and server.pid in ended:
                end_all(None)
                status = ended[server.pid]
                return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
