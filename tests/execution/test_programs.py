"""Model-written programs: what they may do, what is kept of what they print."""

import sys
import time

import pytest
from jz3.execution import programs
from jz3.execution.programs import run_programs

SETTINGS = {"seconds": 4, "memory_mb": 400, "output_characters": 40, "workers": 2}

confined = pytest.mark.skipif(bool(programs.missing_protections()), reason="no confinement here")
pytestmark = confined


def one(source, **changes):
    return run_programs([source], SETTINGS | changes)[0]


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


def test_our_environment_is_not_theirs(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "hush")
    result = one("import os\nprint(sorted(os.environ.items()))", output_characters=5000)
    assert "hush" not in result.output
    assert "HOME" in result.output


def test_our_modules_and_folder_are_not_theirs():
    result = one("import os, sys\nprint(os.listdir(), 'jz3' in sys.modules)\nimport jz3")
    assert result.output == "[] False"
    assert result.error == "ModuleNotFoundError: No module named 'jz3'"


def test_threads_and_sympy_work():
    threads = one(
        "import threading\nt = threading.Thread(target=print, args=(5,))\nt.start(); t.join()"
    )
    assert threads.output == "5"
    pytest.importorskip("sympy")
    solved = one("from sympy import *\nx = symbols('x')\nprint(solve(x**2 - 4, x))",
                 seconds=20, memory_mb=1024)  # fmt: skip
    assert solved.output == "[-2, 2]"


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("import tempfile\nwith tempfile.NamedTemporaryFile('w+') as f:\n"
         "    f.write('kept'); f.seek(0); print(f.read())", "kept"),
        ("with open('a.txt', 'w') as f: f.write('7')\nprint(open('a.txt').read())", "7"),
        ("with open('/tmp/a.txt', 'w') as f: f.write('7')\nprint(open('/tmp/a.txt').read())", "7"),
        ("print('gone', file=open('/dev/null', 'w'))\nprint(1)", "1"),
        ("import asyncio\nasync def f():\n    await asyncio.sleep(0.01)\n    return 3\n"
         "print(asyncio.run(f()))", "3"),
        ("import sys\nsys.stdout = sys.__stdout__\nprint('back')", "back"),
        ("import sys\nprint('a')\nsys.stdout = sys.__stdout__\nprint('b')", "a\nb"),
        ("import io, sys\nsys.stdout = io.StringIO()\nprint('lost')\n"
         "sys.stdout = sys.__stdout__\nprint('seen')", "seen"),
        ("import os\nn = os.write(1, b'raw')", "raw"),
        ("import atexit\natexit.register(print, 'last')\nprint('first')", "first\nlast"),
        ("import threading, time\n"
         "threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()", "late"),
        ("import inspect\ndef f(): return 1\nprint(inspect.getsource(f))", "def f(): return 1"),
        ("import os, shutil\nos.makedirs('a/b'); shutil.copytree('a', 'c')\n"
         "print(sorted(os.listdir()))", "['a', 'c']"),
        ("import sqlite3\nc = sqlite3.connect('d')\nc.execute('create table t (x)')\n"
         "c.commit()\nprint(os.path.exists('d') if 'os' in dir() else 1)", "1"),
        ("from concurrent.futures import ThreadPoolExecutor as T\n"
         "print(list(T(3).map(abs, [-1, 2])))", "[1, 2]"),
        ("import numpy as np\nnp.save('x', [1, 2])\nprint(np.load('x.npy').sum())", "3"),
    ],
)  # fmt: skip
def test_ordinary_programs_work(source, output):
    if "/tmp/" in source and any(path.startswith("/tmp/") for path in (sys.prefix, __file__)):
        pytest.skip(
            "the environment or this clone lies in /tmp, which then is no program's to write"
        )
    if "numpy" in source:
        pytest.importorskip("numpy")
    assert one(source).output == output


def test_matplotlib_draws():
    pytest.importorskip("matplotlib")
    source = "import matplotlib.pyplot as p\np.plot([1, 2]); p.savefig('a.png'); p.show()\nprint(7)"
    assert one(source, memory_mb=1024).output == "7"


def test_nothing_is_left_for_the_next_program():
    leave = "import os, math\nopen('left', 'w'); os.mkdir('d'); os.chmod('d', 0)\nmath.pi = 3"
    look = "import os, math\nprint(os.listdir(), math.pi > 3.1)"
    results = run_programs([leave, look] * 3, SETTINGS | {"workers": 1})
    assert [result.output for result in results[1::2]] == ["[] True"] * 3


def test_the_folder_is_bounded():
    fill = "for i in range(9):\n    open(str(i), 'w').write('x' * 10**7)"
    assert one(fill).error == "OSError: [Errno 28] No space left on device"
    many = "for i in range(10000):\n    open(str(i), 'w').close()"
    assert one(many).error == f"OSError: [Errno 28] No space left on device: '{2048 - 1}'"
    assert one("print(1)").output == "1"


def test_a_second_run_has_other_seeds_clock_hashes_and_addresses():
    sources = [
        "import random\nprint(random.random())",
        "import numpy\nprint(numpy.random.rand())",
        "import numpy\nprint(numpy.random.default_rng().random())",
        "import time\nprint(int(time.time()) // 86400)",
        "import datetime\nprint(datetime.date.today())",
        "from datetime import datetime\nprint(datetime.now().year, datetime.now().month)",
        "print(object())",
        "print({'a', 'b', 'c', 'd', 'e', 'f'})",
        "import uuid\nprint(uuid.uuid4())",
        "import os\nprint(os.urandom(4))",
    ]
    settings = SETTINGS | {"output_characters": 200}
    first, second = run_programs(sources, settings), run_programs(sources, settings, again=True)
    assert {result.status for result in first + second} == {"ok"}
    same = [s for s, a, b in zip(sources, first, second, strict=True) if a.output == b.output]
    assert same == []
    steady = ["import random\nrandom.seed(5)\nprint(random.random())", "print({3, 1, 2}, hash(7))",
              "from datetime import datetime, date, timedelta\n"
              "print([datetime(2020, 1, 1) + timedelta(1)], isinstance(datetime.now(), date))"]  # fmt: skip
    assert run_programs(steady, settings) == run_programs(steady, settings, again=True)


def test_waiting_for_a_processor_is_no_fault(monkeypatch):
    """The limit counts time that a program runs or sleeps, not time that it is kept waiting."""
    from jz3.execution import sandbox

    class Folder:
        def __init__(self, ran, queued):
            self.line = f"{int(ran * 1e9)} {int(queued * 1e9)} 5"

        def over(self, tmp_path, wall):
            task = tmp_path / "7" / "task" / "7"
            task.mkdir(parents=True, exist_ok=True)
            (task / "schedstat").write_text(self.line)
            descriptor = os.open(tmp_path, os.O_RDONLY)
            try:
                return sandbox._over(descriptor, 7, wall, 4)
            finally:
                os.close(descriptor)

    import os
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        assert not Folder(3, 90).over(place, 95)  # starved
        assert not Folder(0, 0).over(place, 7)
        assert Folder(1, 1).over(place, 11)  # slept for nine
        (place / "7/task/7/schedstat").unlink()
        assert Folder(0, 0).over(place, 8.5)
    assert not sandbox._over(-1, 7, 39, 4)  # not known: ten times the limit
    assert sandbox._over(-1, 7, 41, 4)


def test_what_the_clock_cut_off_is_run_again(monkeypatch):
    from jz3.execution import sandbox

    asked = []

    def ask(self, source, settings, held):
        asked.append(source)
        cut = len(asked) == 1
        return {"code": 0, "cut": cut, "output": "" if cut else "3", "error": ""}

    monkeypatch.setattr(programs._Server, "ask", ask)
    monkeypatch.setattr(programs, "_probed", lambda: ([], {"output": "[]"}))
    programs._pool.cache_clear()
    try:
        assert one("print(3)").output == "3"
        assert len(asked) == 2
    finally:
        programs._pool.cache_clear()
    assert sandbox.NOT_CONFINED == 98


def test_a_broken_sandbox_costs_one_program():
    server = programs._Server("0")
    held = programs._probed()[0]
    assert server.ask("print(1)", SETTINGS, held)["output"] == "1"
    server.process.kill()
    server.process.wait()
    assert server.ask("print(1)", SETTINGS, held)["error"] == "the sandbox broke"
    assert server.ask("print(1)", SETTINGS, held)["output"] == "1"
    assert server.ask("print(1)", SETTINGS, [True, 99, True])["code"] == 98  # less than was found
    server.close()
