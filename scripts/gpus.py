"""Run a program of ours on GPUs: `gpus.py --gpus N --nodes M program.py arguments...`

--gpus 0: no GPU is visible to it. On one node: N leased GPUs; a training program gets one process
per GPU, by torchrun. Snakemake counts GPUs but assigns none: the lease is a file lock per device,
held until the last process that the program started is gone, however it ends (`watch`). (In a Slurm
job they are those that it was given.) On several nodes of a Slurm job: srun starts this program
once per node, and torchrun on each joins them, at the node that the job started on.

`gpus.py --member program.py arguments...`: what torchrun starts; the program dies with it.
"""

import argparse
import contextlib
import fcntl
import itertools
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from jz3.processes import MEND_SUFFIX, die_with_parent, signal_at_parents_death

LEASE = "JZ3_LEASE"  # in the environment of everything that a lease's program starts
LOOK_SECONDS = 2  # between two looks at what a program has started
ASKED_SECONDS = 10  # between asking what a dead program left to end, and ending it
SAVE_SECONDS = 1800  # between a request to stop and the end; profiles/slurm asks so long before
# A number, or the (beginning of the) identity of a GPU or of a part of one.
_DEVICE = re.compile(r"\d+|(?:GPU|MIG)-[\w/-]+")


def visible_devices() -> list[str]:
    """Devices that this process may use, in the order CUDA numbers them, each once.

    As for CUDA, a list ends at the first entry that is no device: "0,-1,1" shows one.
    """
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        names = [name.strip() for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",")]
        sound = itertools.takewhile(_DEVICE.fullmatch, names)
        return list(dict.fromkeys(sound))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(number) for number in range(len(listed.stdout.splitlines()))]


def refuse(text: str) -> NoReturn:
    """End with what the user has to mend, noted beside the log as `program.run` does."""
    if "--log" in sys.argv[:-1]:
        log = Path(sys.argv[sys.argv.index("--log") + 1])
        log.parent.mkdir(parents=True, exist_ok=True)
        log.with_name(log.name + MEND_SUFFIX).write_text(f"{text}\n")
    sys.exit(text)


def lease(count: int) -> tuple[list[str], list[int]]:
    """Wait until `count` devices are free; return them and the locks that hold them.

    Exits with one line where the machine has fewer.
    """
    devices = visible_devices()
    if len(devices) < count:
        refuse(
            f"gpus: this job needs {count} GPU(s), the machine shows {len(devices)}. Lower"
            " compute.gpus in the configuration, or run it where there are more."
        )
    # Under Slurm devices are numbered anew in each job, on each node.
    parts = [str(os.getuid()), *(os.environ.get(n) for n in ("SLURM_JOB_ID", "SLURMD_NODENAME"))]
    folder = Path(tempfile.gettempdir(), "-".join(["jz3-gpus", *filter(None, parts)]))
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        held: dict[str, int] = {}
        for device in devices:
            lock = os.open(folder / f"{device}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            held[device] = lock
            if len(held) == count:
                for lock in held.values():
                    os.set_inheritable(lock, True)  # kept through exec
                return list(held), list(held.values())
        for lock in held.values():  # not enough: give back, so that two jobs cannot starve
            os.close(lock)
        time.sleep(2)


def watch(locks: Sequence[int], mark: str) -> None:
    """Start a process that holds the locks until nobody computes on their devices.

    When this process is gone (it, too, holds them), what it started and still runs is ended:
    engines and workers may outlive whoever started them. They are known by the mark in their
    environment, and by a look every other second at who is below this process: those that give
    themselves a title lose their environment. The watcher is in a session of its own and deaf to
    signals, so that what ends a job does not end it.
    """
    parent = os.getpid()
    if os.fork():
        return
    with contextlib.suppress(Exception):  # it must not return into the program
        os.setsid()
        deaf = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
        signal.pthread_sigmask(signal.SIG_BLOCK, deaf)
        os.chdir("/")
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        edges = [2, *sorted(locks), os.sysconf("SC_OPEN_MAX")]
        for low, high in itertools.pairwise(edges):  # whoever reads a pipe of ours sees its end
            os.closerange(low + 1, high)
        signal_at_parents_death(signal.SIGUSR1)
        seen: set[Process] = set()
        while os.getppid() == parent:
            seen = below({parent}, seen)
            signal.sigtimedwait([signal.SIGUSR1], LOOK_SECONDS)
        asked = time.monotonic()
        while seen := below(marked(mark), seen):
            patient = time.monotonic() - asked < ASKED_SECONDS
            for process in seen:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGTERM if patient else signal.SIGKILL)
            time.sleep(0.2)
    os._exit(0)


class Process(NamedTuple):
    """One process, and no later one of the same number."""

    pid: int
    started: str


def below(roots: set[int], seen: set[Process]) -> set[Process]:
    """Living processes that descend from the roots or from those seen, which are among them.

    Whoever watches is none of them, nor is the root that it watches.
    """
    parents: dict[Process, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            words = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if words[0] not in "ZX":
                parents[Process(int(folder.name), words[19])] = int(words[1])
    me, watched = os.getpid(), os.getppid()
    found = {p for p in parents if p in seen or p.pid in roots}
    while True:
        pids = {p.pid for p in found}
        more = {p for p, parent in parents.items() if parent in pids and p.pid != me} - found
        if not more:
            return {p for p in found if p.pid not in (me, watched)}
        found |= more


def marked(mark: str) -> set[int]:
    """Living processes of ours with this mark in the environment that they began with."""
    found = set()
    wanted = f"{LEASE}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's; a zombie's is empty
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
    return found


def spread(gpus: int, nodes: int) -> list[str]:
    """The srun command that starts this program on every node of the job, once each."""
    job = os.environ.get("SLURM_JOB_ID")
    if not job:
        refuse(
            f"gpus: this job needs {gpus or 'no'} GPU(s) on {nodes} nodes, which takes Slurm. Run"
            " with --profile slurm, or lower compute.gpus or sizing in the configuration."
        )
    command = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    command += ["--whole", "--mem=0", "--kill-on-bad-exit=1"]
    if gpus:
        command.append(f"--gpus-per-node={gpus // nodes}")
    return [*command, sys.executable, *sys.argv]


def torchrun(processes: int, nodes: int) -> list[str]:
    """The launcher's options: so many processes here, on each of `nodes` nodes."""
    options = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    options.append(f"--shutdown-timeout={SAVE_SECONDS}")
    if nodes == 1:
        return [*options, "--standalone"]
    return [
        *options,
        f"--nnodes={nodes}",
        f"--node-rank={os.environ['SLURM_PROCID']}",
        f"--master-addr={os.environ['SLURM_LAUNCH_NODE_IPADDR']}",
        f"--master-port={20_000 + int(os.environ['SLURM_JOB_ID']) % 20_000}",
    ]


def become(command: Sequence[str]) -> NoReturn:
    """Go on as a Python program: signals and status are its own."""
    os.execv(sys.executable, [sys.executable, *command])


def main() -> None:
    """Lease, then become the program."""
    if sys.argv[1:2] == ["--member"]:
        die_with_parent()
        become(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split("`")[0])
    parser.add_argument("--gpus", type=int, required=True, help="GPUs, over all nodes")
    parser.add_argument("--nodes", type=int, default=1, help="nodes of the Slurm job")
    parser.add_argument("program", nargs=argparse.REMAINDER, help="a program and its arguments")
    options = parser.parse_args()
    if not options.program:
        parser.error("name a program")
    if options.nodes > 1 and "SLURM_STEP_ID" not in os.environ:
        command = spread(options.gpus, options.nodes)
        os.execvp(command[0], command)
    count = options.gpus // options.nodes
    devices, locks = lease(count) if count else ([], [])
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    if locks:
        os.environ[LEASE] = f"{os.getpid()}.{secrets.token_hex(8)}"
        watch(locks, os.environ[LEASE])
    if not count:  # on a processor: freed memory is used again, not handed back and zeroed anew
        os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
        os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 40))
    command = []
    # vLLM starts its own processes.
    if (count > 1 or options.nodes > 1) and "train_" in Path(options.program[0]).name:
        # "--", or torchrun would take the program's --log for one of its own options.
        command += [*torchrun(max(1, count), options.nodes), "--", __file__, "--member"]
    become([*command, *options.program])


if __name__ == "__main__":
    main()
