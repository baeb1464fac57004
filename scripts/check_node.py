"""Look at the machine that this job runs on: devices, memory, disk, software, sandbox.

Writes the findings as JSON and ends well whatever they are; `preflight` judges.
"""

import argparse
import functools
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from jz3 import io, program
from jz3.workflow import preflight, recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Run the checks of one kind of job."""
    wanted, kind = options.recipe, options.kind
    checks: list[Callable[[], Iterator[preflight.Finding]]] = [
        functools.partial(preflight.software, wanted["stack"], wanted.get("accept_versions") or ()),
        functools.partial(preflight.memory, wanted["memory_mb"]),
        functools.partial(preflight.storage, Path(wanted["results"]), wanted["disk"]),
    ]
    if kind in ("train", "vllm"):
        device = (wanted["gpus"], wanted["gpu_memory_gb"], wanted["dtype"])
        checks.append(functools.partial(preflight.devices, *device))
    if kind in ("evaluate", "vllm"):
        checks.append(functools.partial(preflight.isolation, wanted.get("accept_missing") or ()))
    found = preflight.examine(checks)
    report = {"kind": kind, "host": socket.gethostname(), "findings": found}
    io.write_json(options.output, report | {"dtype": wanted["dtype"]})


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--kind", required=True, choices=["train", "vllm", "evaluate"])
    arguments.add_argument("--output", type=Path, required=True, help="findings to write, JSON")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.CheckNode))
