"""What every command-line program shares: logging, progress, and errors in one line.

A program is `run(main, parser)`. Inputs and outputs are named options; the stage's part of the
configuration comes as JSON in `--recipe`; `--code` is the digest of the code (for provenance).
"""

import argparse
import contextlib
import errno
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from .io import UserError, provenance, resume_directory

Item = TypeVar("Item")

_terminal = None  # the user's terminal, once standard error has become the log file


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with the options common to all programs (description: the docstring)."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--log", type=Path, help="log file; a terminal still shows the progress bar")
    made.add_argument("--code", default="", help="digest of the code, kept as provenance")
    made.add_argument("--seed", type=int, default=0, help="seed of every random choice")
    made.add_argument("--recipe", type=json.loads, default={}, help="settings of this stage, JSON")
    made.add_argument("--conduct", type=json.loads, default={}, help="those that change no product")
    made.add_argument("--state", type=Path, help="directory for unfinished work, kept on failure")
    return made


@contextlib.contextmanager
def unfinished(state: Path | None, key: object) -> Iterator[Path]:
    """A folder for unfinished work (see `io.resume_directory`), removed once the block succeeds.

    Without `state` it is a temporary one.
    """
    if state is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
    else:
        folder = resume_directory(state, key)
        yield folder
        shutil.rmtree(folder)


def say(text: str) -> None:
    """One line into the log."""
    print(text, file=sys.stderr, flush=True)


def origin(
    file: str, options: argparse.Namespace, inputs: Iterable[str | Path], *, seeded: bool = True
) -> dict[str, Any]:
    """What made a product (see `io.provenance`): the program in `file`, by the name of its rule."""
    return provenance(Path(file).stem, options.code, inputs, options.seed if seeded else None)


def joined(recipe: dict[str, Any], conduct: dict[str, Any]) -> dict[str, Any]:
    """Both as one; parts within parts are joined alike."""
    parts = {
        key: joined(recipe[key], value)
        for key, value in conduct.items()
        if isinstance(value, dict) and isinstance(recipe.get(key), dict)
    }
    return recipe | conduct | parts


def run(
    main: Callable[[argparse.Namespace], None],
    arguments: argparse.ArgumentParser,
    check: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Parse the command line, call `main`, and turn a user's mistake into one readable line.

    check: raises UserError for a recipe (with what --conduct adds) that `main` cannot use.
    Exit status: 0 done, 1 a user's mistake, 3 a defect of ours (traceback in the log),
    130 interrupted. With `--log`, everything that the process prints goes to that file.
    """
    global _terminal
    options = arguments.parse_args()
    outside = os.dup(2)
    if os.isatty(outside):
        _terminal = os.fdopen(os.dup(outside), "w", buffering=1)
    if options.log:
        if (rank := os.environ.get("RANK", "0")) != "0":  # torchrun: one log per process
            options.log = options.log.with_suffix(f".rank{rank}.log")
        options.log.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
    name = Path(sys.argv[0]).stem
    # The time limit's warning and Ctrl-C are one thing: stop, and leave what is finished.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    try:
        options.recipe = joined(options.recipe, options.conduct)
        if check:
            check(options.recipe)
        main(options)
        say(f"{name}: done in {time.monotonic() - started:.1f} s")
        return
    except UserError as error:
        text, status = f"{name}: {error}", 1
    except KeyboardInterrupt:
        text, status = f"{name}: interrupted. Finished work is kept; run again to go on.", 130
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            traceback.print_exc()
        place = f" ({error.filename})" if error.filename else ""
        advice = " Free some space and run again." if error.errno == errno.ENOSPC else ""
        text, status = f"{name}: {error.strerror or error}{place}.{advice}", 1
    except MemoryError:
        text, status = f"{name}: out of memory. Ask for more, or make the batch smaller.", 1
    except Exception as error:
        traceback.print_exc()
        text, status = f"{name}: {type(error).__name__}: {error} (a defect; see the log)", 3
    say(text)
    if options.log:  # without a log the line has just been printed there
        os.write(outside, (text + "\n").encode())
    sys.stdout.flush()
    os._exit(status)  # no waiting for threads of native libraries after an error


class Progress:
    """A bar with rate and time left on a terminal; plain lines, one in ten seconds, in the log."""

    def __init__(self, total: int, what: str, unit: str = "item", done: int = 0):
        self.total, self.what, self.unit = total, what, unit
        self.done = self.first = done
        self.start = self.spoken = time.monotonic()
        self.bar = (
            tqdm(total=total, initial=done, desc=what, unit=unit, file=_terminal, leave=False)
            if _terminal
            else None
        )

    def update(self, count: int = 1) -> None:
        """Count `count` further units as done."""
        self.done += count
        if self.bar:
            self.bar.update(count)
        now = time.monotonic()
        if now - self.spoken >= 10:
            self.spoken = now
            rate = (self.done - self.first) / (now - self.start)
            left = (self.total - self.done) / rate if rate else float("inf")
            share = f"{self.done}/{self.total} {self.unit}"
            say(f"{self.what}: {share}, {rate:.2f}/s, {left:.0f} s left")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.close()
        took = time.monotonic() - self.start
        say(f"{self.what}: {self.done}/{self.total} {self.unit} in {took:.1f} s")


def progress(items: Iterable[Item], what: str, unit: str = "item") -> Iterator[Item]:
    """Iterate with a `Progress`; `items` must have a length."""
    items = items if hasattr(items, "__len__") else list(items)
    with Progress(len(items), what, unit) as bar:
        for item in items:
            yield item
            bar.update()
