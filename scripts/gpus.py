"""Run a program of ours on N GPUs of this machine: `gpus.py N program.py arguments...`

0: no GPU is visible to it. 1: one leased GPU. More: leased GPUs, one process each, by torchrun.
Snakemake counts GPUs but assigns none; the lease is a file lock per device, held while the program
runs and released with it, however it ends. Under Slurm the scheduler has assigned them already.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def visible_devices() -> list[str]:
    """Devices that this process may use, in the order CUDA numbers them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(number) for number in range(len(listed.stdout.splitlines()))]


def lease(count: int) -> tuple[list[str], list[int]]:
    """Wait until `count` devices are free; return them and the locks that hold them.

    Exits with one line where the machine has fewer.
    """
    devices = visible_devices()
    if len(devices) < count:
        sys.exit(
            f"gpus: this job needs {count} GPU(s), the machine shows {len(devices)}. Lower"
            " compute.gpus in the configuration, or run it where there are more."
        )
    if "SLURM_JOB_ID" in os.environ:
        return devices[:count], []
    folder = Path(tempfile.gettempdir(), f"jz3-gpus-{os.getuid()}")
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


def main() -> None:
    """Lease, then become the program."""
    if len(sys.argv) < 3 or not sys.argv[1].isdigit():
        sys.exit(f"usage: {__doc__.splitlines()[0].split('`')[1]}")
    count, program = int(sys.argv[1]), sys.argv[2:]
    devices = lease(count)[0] if count else []
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    command = [sys.executable]
    if count > 1 and "train_" in Path(program[0]).name:  # vLLM starts its own processes
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    os.execv(sys.executable, [*command, *program])


if __name__ == "__main__":
    main()
