"""Symbolic comparison of answers in a process that can be killed.

math-verify and sympy may compute for ever, or fill memory, on a few characters (`9^9^9^9`), and
neither a thread nor an alarm stops a long operation inside the interpreter's big integers. So one
worker process is started at the first question, reused, and killed and replaced when it runs over.
"""

import atexit
import contextlib
import json
import math
import os
import re
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS = 1.5  # of processor time per comparison: does not depend on what else the machine does
# By the clock, and only against a process that hangs: how busy the machine is decides nothing.
_WALL_SECONDS = 900.0
_MEMORY = 2 << 30  # bytes of address space


def _strict(predicted: str, gold: str) -> bool:
    from math_verify import LatexExtractionConfig, parse, verify

    # Gold must be wrapped: bare LaTeX is not found in it. Only the LaTeX reader is used, since it
    # never evaluates text. No timeouts of its own: those are alarms, which the process limit is.
    config = [LatexExtractionConfig()]
    sides = [parse(f"${text}$", config, parsing_timeout=None) for text in (gold, predicted)]
    return bool(verify(*sides, timeout_seconds=None))


# Single letters, numbers, operators and brackets: what sympy may evaluate as Python without harm.
_HARMLESS = re.compile(r"(?:[^\W_](?![^\W\d_])|[\s+*/(){},.-])+")


def _parsed(text: str) -> Any:
    r"""`text` as the authors read it: the longest start that sympy's own LaTeX grammar accepts.

    Where that fails, a Python expression (the release evaluates any text, we do not), then
    latex2sympy; at last the text itself. Each reader is tried with `\\` as `\` first. Sets and
    intervals, which only newer versions of latex2sympy read, stay text.
    """
    from latex2sympy2_extended import latex2sympy
    from sympy import Expr, MatrixBase
    from sympy.core.relational import Relational
    from sympy.parsing.latex import _parse_latex_antlr as grammar
    from sympy.parsing.sympy_parser import parse_expr

    # sympy asks for the ANTLR runtime 4.11; its tables are those of 4.13, which math-verify needs.
    grammar.version = lambda _: "4.11"
    for read in (grammar.parse_latex, parse_expr, latex2sympy):
        for spelling in (text.replace("\\\\", "\\"), text):
            if read is not parse_expr or _HARMLESS.fullmatch(spelling):
                with contextlib.suppress(Exception):
                    value = read(spelling)
                    if read is not latex2sympy or isinstance(value, Expr | MatrixBase | Relational):
                        return value
    return text


def _released(predicted: str, gold: str) -> bool:
    """The authors' symbolic comparison: the first test that can be made and accepts decides."""
    from sympy import N, simplify

    left, right = _parsed(predicted), _parsed(gold)
    tests = (
        lambda: str(left) == str(right) or left == right,
        lambda: left.equals(right) or simplify(left - right) == 0,
        lambda: abs(left.lhs - left.rhs).equals(abs(right.lhs - right.rhs)),
        lambda: math.isclose(float(N(right)), float(N(left)), rel_tol=1e-4),
        lambda: (
            left.shape == right.shape and left.applyfunc(_rounded).equals(right.applyfunc(_rounded))
        ),
    )
    for test in tests:
        with contextlib.suppress(Exception):
            if test():
                return True
    return False


def _rounded(cell: Any) -> Any:
    return round(cell, 3)


def _serve() -> None:
    """Answer questions (one JSON line each: rule, predicted, gold, seconds) until input ends."""
    import logging
    import resource
    import warnings

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not look like a reply
    import latex2sympy2_extended  # noqa: F401
    import math_verify  # noqa: F401
    import sympy  # noqa: F401

    rules = {"strict": _strict, "released": _released}
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        rule, predicted, gold, seconds = json.loads(line)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # the default action ends the process
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            verdict = rules[rule](predicted, gold)
        except Exception:  # text that no parser reads, of whatever kind, is not equal to gold
            verdict = False
        except (RecursionError, MemoryError):
            verdict = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(verdict), file=replies, flush=True)


class Worker:
    """One process that compares; `timeouts` counts the comparisons that were cut off."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.timeouts = 0

    def _line(self, seconds: float) -> str:
        """The worker's next line; empty if it died or took longer than `seconds`."""
        replies = self._process.stdout if self._process else None
        if replies is None:
            return ""
        with selectors.DefaultSelector() as selector:
            selector.register(replies, selectors.EVENT_READ)
            return replies.readline() if selector.select(seconds) else ""

    def _start(self) -> subprocess.Popen[str]:
        scripts = Path(__file__).resolve().parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from jz3.grading.symbolic import _serve; _serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(scripts), "PYTHONHASHSEED": "0"},
        )
        if self._line(_WALL_SECONDS).strip() != "ready":
            self.close()
            raise RuntimeError("the grading process does not start; is math-verify installed?")
        return self._process

    def equal(self, rule: str, predicted: str, gold: str, seconds: float | None = None) -> bool:
        """Whether two LaTeX expressions are equal under `rule` (strict | released).

        A comparison that takes more than `seconds` of processor time (SECONDS if None), or that
        kills the process, counts as not equal. Raises RuntimeError if no worker can be started.
        """
        seconds = SECONDS if seconds is None else seconds
        process = self._process
        if process is None or process.poll() is not None:
            self.close()
            process = self._start()
        try:
            assert process.stdin is not None  # a pipe, see _start
            process.stdin.write(json.dumps([rule, predicted, gold, seconds]) + "\n")
            process.stdin.flush()
            answer = self._line(_WALL_SECONDS)
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.timeouts += 1
            self.close()
        return answer.strip() == "true"

    def close(self) -> None:
        """Kill the process, if there is one; the next comparison starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None


WORKER = Worker()
atexit.register(WORKER.close)
