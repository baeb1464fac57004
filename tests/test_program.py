"""Programs end with one readable line, whatever goes wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from jz3 import program

SCRIPTS = Path(__file__).parent.parent / "scripts"


def run(body, tmp_path, *options):
    file = tmp_path / "example.py"
    lines = [
        "import sys",
        f"sys.path.insert(0, {str(SCRIPTS)!r})",
        "from jz3 import io, program",
        "def main(options):",
        *(f"    {line}" for line in body),
        "program.run(main, program.parser('example'))",
    ]
    file.write_text("\n".join(lines))
    return subprocess.run([sys.executable, file, *options], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (["raise io.UserError('here: wrong. Do that.')"], 1, "example: here: wrong. Do that."),
        (["raise OSError(28, 'No space left on device', 'x')"], 1, "Free some space"),
        (["raise MemoryError"], 1, "out of memory"),
        (["raise KeyboardInterrupt"], 130, "Finished work is kept"),
        (["{}['a']"], 3, "a defect"),
    ],
)
def test_one_line_with_the_right_status(tmp_path, body, status, text):
    log = tmp_path / "logs" / "a.log"
    ended = run(body, tmp_path, "--log", log)
    assert ended.returncode == status
    assert text in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert text in log.read_text()


def test_only_a_defect_leaves_a_traceback_in_the_log(tmp_path):
    log = tmp_path / "a.log"
    run(["raise io.UserError('no')"], tmp_path, "--log", log)
    assert "Traceback" not in log.read_text()
    run(["{}['a']"], tmp_path, "--log", log)
    assert "Traceback" in log.read_text()


def test_progress_is_plain_lines_in_a_log(tmp_path):
    log = tmp_path / "a.log"
    ended = run(
        ["for _ in program.progress([1, 2, 3], 'read', 'row'): pass"], tmp_path, "--log", log
    )
    assert ended.returncode == 0
    assert "read: 3/3 row in" in log.read_text()
    assert "\r" not in log.read_text()


def test_a_termination_signal_is_an_interruption(tmp_path):
    body = ["import os, signal, time", "os.kill(os.getpid(), signal.SIGTERM)", "time.sleep(9)"]
    ended = run(body, tmp_path, "--log", tmp_path / "a.log")
    assert ended.returncode == 130


def test_unfinished_work_belongs_to_recipe_inputs_code_and_seed(tmp_path):
    (tmp_path / "a" / "x").parent.mkdir()
    (tmp_path / "b" / "x").parent.mkdir()
    for name in "ab":  # inputs of one name
        (tmp_path / name / "x").write_text(name)
    same = {
        "recipe": {"epochs": 1},
        "inputs": [tmp_path / "a/x", tmp_path / "b/x"],
        "code": "c",
        "seed": 1,
    }
    state = tmp_path / "state"

    def kept(**change):
        with pytest.raises(InterruptedError), program.unfinished(state, **same) as folder:
            (folder / "work").write_text("done")
            raise InterruptedError
        with pytest.raises(InterruptedError), program.unfinished(state, **same | change) as folder:
            there = (folder / "work").exists()
            raise InterruptedError
        return there

    assert kept()
    assert not kept(recipe={"epochs": 2})
    assert not kept(inputs=same["inputs"][::-1])
    assert not kept(code="d")
    assert not kept(seed=2)
    (tmp_path / "a" / "x").write_text("changed")
    assert kept()  # both times as it is now
    before = program.work_key(**same)
    (tmp_path / "a" / "x").write_text("again")
    assert program.work_key(**same) != before
    with program.unfinished(state, **same) as folder:
        assert folder == state
    assert not state.exists()
