"""Which jobs that share a journal still live: each holds a lock on a file of its own.

The kernel gives the lock up with the process, however that ends; no clock decides.
"""

import fcntl
import os
import secrets
from pathlib import Path


def _folder(journal: Path) -> Path:
    return journal.with_name(journal.name + ".jobs")


class Owner:
    """A job that asks, under a `name` of its own, until it is closed or the process ends."""

    def __init__(self, journal: Path):
        self.name = secrets.token_hex(8)
        folder = _folder(journal)
        folder.mkdir(exist_ok=True)
        self._path = folder / self.name
        self._file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o666)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        """Give all claims up."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)


def lives(journal: Path, owner: str) -> bool:
    """Whether the job of that name still holds its lock."""
    file = _folder(journal) / owner
    try:
        handle = os.open(file, os.O_RDWR)
    except PermissionError:  # another user's: only its owner can tell
        return True
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        file.unlink(missing_ok=True)  # left by a kill
        return False
    finally:
        os.close(handle)
