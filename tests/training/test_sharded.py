"""Training shared by several processes (FSDP), on processors: what GPUs would do, but for speed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jz3 import io

PROGRAM = Path(__file__).with_name("sharded.py")


def run(folder, processes, *arguments):
    folder.mkdir()
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={processes}"]
    command += [PROGRAM, folder, *arguments]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return [line["loss"] for line in io.read_json_lines(folder / "history.jsonl")]


@pytest.mark.parametrize(
    ("processes", "dtype", "kind"),
    [(2, "float32", "mixtral"), (2, "bfloat16", "llama"),
     pytest.param(2, "float32", "llama", marks=pytest.mark.slow),
     pytest.param(4, "float32", "llama", marks=pytest.mark.slow)],
)  # fmt: skip
def test_losses_are_those_of_one_process(tmp_path, processes, dtype, kind):
    alone = run(tmp_path / "alone", 1, dtype, kind)
    shared = run(tmp_path / "shared", processes, dtype, kind)
    assert len(alone) == 12
    assert shared == pytest.approx(
        alone, abs=1e-6 if dtype == "float32" else 0.02
    )  # rounds weights
    # Each holds its share of weights, gradients (after a micro batch that ends no update) and
    # moments, no more; gradients are added up in float32.
    held = [
        json.loads((tmp_path / f"shared/rank{rank}.json").read_text()) for rank in range(processes)
    ]
    for what in ("weights", "gradients", "moments"):
        assert sum(one[what] for one in held) == held[0]["whole"], what
        assert max(one[what] for one in held) <= 1.2 * held[0]["whole"] / processes, what
    assert [one["kinds"] for one in held] == [["torch.float32"]] * processes
