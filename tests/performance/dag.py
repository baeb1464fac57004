"""Time and memory of planning the paper's run with more and more synthesis shards.

    python tests/performance/dag.py

Ends with one line of JSON: seconds and peak megabytes of `snakemake --dry-run` by number of jobs.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
SHARDS = (1, 1_000, 10_000)


def plan(shards: int, folder: Path) -> dict[str, float]:
    """Dry-run the paper's configuration with `shards` shards in its CoT corpus."""
    config = yaml.safe_load((ROOT / "config.paper.yaml").read_text())
    config["corpora"]["cot"]["shards"] = shards
    config["corpora"]["tool"]["shards"] = 1
    config["results"] = str(folder / "results")
    path = folder / f"{shards}.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--configfile"]
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, str(path)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(output[-2000:])
    return {
        "jobs": int(re.search(r"^total\s+(\d+)", output, flags=re.MULTILINE)[1]),
        "seconds": round(time.monotonic() - began, 1),
        "megabytes": round(usage.ru_maxrss / 1024),
    }


def main() -> None:
    """Measure each size."""
    with tempfile.TemporaryDirectory() as folder:
        measured = [plan(shards, Path(folder)) for shards in SHARDS]
    for row in measured:
        print(f"{row['jobs']:>7,} jobs  {row['seconds']:>6} s  {row['megabytes']:>5} MB")
    print(json.dumps({"step": "dag", "unit": "seconds", "ours": measured}))


if __name__ == "__main__":
    main()
