"""What every command-line program shares: logging, progress, and errors in one line.

A program is `run(main, parser)`. Inputs and outputs are named options; the stage's part of the
configuration comes as JSON in `--recipe`; `--code` is the digest of the code (for provenance).
What a program says are plain lines on a terminal; in a log each has time, level and program.
"""

import argparse
import contextlib
import errno
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from .io import TryAgain, UserError, file_digest, provenance, resume_directory
from .processes import MEND_SUFFIX

# How a program ends. Snakemake repeats jobs that ask for it, or that were taken away, but none that
# waits for its user (rules/common.smk): the note beside the log says so.
MEND, DEFECT, TRY_AGAIN, INTERRUPTED = 1, 3, 75, 130
# What the user has to mend, and what a file system or a network may be over with soon.
_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_PASSING = {
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENFILE, errno.ENOMEM),
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPIPE),
}

_terminal: TextIO | None = None  # the user's, once standard error has become the log file


class _StandardError(logging.Handler):
    """Lines onto whatever is standard error at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        sys.stderr.write(self.format(record) + "\n")
        sys.stderr.flush()


_lines = _StandardError()
_logger = logging.getLogger("jz3")
_logger.setLevel(logging.INFO)
_logger.propagate = False
_logger.addHandler(_lines)


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


def work_key(
    *, recipe: object, inputs: Iterable[str | Path], code: str, seed: int
) -> dict[str, object]:
    """What unfinished work belongs to (see `io.resume_directory`): all that it depends on.

    recipe: every setting, those of the command line too; inputs: the files and folders read.
    """
    return {
        "recipe": recipe,
        "inputs": [file_digest(path) for path in inputs],
        "code": code,
        "seed": seed,
        "packages": provenance("")["packages"],
    }


@contextlib.contextmanager
def unfinished(
    state: Path | None, *, recipe: object, inputs: Iterable[str | Path], code: str, seed: int
) -> Iterator[Path]:
    """A folder for unfinished work of one `work_key`, removed once the block succeeds.

    Without `state` it is a temporary one.
    """
    if state is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
    else:
        key = work_key(recipe=recipe, inputs=inputs, code=code, seed=seed)
        folder = resume_directory(state, key)
        yield folder
        shutil.rmtree(folder)


def share_cores() -> None:
    """Let threads that wait for each other give their core up soon: before torch is imported.

    OpenMP's usual wait spins for milliseconds. Beside other work that is most of the time there
    is: a training on two cores with four busy neighbours fell to a tenth of its speed, where a
    third is fair (docs/performance.md). It holds for what the program starts as well.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def say(text: str) -> None:
    """One line into the log."""
    _logger.info(text)


def warn(text: str) -> None:
    """One line into the log about what is odd, though the program goes on."""
    _logger.warning(text)


def _log_to(path: Path, name: str) -> None:
    """Send everything that the process prints to a file, lines of loggers with their time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    form = f"%(asctime)s %(levelname)s {name}: %(message)s"
    _lines.setFormatter(logging.Formatter(form, "%Y-%m-%d %H:%M:%S"))
    logging.getLogger().addHandler(_lines)  # other people's warnings too


def origin(
    file: str, options: argparse.Namespace, inputs: Iterable[str | Path], *, seeded: bool = True
) -> dict[str, Any]:
    """What made a product (see `io.provenance`): the program in `file`, by the name of its rule."""
    seed = options.seed if seeded else None
    dtype = options.recipe.get("dtype")
    return provenance(Path(file).stem, options.code, inputs, seed, dtype)


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
    Exit status: 0 done; 1 something to mend, in the configuration, the data or the account; 3 a
    defect of ours (traceback in the log); 75 try again, as memory or a server was short; 130
    interrupted. With `--log`, everything that the process prints goes to that file, and after a 1
    the same line stands in `<log>.mend`.
    """
    global _terminal
    share_cores()
    options = arguments.parse_args()
    outside = os.dup(2)
    if os.isatty(outside):
        _terminal = os.fdopen(os.dup(outside), "w", buffering=1)
    name = Path(sys.argv[0]).stem
    if options.log:
        if (rank := os.environ.get("RANK", "0")) != "0":  # torchrun: one log per process
            options.log = options.log.with_suffix(f".rank{rank}.log")
        _log_to(options.log, name)
        mend = options.log.with_name(options.log.name + MEND_SUFFIX)
        mend.unlink(missing_ok=True)
    # The time limit's warning and Ctrl-C are one thing: stop, and leave what is finished.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    try:
        options.recipe = joined(options.recipe, options.conduct)
        if check:
            check(options.recipe)
        main(options)
        took = f"done in {time.monotonic() - started:.1f} s"
        say(took if options.log else f"{name}: {took}")
        return
    except (Exception, KeyboardInterrupt) as error:
        text, status = _ending(error)
    os.write(outside, f"{name}: {text}\n".encode(errors="backslashreplace"))
    with contextlib.suppress(OSError):  # a log on a full disk
        if options.log:
            _logger.log(logging.WARNING if status == INTERRUPTED else logging.ERROR, text)
            if status == MEND:
                mend.write_text(text + "\n", errors="backslashreplace")
        sys.stdout.flush()
    os._exit(status)  # no waiting for threads of native libraries after an error


def _ending(error: BaseException) -> tuple[str, int]:
    """The line that a program ends with, and its exit status; prints a defect's traceback."""
    if isinstance(error, UserError):
        return str(error), TRY_AGAIN if isinstance(error, TryAgain) else MEND
    if isinstance(error, KeyboardInterrupt):
        return "interrupted. Finished work is kept; run again to go on.", INTERRUPTED
    if isinstance(error, MemoryError):
        return "out of memory. Ask for more, or make the batch smaller.", TRY_AGAIN
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which not every program imports
        first = str(error).split(". ")[0]
        return f"{first}. Make the batch smaller, or take more or larger GPUs.", MEND
    if isinstance(error, OSError):
        what = f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}."
        if error.errno in _FULL:
            return f"{what} Free some space and run again.", MEND
        if error.errno in _REFUSED:
            return f"{what} Give yourself the right to it and run again.", MEND
        if error.errno in _PASSING:
            return f"{what} Run again: it may be over.", TRY_AGAIN
    traceback.print_exc()
    return f"{type(error).__name__}: {error} (a defect; see the log)", DEFECT


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
