"""What the report says about a run as a whole: at a glance, where numbers come from, on what."""

import importlib.metadata
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..tables import costs
from ..tables.published import AVERAGE
from ..tables.score_table import NOT_RUN, OURS
from ..tables.text_table import interval, number
from ..text import short

ROOT = Path(__file__).resolve().parents[3]
SHOWN = ("snakemake", "torch", "transformers", "vllm", "pyarrow", "math-verify", "sympy")
COMPARED = ("within noise", "above", "below")


def glance(
    table_rows: Sequence[list[dict[str, str]]],
    funnels: Sequence[dict[str, Any]],
    cost: pd.DataFrame | None,
) -> list[tuple[str, str]]:
    """The run in a few figures, each with what it is: (figure, text)."""
    facts = []
    for rows in table_rows:
        ours = [row for row in rows if row["kind"] == OURS]
        column = AVERAGE if any(r["benchmark"] == AVERAGE for r in ours) else ours[0]["benchmark"]
        best = max(
            (row for row in ours if row["benchmark"] == column), key=lambda r: float(r["score"])
        )
        where = "on average" if column == AVERAGE else f"on {column}"
        text = f"{best['row']} {where}, best of table {best['table']}"
        facts.append(
            (f"{number(best['score'])} %", f"{text} {interval(best['low'], best['high'])}")
        )
    verdicts = Counter(row["verdict"] for rows in table_rows for row in rows if row["paper"])
    if compared := sum(verdicts[name] for name in COMPARED):
        text = ", ".join(f"{verdicts[name]} {name}" for name in COMPARED[1:] if verdicts[name])
        if verdicts[NOT_RUN]:
            text += f"{', ' if text else ''}{verdicts[NOT_RUN]} not run"
        met = f"{verdicts['within noise']} of {compared}"
        facts.append((met, "published scores within noise" + (f"; {text}" if text else "")))
    written = sum(funnel["written"] for funnel in funnels if "written" in funnel)
    if written:
        kept = sum(funnel["kept"] for funnel in funnels if "written" in funnel)
        facts.append((f"{kept:,}", f"synthetic problems kept, of {written:,} written"))
    if cost is not None:
        total = cost.iloc[-1]
        facts.append((short(total["tokens_trained"]), "tokens trained on, all models together"))
        if total["gpu_seconds"]:
            facts.append((number(total["gpu_seconds"] / 3600), "GPU-hours"))
        else:
            facts.append((costs.time(total["seconds"]), "of work, without a GPU"))
        if total["dollars"]:
            facts.append((f"${number(total['dollars'], digits=2)}", "paid to the teacher"))
    return facts


def evidence(sidecars: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Files behind the tables, each once: digests of the file and of the code that made it.

    name, sha256, graded (code of the grader, or of the maker), answered (code behind the answers),
    model (digest of the checkpoint), problems (digest of the test split); "" for what a file lacks.
    """
    found: dict[str, dict[str, str]] = {}
    for sidecar in sidecars:
        for name, file in sidecar["files"].items():
            answers = file.get("answers", {}).get("made_by", {})
            inputs = answers.get("inputs", {})
            row = {
                "name": name,
                "sha256": file["sha256"][:16],
                "graded": file.get("made_by", {}).get("code", "")[:16],
                "answered": answers.get("code", "")[:16],
                "model": inputs.get("model", ""),
                "problems": inputs.get("test.parquet", ""),
            }
            if not name.endswith("answers.parquet"):  # beside its grades already
                found[name] = row
    return [found[name] for name in sorted(found)]


def makers(sidecars: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Per table the code that built it and the published file beside it."""
    return [
        [
            sidecar["table"],
            sidecar["made_by"]["code"][:16],
            (sidecar.get("published") or {}).get("file", "-"),
            (sidecar.get("published") or {}).get("sha256", "-")[:16],
        ]
        for sidecar in sidecars
    ]


def fetched(records: Mapping[Path, dict[str, Any]]) -> list[list[str]]:
    """What came from the hub: entry, repository, commit, and the revision that was asked for.

    Records of what came from elsewhere are empty.
    """
    return [
        [
            f"{path.parent.name}.{path.stem}",
            record["repository"],
            record["commit"],
            "" if record["revision"] == record["commit"] else record["revision"],
            str(len(record["files"])),
        ]
        for path, record in records.items()
        if record
    ]


def arithmetic(sidecars: Sequence[dict[str, Any]]) -> str:
    """The number types that the models behind the tables answered in."""
    origins = [
        file.get("answers", {}).get("made_by", {})
        for sidecar in sidecars
        for file in sidecar["files"].values()
    ]
    return ", ".join(sorted({origin["dtype"] for origin in origins if "dtype" in origin}))


def environment(sidecars: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The machine and software that the report was made with, and the models' number type."""
    rows = [
        ["models computed in", arithmetic(sidecars)],
        ["code", _commit()],
        ["Python", platform.python_version()],
        ["system", f"{platform.system()} {platform.release()}, {platform.machine()}"],
        ["cores", str(os.cpu_count())],
    ]
    for package in SHOWN:
        try:
            rows.append([package, importlib.metadata.version(package)])
        except importlib.metadata.PackageNotFoundError:
            continue
    return [row for row in rows if row[1]]


def _commit() -> str:
    """The commit of the project, "-dirty" behind it where files differ; "" outside of git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
