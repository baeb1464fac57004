"""GPU leases and launches, with devices that are only named: locks and environments are real."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from leases import is_free

GPUS = Path(__file__).parents[2] / "scripts" / "gpus.py"
HOLD = """
import os, sys, time
began = time.time()
time.sleep(0.3)
print(os.environ["CUDA_VISIBLE_DEVICES"], began, time.time())
"""


@pytest.fixture
def machine(tmp_path):
    """Environment of a machine with four devices, and a program that holds what it gets."""
    (tmp_path / "hold.py").write_text(HOLD)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    return {**kept, "CUDA_VISIBLE_DEVICES": "0,1,2,3", "TMPDIR": str(tmp_path)}


def slow(value):
    """A value for `make test SELECT=slow`: each takes the ten seconds that are left to end in."""
    return pytest.param(value, marks=pytest.mark.slow)


def start(machine, count, *more):
    program = Path(machine["TMPDIR"], "hold.py")
    return subprocess.Popen(
        [sys.executable, GPUS, "--gpus", str(count), *more, program],
        env=machine,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_eight_jobs_of_two_never_share_one_of_four(machine):
    held = []
    for process in [start(machine, 2) for _ in range(8)]:
        output, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        devices, began, ended = output.split()
        held.append((set(devices.split(",")), float(began), float(ended)))
    assert all(len(devices) == 2 for devices, _, _ in held)
    for i, (ours, began, ended) in enumerate(held):
        for theirs, other_began, other_ended in held[:i]:
            together = began < other_ended and other_began < ended
            assert not (together and ours & theirs)


def test_a_killed_job_gives_its_devices_back(machine):
    Path(machine["TMPDIR"], "hold.py").write_text(
        "import time; print(1, flush=True); time.sleep(60)"
    )
    first = start(machine, 4)
    first.stdout.readline()
    first.kill()
    first.wait()
    Path(machine["TMPDIR"], "hold.py").write_text(HOLD)
    output, _ = start(machine, 4).communicate(timeout=20)
    assert output.startswith("0,1,2,3 ")


def test_no_gpu_means_none_is_visible(machine):
    output, _ = start(machine, 0).communicate(timeout=20)
    assert output.startswith(" ")


def test_too_few_gpus_is_one_line(machine):
    process = start(machine, 5)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert error.startswith("gpus: this job needs 5 GPU(s), the machine shows 4.")
    assert error.count("\n") == 1


def test_too_few_gpus_are_not_waited_for_again(machine, tmp_path):
    log = tmp_path / "logs" / "a.log"
    ended = subprocess.run(
        [sys.executable, GPUS, "--gpus", "5", "program.py", "--log", log],
        env=machine, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 1
    assert log.with_name("a.log.mend").read_text() == ended.stderr


def test_several_nodes_without_slurm_is_one_line(machine):
    process = start(machine, 16, "--nodes", "2")
    _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert error.startswith("gpus: this job needs 16 GPU(s) on 2 nodes, which takes Slurm.")
    assert error.count("\n") == 1


def test_jobs_inside_one_slurm_allocation_share_its_devices_out(machine):
    machine = {**machine, "SLURM_JOB_ID": "7"}
    held = []
    for process in [start(machine, 2) for _ in range(4)]:
        devices, began, ended = process.communicate(timeout=60)[0].split()
        held.append((set(devices.split(",")), float(began), float(ended)))
    for i, (ours, began, ended) in enumerate(held):
        for theirs, other_began, other_ended in held[:i]:
            assert not (began < other_ended and other_began < ended and ours & theirs)


def test_slurm_jobs_do_not_wait_for_each_other(machine):
    """Each has devices of its own on each of its nodes, numbered from 0."""
    hold = Path(machine["TMPDIR"], "hold.py")
    hold.write_text("import sys; print('held', flush=True); sys.stdin.read()")
    with start({**machine, "SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1"}, 4) as first:
        assert first.stdout.readline() == "held\n"
        hold.write_text(HOLD)
        for job, node in (("8", "n1"), ("7", "n2")):
            there = {**machine, "SLURM_JOB_ID": job, "SLURMD_NODENAME": node}
            assert start(there, 4).wait(timeout=60) == 0
        first.stdin.close()


def test_a_training_program_gets_a_process_per_gpu_and_its_own_options(machine):
    program = Path(machine["TMPDIR"], "train_nothing.py")
    program.write_text(
        "import os, sys\n"
        "words = os.environ['RANK'], os.environ['WORLD_SIZE'], *sys.argv[1:]\n"
        "os.write(1, (' '.join(words) + '\\n').encode())\n"  # whole: both write to one pipe
    )
    ended = subprocess.run(
        [sys.executable, GPUS, "--gpus", "2", "--nodes", "1", program, "--log", "x", "--seed", "3"],
        env=machine,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.splitlines()) == [f"{rank} 2 --log x --seed 3" for rank in (0, 1)]


@pytest.mark.parametrize(("gpus", "kept"), [(0, "0"), (1, "None")])
def test_on_a_processor_freed_memory_is_kept_for_use(machine, gpus, kept):
    machine.pop("MALLOC_MMAP_MAX_", None)
    Path(machine["TMPDIR"], "hold.py").write_text(
        "import os; print(os.environ.get('MALLOC_MMAP_MAX_'), os.environ['CUDA_VISIBLE_DEVICES'])"
    )
    output = start(machine, gpus).communicate()[0]
    assert output.split() == [kept, *("0" * gpus)]


@pytest.mark.parametrize(
    ("named", "devices"),
    [
        ("0,1", ["0", "1"]), ("-1", []), ("", []), ("0,0", ["0"]), ("0,-1,1", ["0"]), (" 0, 2 ", ["0", "2"]),
        ("GPU-8932f937-d72c", ["GPU-8932f937-d72c"]), ("MIG-GPU-1/2/3", ["MIG-GPU-1/2/3"]),
        ("NoDevFiles", []), ("0,,1", ["0"]),
    ],
)  # fmt: skip
def test_visible_devices_are_cudas(named, devices, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    monkeypatch.syspath_prepend(str(GPUS.parent))
    import gpus

    assert gpus.visible_devices() == devices


def test_too_few_devices_are_one_line_and_no_waiting(machine):
    process = start({**machine, "CUDA_VISIBLE_DEVICES": "0,0"}, 2)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "needs 2 GPU(s), the machine shows 1" in error


# ---------------------------------------------------------------- no matter who is killed

# Each process computes, and says who it is; the last one is deaf to polite requests, as an engine
# in native code is.
TREE = """
import os, signal, subprocess, sys, time
depth, lines = int(sys.argv[1]), sys.argv[2]
with open(lines, "a") as out:
    out.write(f"{depth} {os.getpid()}\\n")
if depth:
    started = subprocess.Popen([sys.executable, __file__, str(depth - 1), lines])
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
while True:
    time.sleep(0.05)
"""


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def tree(machine):
    """A leased program that starts one that starts another, by depth from the program down."""
    program, lines = Path(machine["TMPDIR"], "hold.py"), Path(machine["TMPDIR"], "lines")
    program.write_text(TREE)
    process = subprocess.Popen(
        [sys.executable, GPUS, "--gpus", "4", program, "2", lines],
        env=machine,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 20
    while not lines.exists() or lines.read_text().count("\n") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pids = dict(map(int, line.split()) for line in lines.read_text().splitlines())
    yield process, [pids[depth] for depth in (2, 1, 0)]
    for pid in pids.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def ends_before_the_lease(machine, pids, seconds=30):
    deadline = time.monotonic() + seconds
    while not is_free(machine["TMPDIR"]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return not any(map(lives, pids))


@pytest.mark.parametrize("sent", [signal.SIGKILL, *map(slow, (signal.SIGTERM, signal.SIGINT))])
def test_devices_are_free_only_when_all_that_was_started_is_gone(machine, tree, sent):
    process, pids = tree
    assert process.pid == pids[0]  # signals reach the program itself
    process.send_signal(sent)
    process.wait(timeout=10)
    assert not is_free(machine["TMPDIR"])
    assert lives(pids[2])
    assert ends_before_the_lease(machine, pids)


@pytest.mark.slow
def test_processes_without_their_environment_are_ended_too(machine):
    """A process that gives itself a title, as vLLM's do, overwrites it; a look has seen them."""
    program, lines = Path(machine["TMPDIR"], "hold.py"), Path(machine["TMPDIR"], "lines")
    program.write_text(TREE.replace("str(depth - 1), lines]", "str(depth - 1), lines], env={}"))
    process = subprocess.Popen(
        [sys.executable, GPUS, "--gpus", "4", program, "2", lines], env=machine
    )
    time.sleep(6)
    pids = [int(line.split()[1]) for line in lines.read_text().splitlines()]
    assert len(pids) == 3
    process.kill()
    process.wait()
    assert lives(pids[2])
    assert ends_before_the_lease(machine, pids)


@pytest.mark.parametrize("depth", [1, slow(2)])
@pytest.mark.parametrize("sent", [signal.SIGKILL, slow(signal.SIGTERM)])
def test_the_devices_stay_with_a_program_that_lost_what_it_started(machine, tree, depth, sent):
    process, pids = tree
    os.kill(pids[depth], sent)
    time.sleep(0.3)
    assert lives(process.pid)
    assert not is_free(machine["TMPDIR"])
    process.kill()
    assert ends_before_the_lease(machine, pids)


def watcher(of):
    """The process that watches: a child in a session of its own."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == of and fields[3] == folder.name:
                return int(folder.name)
    return None


def test_the_watcher_is_deaf_and_its_death_frees_nothing(machine, tree):
    process, pids = tree
    watching = watcher(process.pid)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(watching, number)
    time.sleep(0.3)
    assert lives(watching)
    os.kill(watching, signal.SIGKILL)
    time.sleep(0.3)
    assert all(map(lives, pids))
    assert not is_free(machine["TMPDIR"])


def test_a_group_of_processes_killed_at_once_is_cleared_up(machine, tree):
    """As by a shell or a scheduler that kills everything it knows of but the last."""
    process, pids = tree
    for pid in pids[:2]:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert ends_before_the_lease(machine, pids)


def test_whoever_reads_the_programs_output_sees_its_end(machine):
    """The watcher keeps no pipe open, and nothing waits for it."""
    began = time.monotonic()
    output, _ = start(machine, 1).communicate(timeout=20)
    assert output
    assert time.monotonic() - began < 10


def test_training_processes_die_with_the_launcher(machine):
    program, lines = Path(machine["TMPDIR"], "train_nothing.py"), Path(machine["TMPDIR"], "lines")
    program.write_text(TREE)
    process = subprocess.Popen(
        [sys.executable, GPUS, "--gpus", "2", program, "0", lines],
        env=machine,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not lines.exists() or lines.read_text().count("\n") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pids = [int(line.split()[1]) for line in lines.read_text().splitlines()]
    os.kill(watcher(process.pid), signal.SIGKILL)  # nobody is left to end them
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while any(map(lives, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
