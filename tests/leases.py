"""Whether the GPUs that scripts/gpus.py leases are free."""

import fcntl
from pathlib import Path


def is_free(folder):
    """Whether nobody holds the lock of a device; `folder`: what TMPDIR was for the leases."""
    for lock in Path(folder).glob("jz3-gpus-*/*.lock"):
        with lock.open() as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True
