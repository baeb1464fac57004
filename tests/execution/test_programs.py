"""Model-written programs: what they may do, what is kept of what they print."""

import os
import sys
import time

import pytest
from jz3 import io
from jz3.execution import programs
from jz3.execution.programs import agrees, execute_rows, run_programs, with_output

SETTINGS = {"seconds": 4, "memory_mb": 400, "output_characters": 40, "workers": 2}

confined = pytest.mark.skipif(programs.isolation() == "none", reason="no seccomp on this platform")


@pytest.fixture(autouse=True)
def _allowed(monkeypatch):
    monkeypatch.setenv("JZ3_ALLOW_UNISOLATED", "1")


def one(source, **changes):
    return run_programs([source], SETTINGS | changes)[0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="confinement is for Linux")
def test_linux_confines():
    assert programs.isolation() == "seccomp"


def test_printed_text_is_the_output_in_the_order_of_the_programs():
    results = run_programs([f"print({i} * 2)" for i in range(7)], SETTINGS)
    assert [r.output for r in results] == [str(i * 2) for i in range(7)]
    assert {r.status for r in results} == {"ok"}


@pytest.mark.parametrize(
    ("source", "output", "status"),
    [
        ("x = 6\nx * 7", "42", "ok"),
        ("'ab'", "'ab'", "ok"),
        ("print(1)\n2", "1", "ok"),
        ("def f():\n    print('inside')\nf()", "inside", "ok"),
        ("x = 1", "", "no_output"),
        ("None", "", "no_output"),
        ("print(1)\nimport sys\nsys.exit()", "1", "ok"),
        ("print({'b', 'a', 'c'} == set('abc'))\nif __name__ == '__main__': print('m')",
         "True\nm", "ok"),
        ("from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 1\nA()",
         "A(x=1)", "ok"),
    ],
)  # fmt: skip
def test_output_and_trailing_expression(source, output, status):
    result = one(source)
    assert (result.output, result.status, result.error) == (output, status, "")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("print(1)\n1 / 0", "ZeroDivisionError: division by zero"),
        ("print(", "SyntaxError: '(' was never closed (program.py, line 1)"),
        ("input()", "EOFError: EOF when reading a line"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("import os\nos._exit(5)", "exit status 5"),
        ("\0", "SyntaxError: source code cannot contain null bytes"),
    ],
)
def test_errors_are_one_line(source, error):
    result = one(source)
    assert (result.status, result.error) == ("error", error)


def test_what_was_printed_before_an_error_stays():
    assert one("print('so far')\nraise ValueError('a\\nb')").output == "so far"


def test_endless_loop_and_sleep_end_in_time():
    started = time.monotonic()
    loop, sleep = run_programs(
        ["while True: pass", "import time\ntime.sleep(60)"], SETTINGS | {"seconds": 1}
    )
    assert (loop.status, sleep.status) == ("timeout", "timeout")
    assert time.monotonic() - started < 20


def test_memory_is_limited():
    assert one("x = bytearray(10**9)\nprint(len(x))").status == "memory"
    assert one("print(len(bytearray(10**8)))").output == "100000000"


def test_megabytes_are_shortened_in_the_middle():
    result = one("print('a' * 3_000_000)\nprint('b' * 3_000_000)")
    assert result.output == "a" * 20 + "..." + "b" * 20
    assert one("print('x' * 40)").output == "x" * 40
    assert one("print('x' * 20 + 'y' * 21)").output == "x" * 20 + "..." + "y" * 20


def test_random_numbers_and_sets_repeat():
    source = "import random\nprint(random.random(), {'a', 'b', 'c', 'd'}, hash('x'))"
    results = run_programs([source] * 3, SETTINGS | {"output_characters": 200})
    assert len({r.output for r in results}) == 1


@confined
@pytest.mark.parametrize(
    "attempt",
    [
        "import socket\nsocket.socket()",
        "import socket\nsocket.create_connection(('127.0.0.1', PORT), 1)",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:PORT')",
        "import os\nos.fork()",
        "import subprocess\nsubprocess.run(['true'], check=True)",
        "import os\nos.execv('/bin/true', ['true'])",
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
        "import os\nos.kill(os.getppid(), 9)",
        "import os\nos.kill(-1, 9)",
        "import signal, os\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)",
        "open('PRECIOUS', 'w').write('x')",
        "open('PRECIOUS', 'r+').truncate(0)",
        "open('PRECIOUS', 'a').write('x')",
        "import os\nos.truncate('PRECIOUS', 0)",
        "import os\nos.remove('PRECIOUS')",
        "import os\nos.rename('PRECIOUS', 'PRECIOUS2')",
        "import os\nos.chmod('PRECIOUS', 0)",
        "import os\nos.utime('PRECIOUS', (0, 0))",
        "import os\nos.link('PRECIOUS', 'PRECIOUS2')",
        "import os\nos.symlink('PRECIOUS', 'PRECIOUS2')",
        "import os\nos.mkdir('PRECIOUS2')",
        "import os\nos.setxattr('PRECIOUS', 'user.a', b'1')",
        "import ctypes, os\nl = ctypes.CDLL(None, use_errno=True)\n"
        "r = l.unshare(0x10000000)\nassert r == 0, ctypes.get_errno()",
        "import ctypes\nassert ctypes.CDLL(None).shmctl(MEMORY, 0, None) == 0",  # 0: remove it
        "import ctypes\nassert ctypes.CDLL(None).shmat(MEMORY, None, 0) != -1",
    ],
)
def test_no_door_is_open(attempt, tmp_path, monkeypatch):
    import ctypes
    import socket

    libc = ctypes.CDLL(None)
    precious = tmp_path / "precious"
    precious.write_text("kept")
    before = precious.stat()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        memory = libc.shmget(0, 64, 0o600)  # a segment of some other process
        attempt = attempt.replace("PORT", str(port)).replace("MEMORY", str(memory))
        result = one(attempt.replace("PRECIOUS", str(precious)))
        assert libc.shmctl(memory, 0, None) == 0  # it was still there
        server.settimeout(0.01)
        with pytest.raises(TimeoutError):
            server.accept()
    assert result.status == "error", result
    assert precious.read_text() == "kept"
    assert precious.stat().st_mtime_ns == before.st_mtime_ns
    assert precious.stat().st_mode == before.st_mode
    assert sorted(p.name for p in tmp_path.iterdir()) == ["precious"]


def test_our_environment_is_not_theirs(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "hush")
    result = one("import os\nprint(sorted(os.environ.items()))", output_characters=5000)
    assert "hush" not in result.output
    assert "HOME" in result.output


def test_our_modules_and_folder_are_not_theirs():
    result = one("import os, sys\nprint(os.listdir(), 'jz3' in sys.modules)\nimport jz3")
    assert result.output == "['program.py'] False"
    assert result.error == "ModuleNotFoundError: No module named 'jz3'"


@confined
def test_threads_and_sympy_work():
    threads = one(
        "import threading\nt = threading.Thread(target=print, args=(5,))\nt.start(); t.join()"
    )
    assert threads.output == "5"
    pytest.importorskip("sympy")
    solved = one("from sympy import *\nx = symbols('x')\nprint(solve(x**2 - 4, x))",
                 seconds=20, memory_mb=1024)  # fmt: skip
    assert solved.output == "[-2, 2]"


def test_without_isolation_nothing_runs_unless_allowed(monkeypatch):
    monkeypatch.setattr(programs, "isolation", lambda: "none")
    monkeypatch.delenv("JZ3_ALLOW_UNISOLATED")
    with pytest.raises(io.UserError, match="JZ3_ALLOW_UNISOLATED=1"):
        run_programs(["print(1)"], SETTINGS)
    monkeypatch.setenv("JZ3_ALLOW_UNISOLATED", "1")
    assert one("print(1)").output == "1"


def test_programs_die_with_an_interrupted_run(tmp_path):
    import signal
    import subprocess
    from pathlib import Path

    scripts = Path(programs.__file__).parents[2]
    driver = (
        f"import sys; sys.path.insert(0, {str(scripts)!r})\n"
        "from jz3.execution.programs import run_programs\n"
        "run_programs(['import time\\nprint(1, flush=True)\\ntime.sleep(45)'], "
        "{'seconds': 20, 'memory_mb': 400, 'output_characters': 9, 'workers': 1})"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", driver], env=environment)
    mark = f"{tmp_path}/jz3-"

    def children():
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except (OSError, UnicodeDecodeError):
                    continue
                if mark in line:
                    found.append(entry.name)
        return found

    if not Path("/proc").is_dir():
        process.kill()
        pytest.skip("no /proc to look for processes in")
    deadline = time.monotonic() + 20
    while len(found := children()) < 1 or time.monotonic() < deadline - 18:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while children():
        assert time.monotonic() < deadline, "the program outlived its parent"
        time.sleep(0.1)


# ---------------------------------------------------------------- agreement, rows


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("11", "11"),
        ("The dot product is -40", "-40"),
        ("0.333333333", "1/3"),
        ("1/3", "\\frac{1}{3}"),
        ("1/3", "0.33333"),
        ("12.0", "12"),
        ("1200", "1,200"),
        ("3\n4\n5.0", "5"),
        ("x**2 + 1", "x^2 + 1"),
        ("[-2, 2]", "[-2,2]"),
        ("True", "\\text{True}"),
        ("area = 12 cm", "12\\text{ cm}"),
        ("25", "25\\%"),
        ("25", "\\$25"),
        ("total: 1e3", "1000"),
    ],
)
def test_agreement(output, answer):
    assert agrees(output, answer)


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("11", "12"),
        ("-11", "11"),
        ("11", ""),
        ("", "11"),
        ("3\n4", "3"),
        ("yes", "no"),
        ("12", "x"),
        ("1/0", "7"),
        ("7", "1/0"),
        ("0", "0.5"),
        ("21", "2"),
        ("2", "2x+1"),
    ],
)
def test_disagreement(output, answer):
    assert not agrees(output, answer)


def row(program, answer="4", **changes):
    return {
        "mode": "tool",
        "status": "kept",
        "solution": f"```python\n{program}\n```\n\nThe answer is \\boxed{{{answer}}}.",
        "answer": answer,
        "executed": None,
        "answer_agrees": None,
    } | changes


def test_rows_get_the_real_output_and_their_status():
    rows = [
        row("print(2 + 2)"),
        row("print(2 + 3)"),
        row("print(undefined)"),
        row("x = 4"),
        row("print(4)", status="truncated"),
        row("print(4)", mode="cot"),
        row("print(1)\nprint(5)"),
    ]
    done = execute_rows(rows, SETTINGS)
    assert [r["status"] for r in done] == [
        "kept", "kept", "not_executed", "not_executed", "truncated", "kept", "disagrees",
    ]  # fmt: skip
    assert [r["executed"] for r in done] == [True, True, False, False, None, None, True]
    assert [r["answer_agrees"] for r in done] == [True, False, None, None, None, None, False]
    assert (done[1]["answer"], done[1]["solution"]) == (
        "5", "```python\nprint(2 + 3)\n```\n```output\n5\n```\n\nThe answer is \\boxed{5}.",
    )  # fmt: skip
    assert done[0]["solution"] == (
        "```python\nprint(2 + 2)\n```\n```output\n4\n```\n\nThe answer is \\boxed{4}."
    )
    assert done[4:6] == rows[4:6]
    assert rows[0]["executed"] is None


def test_a_fence_in_the_output_does_not_end_the_block():
    text = with_output("```python\np\n```\n\nEnd.", "p", "a\n```\nb")
    assert text.count("```") == 4
    assert text.endswith("\n```\n\nEnd.")
