"""States of an unfinished training: two are kept, and none is trusted unseen.

`checkpoint-<step>` holds what the Trainer saves; once it is on the disk `complete` is written, with
the sizes and digests of its files. A folder without it was torn by a kill. One whose files are no
longer those was damaged, and the one before it is gone on from.
"""

import itertools
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .. import io
from ..program import warn

_COMPLETE = "complete"
KEPT = 2


def _contents(folder: Path) -> dict[str, list[Any]]:
    """[bytes, sha256] of each file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _COMPLETE)
    with ThreadPoolExecutor() as threads:  # hashing leaves Python's lock to others
        digests = list(threads.map(io.file_digest, files))
    return {
        path.relative_to(folder).as_posix(): [path.stat().st_size, found]
        for path, found in zip(files, digests, strict=True)
    }


def keep(folder: Path) -> None:
    """Mark a state just saved as whole, and remove all but the newest `KEPT`."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
    io.write_json(folder / _COMPLETE, _contents(folder))
    for old in _by_step(folder.parent)[KEPT:]:
        shutil.rmtree(old)


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _by_step(state: Path) -> list[Path]:
    """Newest first."""
    return sorted(state.glob("checkpoint-*"), key=_step, reverse=True)


def _damage(folder: Path) -> str:
    """What is wrong with a state that was whole once, or an empty text."""
    try:
        wanted = io.read_json(folder / _COMPLETE)
        found = {name: (folder / name).stat().st_size for name in wanted}
        for name, (size, _) in wanted.items():
            if found[name] != size:
                return f"{name} has {found[name]} bytes of {size}"
        contents = _contents(folder)
        altered = [name for name in wanted if contents[name] != wanted[name]]
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, io.UserError, ValueError, TypeError, AttributeError, KeyError):
        return "it cannot be read"
    return f"{altered[0]} was altered" if altered else ""


def last_whole(state: Path, recorded: int) -> Path | None:
    """The newest state that is as it was saved and whose updates all stand in the history.

    recorded: updates in the history. Folders that are of no use are removed. Raises UserError where
    there were states and none of them will do.
    """
    faults: list[str] = []
    for folder in _by_step(state):
        if not (folder / _COMPLETE).exists():
            shutil.rmtree(folder)
            continue
        fault = _damage(folder)
        if _step(folder) > recorded:
            fault = f"history.jsonl ends at step {recorded}"
        if not fault:
            for line in faults:
                warn(f"{line}. Going on from {folder.name}.")
            return folder
        faults.append(f"{folder}: {fault}")
    if faults:
        raise io.UserError(
            f"{'; '.join(faults)}. No state is left to go on from: delete {state} to begin anew."
        )
    return None


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of updates 1, 2, 3, ... up to the first that is missing or cannot be read."""
    lines: list[dict[str, Any]] = []
    if not path.exists():
        return lines
    for number, text in zip(itertools.count(1), path.read_bytes().splitlines()):
        try:
            line = json.loads(text)
        except ValueError:
            break
        if not isinstance(line, dict) or line.get("step") != number:
            break
        lines.append(line)
    return lines
