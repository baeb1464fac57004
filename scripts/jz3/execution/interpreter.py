"""The program's own process: its limits, and what an interpreter does from start to end."""

import ast
import collections
import contextlib
import datetime
import io
import linecache
import math
import os
import resource
import sys
import time
import types

OUT_OF_MEMORY = 97  # exit status
_FILE_BYTES = 2**24


def limit(seconds: float, memory_mb: int) -> None:
    """Limit this process's processor time, address space, files and their size."""
    whole = math.ceil(seconds)
    limits = {
        resource.RLIMIT_CPU: (whole, whole + 1),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_FSIZE: (_FILE_BYTES, _FILE_BYTES),
        resource.RLIMIT_NOFILE: (64, 64),
    }
    if sys.platform != "darwin":  # macOS refuses a limit on address space
        limits[resource.RLIMIT_AS] = (memory_mb * 2**20,) * 2
    for name, (soft, hard) in limits.items():
        ceiling = resource.getrlimit(name)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(name, (soft, hard))


class _Printed(io.TextIOWrapper):
    """Standard output that knows whether anything was printed."""

    anything = False

    def write(self, text: str) -> int:
        if text.strip():
            self.anything = True
        return super().write(text)


def _shift_clock(later: float) -> None:
    """Let the time of day be `later` seconds from now on."""
    for name, unit in (("time", 1), ("time_ns", 1_000_000_000)):
        real = getattr(time, name)
        by = type(real())(later * unit)
        setattr(time, name, lambda real=real, by=by: real() + by)
    moved, day, now = datetime.timedelta(seconds=later), datetime.date, datetime.datetime
    # Named as the types they stand for, since a repr shows it.
    datetime.datetime = type(  # type: ignore[misc, assignment]
        "datetime.datetime", (now,),
        {
            "now": classmethod(lambda cls, tz=None: cls.fromtimestamp(time.time(), tz)),
            "today": classmethod(lambda cls: cls.fromtimestamp(time.time())),
            "utcnow": classmethod(
                lambda cls: cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)
            ),
        },
    )  # fmt: skip
    datetime.date = type(  # type: ignore[misc, assignment]
        "datetime.date", (day,),
        {"today": classmethod(lambda cls: cls.fromordinal((now.now() + moved).toordinal()))},
    )  # fmt: skip


def _seed(source: str, seed: int) -> None:
    if "random" in source:
        import random

        random.seed(seed)
        if (numpy := sys.modules.get("numpy")) is not None:
            numpy.random.seed(seed)


def run(source: str, seed: int, later: float) -> int:
    """Execute `source` as `__main__`; the exit status.

    Where it prints nothing and ends in an expression, the value is shown as a notebook does.
    Random numbers start from `seed`, and it is `later` seconds later than it is.
    """
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  # until the end
    output = _Printed(
        io.BufferedWriter(io.FileIO(1, "w", closefd=False)), encoding="utf-8", errors="replace"
    )
    errors = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)),
        encoding="utf-8", errors="backslashreplace", line_buffering=True,
    )  # fmt: skip
    sys.stdout = sys.__stdout__ = output  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = errors  # type: ignore[misc]
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = ["program.py"]
    lines = source.splitlines(keepends=True)
    linecache.cache["program.py"] = (len(source), None, lines, "program.py")
    try:
        _seed(source, seed)
        if "time" in source or "date" in source:
            _shift_clock(later)
        tree = ast.parse(source, "program.py")
        shown = None
        if tree.body and isinstance(last := tree.body[-1], ast.Expr):
            del tree.body[-1]
            shown = ast.Expression(last.value)
        exec(compile(tree, "program.py", "exec"), module.__dict__)
        if shown is not None:
            value = eval(compile(shown, "program.py", "eval"), module.__dict__)
            if value is not None and not output.anything:
                print(repr(value))
        code = 0
    except MemoryError:
        code = OUT_OF_MEMORY
    except SystemExit as end:
        code = 0 if end.code in (None, 0) else 1
        if code:
            os.write(2, f"SystemExit: {end.code}\n".encode("utf-8", "replace"))
    except BaseException as error:
        code = 1
        text = str(error).strip().splitlines()
        os.write(
            2, f"{type(error).__name__}: {text[0] if text else ''}\n".encode("utf-8", "replace")
        )
    _finish(output)
    return code


def _finish(output: io.TextIOWrapper) -> None:
    """What an interpreter does at its end: wait for threads, run what was registered, flush."""
    import atexit
    import threading

    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in collections.OrderedDict.fromkeys((sys.stdout, output)):
        with contextlib.suppress(BaseException):
            stream.flush()
