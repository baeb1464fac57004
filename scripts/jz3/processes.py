"""How processes end, and with whom. No import of ours: it must load in a moment."""

import ctypes
import os
import signal
import sys

# Of the note beside a job's log that nobody should start it again before its user mends something.
MEND_SUFFIX = ".mend"
_PR_SET_PDEATHSIG = 1


def signal_at_parents_death(number: signal.Signals) -> None:
    """Ask the kernel for a signal once this process's parent is dead, however it died.

    It stays through exec, and is not inherited. Elsewhere than on Linux nothing happens.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "prctl")


def die_with_parent() -> None:
    """End at once when the parent does: kill -9 of one process leaves none of those below it."""
    signal_at_parents_death(signal.SIGKILL)
