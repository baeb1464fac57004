"""Programs per CPU-second in the sandbox, beside a fresh interpreter for each.

    python tests/performance/execution.py FOLDER [--programs 1000] [--fresh 150]

FOLDER holds released/tool_pretrain_data_sampled.jsonl. The processor time is that of all processes:
ours, the servers', the programs'. The first pass loads what programs name (scipy, matplotlib with its
fonts) into both servers; the second has it. A fresh interpreter runs them unconfined. Prints
how many outputs are the same, and ends with one line of JSON.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from jz3.execution import programs  # noqa: E402
from jz3.execution.agreement import agrees  # noqa: E402
from jz3.grading.extraction import outputs  # noqa: E402
from jz3.prompts import program_of  # noqa: E402

SETTINGS = {"seconds": 10, "memory_mb": 2048, "output_characters": 4000, "workers": 2}
TICKS = os.sysconf("SC_CLK_TCK")


def sources(folder: Path, name: str) -> list[tuple[str, str]]:
    """(program, the output that its author stated) of every row with a program."""
    path = folder / "released" / f"{name}_data_sampled.jsonl"
    texts = [json.loads(line)["output"] for line in path.read_text().splitlines()]
    return [(program_of(t), "\n".join(outputs(t))) for t in texts if program_of(t)]


def used(pid: int) -> float:
    """Processor seconds of a process, of those that it waited for, and of its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    seconds = sum(map(int, fields[11:15])) / TICKS
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        seconds += sum(used(int(child)) for child in path.read_text().split())
    return seconds


NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def same(ours: str, theirs: str) -> bool:
    """Equal but for spaces, or the same numbers within 1%, or of equal value."""
    if ours.split() == theirs.split() or agrees(ours, theirs):
        return True
    numbers, stated = ([float(n) for n in NUMBER.findall(text)] for text in (ours, theirs))
    return (
        bool(numbers)
        and len(numbers) == len(stated)
        and all(
            abs(a - b) <= 0.01 * max(abs(a), abs(b)) for a, b in zip(numbers, stated, strict=True)
        )
    )


def fresh(taken: list[str]) -> tuple[float, list[str]]:
    """Processor seconds of an interpreter for each program, and what they print."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = []
    for source in taken:
        command = [sys.executable, "-P", "-s", "-B", "-c", source]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd="/")
        printed.append(done.stdout.strip())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, printed


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--programs", type=int, default=1000)
    arguments.add_argument("--fresh", type=int, default=150)
    options = arguments.parse_args()
    started = time.monotonic()
    rows = sources(options.folder, "tool_pretrain")[: options.programs]
    taken = [program for program, _ in rows]
    programs.require_protection()
    programs.run_programs(["print(1)"] * 2, SETTINGS)
    began = used(os.getpid())
    found = programs.run_programs(taken, SETTINGS)
    first = used(os.getpid()) - began
    began = used(os.getpid())
    programs.run_programs(taken, SETTINGS)
    rate = len(taken) / (used(os.getpid()) - began)
    apart, printed = fresh(taken[: options.fresh])
    equal = sum(p == f.output for p, f in zip(printed, found, strict=False))
    print(f"{equal} of {len(printed)} print the same in a fresh interpreter")
    for name in ("tool_pretrain", "finetune"):
        given = sources(options.folder, name)
        ran = found if given[: len(rows)] == rows else None
        ran = ran or programs.run_programs([program for program, _ in given], SETTINGS)
        stated = [(f, o) for f, (_, o) in zip(ran, given, strict=False)]
        agree = sum(f.status == "ok" and same(f.output, o) for f, o in stated)
        print(f"{name}: {agree} of {len(stated)} stated outputs are what is printed")
        if name == "finetune":
            for f, o in stated:
                if not (f.status == "ok" and same(f.output, o)):
                    print(f"  stated {o!r}, printed {f.output!r} {f.error}")
    result = {
        "step": "execution",
        "unit": "programs per CPU-second",
        "ours": round(rate, 1),
        "peers": {"fresh interpreter": round(len(printed) / apart, 1)},
        "first_pass": round(len(taken) / first, 1),
        "programs": len(taken),
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
