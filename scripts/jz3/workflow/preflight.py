"""What must hold on a machine before long jobs are sent there, found out by trying.

Each check returns findings: a name, a state (ok | warn | fail) and what was found, with what to do.
"""

import fcntl
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .. import processor
from ..execution import programs
from . import environments, revisions, workload
from .experiment import Experiment

STATES = ("ok", "warn", "fail")
HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    state: str
    text: str


def ok(name: str, text: str) -> Finding:
    """A check that passed."""
    return Finding(name, "ok", text)


def judged(name: str, good: bool, text: str, advice: str, bad: str = "fail") -> Finding:
    """`ok` with what was found, or `bad` with that and what to do."""
    return ok(name, text) if good else Finding(name, bad, f"{text}. {advice}")


def examine(checks: Sequence[Callable[[], Iterator[Finding]]]) -> list[dict[str, str]]:
    """All findings as plain values; a check that breaks is a finding itself."""
    found: list[Finding] = []
    for check in checks:
        try:
            found += check()
        except Exception as error:
            found.append(
                Finding(
                    getattr(check, "func", check).__name__,
                    "fail",
                    f"{type(error).__name__}: {error}",
                )
            )
    return [asdict(finding) for finding in found]


def lines(report: dict[str, Any]) -> list[str]:
    """A machine's report as text: {"kind", "host", "findings": what `examine` found}."""
    return [
        f"{report['kind']} ({report['host']})",
        *(
            f"  {found['state']:4}  {found['name']}: {found['text']}"
            for found in report["findings"]
        ),
    ]


def failures(report: dict[str, Any]) -> list[str]:
    """What a report says would make jobs fail."""
    return [f"{f['name']}: {f['text']}" for f in report["findings"] if f["state"] == "fail"]


# ---------------------------------------------------------------- any machine


def software(stack: str, accepted: Sequence[str] = ()) -> Iterator[Finding]:
    """The packages of this kind of job against the stack's lock; see `compute.accept_versions`.

    What our code asks for itself must have the lock's version: others were not tried with it.
    """
    stack = environments.installed(stack)
    named = environments.named(stack)
    different = environments.differences(stack)
    for found in different:
        if found.package in named:
            yield Finding(
                "software",
                "warn" if found.package in accepted else "fail",
                f"{found} in {sys.prefix}. `make environments` installs envs/{stack}.lock;"
                " compute.accept_versions lets another version pass.",
            )
    if others := [str(found) for found in different if found.package not in named]:
        text = ", ".join(others[:5]) + (", ..." if others[5:] else "")
        yield Finding("software", "warn", f"{len(others)} packages differ from the lock: {text}")
    wrong = {found.package for found in different}
    right = [f"{name} {version}" for name, version in named.items() if name not in wrong]
    yield ok("software", f"{stack} in {sys.prefix}: {', '.join(right)}")


def memory(wanted_mb: int) -> Iterator[Finding]:
    """Host memory that this job may use, against what such jobs ask for."""
    found = _available_mb()
    yield judged(
        "memory",
        found >= 0.9 * wanted_mb,
        f"{found:,} MB available, {wanted_mb:,} MB asked for",
        "Give the job more, or correct `sizing`.",
        bad="warn",
    )


def _available_mb() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    limits = [kilobytes["MemAvailable"] // 1024]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if Path(path).exists() and (text := Path(path).read_text().strip()).isdigit():
            limits.append(int(text) >> 20)
    return min(limits)


def devices(gpus: int, memory_gb: float, dtype: str) -> Iterator[Finding]:
    """GPUs that the job sees, against what it asked for."""
    import torch

    if not gpus:
        yield ok("devices", f"no GPU asked for; {len(os.sched_getaffinity(0))} cores")
        yield judged(
            "arithmetic",
            dtype == "float32" or processor.has_bfloat16(),
            processor.explain(dtype),
            "compute.dtype: auto would take float32 here.",
            bad="warn",
        )
        return
    count = torch.cuda.device_count()
    advice = f"{_driver(torch.version.cuda)} Or is the partition without GPUs?"
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    seen = f"{count} GPUs seen, {gpus} asked for, CUDA_VISIBLE_DEVICES={given}"
    yield judged("devices", count >= gpus, seen, advice)
    for number in range(count):
        properties = torch.cuda.get_device_properties(number)
        gigabytes = properties.total_memory / 1e9
        yield judged(
            f"device {number}",
            gigabytes >= 0.95 * memory_gb,
            f"{properties.name}, {gigabytes:.0f} GB",
            f"`sizing.gpu_memory_gb` says {memory_gb:g}.",
        )
        if dtype == "bfloat16":
            yield judged(
                f"arithmetic {number}",
                (properties.major, properties.minor) >= processor.FIRST_CAPABILITY,
                f"bfloat16, compute capability {properties.major}.{properties.minor}",
                "bfloat16 needs 8.0: set compute.dtype to float32, or ask for another GPU.",
            )


def _driver(needed: str | None) -> str:
    """What may be wrong between torch and the driver, in a sentence."""
    if needed is None:
        return "This torch is a CPU build: `make environments` installs the one for GPUs."
    runs = environments.driver_cuda()
    if runs is None:
        return "There is no NVIDIA driver."
    text = f"torch was built for CUDA {needed}, the driver runs {runs[0]}.{runs[1]} at most"
    old = runs[0] < int(needed.split(".")[0])
    return f"{text}: it is too old." if old else f"{text}."


def storage(results: Path, wanted: float) -> Iterator[Finding]:
    """The results folder: space, and what finished work relies on (renaming, locks)."""
    results.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(results).free
    held = sum(path.stat().st_size for path in results.rglob("*") if path.is_file())
    yield judged(
        "space",
        free + held >= wanted,
        f"{free / 1e9:,.0f} GB free in {results}, {held / 1e9:,.1f} GB of about"
        f" {wanted / 1e9:,.1f} GB made",
        "Put `results` where there is more.",
    )
    with tempfile.NamedTemporaryFile(dir=results, prefix=".check.") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_UN)  # on NFS both kinds are one lock
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        moved = Path(f"{file.name}.moved")
        os.replace(file.name, moved)
        os.replace(moved, file.name)
    yield ok("storage", f"{results} can be written, renamed in and locked")
    scratch = shutil.disk_usage(tempfile.gettempdir()).free
    yield judged(
        "temporary space",
        scratch >= 1e9,
        f"{scratch / 1e9:,.1f} GB free in {tempfile.gettempdir()}",
        "Set TMPDIR to a folder with more.",
        bad="warn",
    )


def isolation(accepted: Sequence[str]) -> Iterator[Finding]:
    """What confines model-written programs here; `accepted`: `execution.accept_missing`."""
    missing = programs.missing_protections()
    for name in programs.PROTECTIONS:
        yield judged(
            f"sandbox: {name}",
            name not in missing,
            missing.get(name, "holds"),
            "Accepted by execution.accept_missing."
            if name in accepted
            else "Programs are not run here, unless execution.accept_missing names it.",
            bad="warn" if name in accepted else "fail",
        )


# ---------------------------------------------------------------- where Snakemake runs


def secrets(experiment: Experiment) -> Iterator[Finding]:
    """Tokens that the run will ask for; their values are not read."""
    hub = [name for name, entry in experiment.checkpoints.items() if entry.kind == "hub"]
    if hub or experiment.datasets:
        yield judged(
            "HF_TOKEN",
            bool(os.environ.get("HF_TOKEN")),
            "is set" if os.environ.get("HF_TOKEN") else "is not set",
            "Gated models and datasets cannot be fetched without it.",
            bad="warn",
        )
    if experiment.teacher.base_url:
        yield judged(
            "OPENAI_API_KEY",
            bool(os.environ.get("OPENAI_API_KEY")),
            "is set" if os.environ.get("OPENAI_API_KEY") else "is not set",
            f"{experiment.teacher.base_url} will ask for it.",
        )


def pinned(experiment: Experiment) -> Iterator[Finding]:
    """Whether hub revisions are commits, or moving ones are accepted in words."""
    found = revisions.moving(experiment)
    accepted = experiment.accept_moving_revisions
    advice = "Accepted by accept_moving_revisions." if accepted else revisions.ADVICE
    text = f"{len(found)} may move: {', '.join(found)}" if found else "all are commits"
    yield judged("hub revisions", not found, text, advice, bad="warn" if accepted else "fail")


def cached(experiment: Experiment, results: Path) -> Iterator[Finding]:
    """What is already fetched, and whether the places of the rest can be reached."""
    folder = results / "sources"
    wanted = [
        *(folder / "models" / name for name in experiment.checkpoints),
        *(folder / "datasets" / f"{name}.parquet" for name in experiment.datasets),
        *(folder / "files" / name for name in experiment.sources),
    ]
    absent = [path.name for path in wanted if not path.exists()]
    yield ok("fetched", f"{len(wanted) - len(absent)} of {len(wanted)} models, datasets and files")
    if absent:
        for address in sorted(_hosts(experiment)):
            yield judged(
                "network",
                _reachable(address),
                address,
                "It cannot be reached from here, and is one of the places to fetch from.",
                bad="warn",
            )


def _hosts(experiment: Experiment) -> set[str]:
    hub = os.environ.get("HF_ENDPOINT", HUB)
    found = set()
    if experiment.datasets or any(e.kind == "hub" for e in experiment.checkpoints.values()):
        found.add(hub)
    for entry in experiment.sources.values():
        for place in entry.places:
            parts = urlsplit(place)
            if parts.scheme == "https":
                found.add(f"https://{parts.netloc}")
            elif parts.scheme == "hf":
                found.add(hub)
    if experiment.teacher.base_url:
        parts = urlsplit(experiment.teacher.base_url)
        found.add(f"{parts.scheme}://{parts.netloc}")
    return found


def _reachable(address: str) -> bool:
    parts = urlsplit(address)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((parts.hostname, port), timeout=3).close()
    except OSError:
        return False
    return True


def budget(experiment: Experiment) -> Iterator[Finding]:
    """The teacher's expected cost against its budget."""
    dollars = sum(work.dollars for work in workload.plan(experiment).values())
    allowed = experiment.teacher.budget_dollars
    yield judged(
        "budget",
        dollars <= allowed,
        f"teacher: about {dollars:,.0f} dollars, {allowed:,.0f} allowed",
        "Raise teacher.budget_dollars or ask for fewer passages.",
    )
