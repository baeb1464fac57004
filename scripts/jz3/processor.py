"""The number type that a machine computes in: what `compute.dtype: auto` means here, and why.

Processors without bfloat16 instructions multiply such matrices in a plain loop, a hundred times
slower than float32; those with them are two to three times faster than in float32. So `auto` is
bfloat16 where the processor multiplies it in hardware, and float32 elsewhere. What the processor
says of itself is confirmed by a timing of milliseconds, kept in the user's cache: an emulator, a
torch build or an environment variable (ONEDNN_MAX_CPU_ISA) may take the instructions away.

On GPUs `auto` is bfloat16, and a GPU before compute capability 8.0 is refused: which GPU a job will
get is not known where a run is planned, and two types in one folder of results are worse.

    PYTHONPATH=scripts python -m jz3.processor     bfloat16 against float32 here, as JSON
"""

import contextlib
import functools
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import io
from .program import warn

DTYPES = ("float32", "bfloat16")
CPUINFO = Path("/proc/cpuinfo")
# Products of bfloat16 matrices in hardware, by their names in /proc/cpuinfo: x86-64 (Sapphire
# Rapids | Cooper Lake, Zen 4), Arm (SVE | ARMv8.6).
BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16", "svebf16", "bf16")
# Further names that tell a reader what the processor is.
WIDEST_FLAGS = ("avx512f", "avx2", "avx", "sve", "asimd")
# bfloat16 takes a third to one of float32's time in hardware, 50 to 100 times as long in a plain
# loop: noise does not carry one to the other.
SLOW = 4.0
FIRST_CAPABILITY = (8, 0)  # of an NVIDIA GPU with bfloat16
# Environment variables that take instructions away from torch's kernels.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")


def flags() -> frozenset[str]:
    """Instruction sets that all processors of this machine have, as Linux names them."""
    try:
        lines = CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    keys = ((line.partition(":")[0].strip().lower(), line.partition(":")[2]) for line in lines)
    found = [frozenset(text.split()) for key, text in keys if key in ("flags", "features")]
    return frozenset.intersection(*found) if found else frozenset()


def best_flag(names: Iterable[str], known: frozenset[str]) -> str:
    """The first of `names` that the processor has, or an empty string."""
    return next((name for name in names if name in known), "")


def resolve(wanted: str, gpus: int) -> str:
    """The type that jobs on `gpus` GPUs (0: on this machine's processor) compute in.

    wanted: auto, or a type, which is returned as it is. Raises UserError for another word.
    """
    if wanted in DTYPES:
        return wanted
    if wanted != "auto":
        hint = io.did_you_mean(wanted, ("auto", *DTYPES))
        raise io.UserError(
            f'compute.dtype: "{wanted}" is not known (auto | {" | ".join(DTYPES)}).{hint}'
        )
    if gpus:
        return "bfloat16"
    return "bfloat16" if has_bfloat16() else "float32"


def has_bfloat16() -> bool:
    """Whether this machine's processor multiplies bfloat16 matrices in hardware."""
    if not best_flag(BFLOAT16_FLAGS, flags()):
        return False
    ratio = slowdown()
    return ratio is None or ratio < SLOW


def explain(dtype: str) -> str:
    """The type and the reason, for people: "float32 (avx2, no bfloat16 instructions)"."""
    known = flags()
    instruction = best_flag(BFLOAT16_FLAGS, known)
    if not instruction:
        widest = best_flag(WIDEST_FLAGS, known) or "unknown processor"
        return f"{dtype} ({widest}, no bfloat16 instructions)"
    ratio = slowdown()
    if ratio is None:
        return f"{dtype} ({instruction})"
    return f"{dtype} ({instruction}; bfloat16 products take {ratio:.2g} times float32's time)"


# ---------------------------------------------------------------- the timing


@functools.cache
def slowdown() -> float | None:
    """Time of a bfloat16 matrix product over float32's; None where no torch is at hand.

    Measured once per processor, torch and limits in the environment; then read from the cache.
    """
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None
    limits = {name: os.environ.get(name, "") for name in _LIMITS}
    key = io.digest([sorted(flags()), version, limits])
    cache = _cache_file()
    known = _read(cache)
    if isinstance(ratio := known.get(key), float):
        return ratio
    ratio = measure() if "torch" in sys.modules else _measure_apart()
    if ratio is not None:
        with contextlib.suppress(OSError):  # a home that cannot be written: measured again
            io.write_json(cache, known | {key: ratio})
    return ratio


def measure() -> float:
    """The ratio itself, on one thread, in processor time: a busy machine changes little."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        shortest = {}
        for dtype in DTYPES:
            left = torch.ones(128, 256, dtype=getattr(torch, dtype))
            right = torch.ones(256, 256, dtype=left.dtype)
            times = []
            for _ in range(6):
                began = time.thread_time()
                left @ right
                times.append(time.thread_time() - began)
            shortest[dtype] = min(times[1:])
    finally:
        torch.set_num_threads(threads)
    return round(shortest["bfloat16"] / max(shortest["float32"], 1e-9), 3)


def _measure_apart() -> float | None:
    """`measure` in a process of its own: planning a run imports no torch."""
    command = [sys.executable, "-m", "jz3.processor"]
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=True
        )
        return float(json.loads(done.stdout)["bfloat16 over float32"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None


def _cache_file() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "jiuzhang3" / "processor.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


# ---------------------------------------------------------------- in a job


@functools.cache
def check(dtype: str) -> None:
    """Say what it costs to compute in `dtype` here: a warning, once, before a model is opened.

    Raises UserError for a type that is not known, and for bfloat16 on a GPU that has none.
    """
    import torch

    if dtype not in DTYPES:
        raise io.UserError(f'dtype: "{dtype}" is not known.{io.did_you_mean(dtype, DTYPES)}')
    if dtype != "bfloat16":
        return
    if torch.cuda.is_available():
        capability = torch.cuda.get_device_capability()
        if capability < FIRST_CAPABILITY:
            name = torch.cuda.get_device_name()
            raise io.UserError(
                f"{name} has compute capability {capability[0]}.{capability[1]}; bfloat16 needs"
                " 8.0, and float16 is not offered, since training overflows in it. Set"
                " compute.dtype to float32, or ask for another GPU."
            )
    elif (ratio := slowdown()) is not None and ratio >= SLOW:
        warn(
            f"In bfloat16 products of matrices take {ratio:.0f} times as long here as in float32;"
            " compute.dtype: auto would take float32."
        )


if __name__ == "__main__":
    print(json.dumps({"bfloat16 over float32": measure()}))
