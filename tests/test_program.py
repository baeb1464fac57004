"""Programs end with one readable line, whatever goes wrong."""

import re
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
        (["raise OSError(13, 'Permission denied', 'x')"], 1, "Permission denied (x). Give"),
        (["import torch; raise torch.OutOfMemoryError('CUDA: no. More')"], 1, "CUDA: no. Make"),
        (["raise io.TryAgain('hub: away.')"], 75, "example: hub: away."),
        (["raise OSError(116, 'Stale file handle', 'x')"], 75, "Run again"),
        (["raise MemoryError"], 75, "out of memory"),
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
    assert text.removeprefix("example: ") in log.read_text()
    note = log.with_name("a.log.mend")  # there for Snakemake, where trying again is in vain
    assert note.exists() == (status == 1)
    if status == 1:
        assert f"example: {note.read_text()}" == ended.stderr
        run(["pass"], tmp_path, "--log", log)
        assert not note.exists()
    bare = run(body, tmp_path)  # without a log the same line, behind the traceback of a defect
    assert bare.returncode == status
    assert bare.stderr.splitlines()[-1] == ended.stderr.strip()


def test_lines_of_a_log_have_time_level_and_program(tmp_path):
    log = tmp_path / "a.log"
    body = [
        "import logging",
        "program.say('counted')",
        "program.warn('odd')",
        "logging.getLogger('library').warning('old')",
        "logging.getLogger('library').info('chatter')",
        "raise io.UserError('no')",
    ]
    run(body, tmp_path, "--log", log)
    lines = log.read_text().splitlines()
    assert all(re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]", line) for line in lines)
    assert [line[20:] for line in lines] == [
        "INFO example: counted",
        "WARNING example: odd",
        "WARNING example: old",
        "ERROR example: no",
    ]
    bare = run(body, tmp_path)  # on a terminal they are plain
    assert bare.stderr.splitlines() == ["counted", "odd", "old", "example: no"]


def test_only_a_defect_leaves_a_traceback_in_the_log(tmp_path):
    log = tmp_path / "a.log"
    run(["raise io.UserError('no')"], tmp_path, "--log", log)
    assert "Traceback" not in log.read_text()
    run(["{}['a']"], tmp_path, "--log", log)
    assert "Traceback" in log.read_text()


def test_progress_is_plain_lines_in_a_log(tmp_path):
    log = tmp_path / "a.log"
    body = ["with program.Progress(3, 'read', 'row') as bar: bar.update(3)"]
    assert run(body, tmp_path, "--log", log).returncode == 0
    assert "read: 3/3 row in" in log.read_text()
    assert "\r" not in log.read_text()


def test_a_termination_signal_is_an_interruption(tmp_path):
    body = ["import os, signal, time", "os.kill(os.getpid(), signal.SIGTERM)", "time.sleep(9)"]
    ended = run(body, tmp_path, "--log", tmp_path / "a.log")
    assert ended.returncode == 130


@pytest.mark.parametrize(("given", "kept"), [(None, "1000"), ("5", "5")])
def test_waiting_threads_give_their_core_up_unless_told_otherwise(
    tmp_path, monkeypatch, given, kept
):
    """Known to OpenMP before torch is there, and to the servers and workers that are started."""
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    if given:
        monkeypatch.setenv("GOMP_SPINCOUNT", given)
    body = [
        "import os, subprocess",
        "assert 'torch' not in sys.modules",
        "subprocess.run(['sh', '-c', 'echo spin $GOMP_SPINCOUNT'], check=True)",
    ]
    assert f"spin {kept}\n" in run(body, tmp_path).stdout


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


def test_the_error_is_seen_though_the_log_is_on_a_full_disk(tmp_path):
    ended = run(["raise io.UserError('here: wrong. Do that.')"], tmp_path, "--log", "/dev/full")
    assert ended.returncode == 1
    assert "example: here: wrong. Do that." in ended.stderr
