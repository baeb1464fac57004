"""Resolve the pip part of each conda environment into its lock: `python envs/locks.py [folder]`.

Packages that an environment shares with local.lock get the same version, but for what vLLM forbids.
Locks are written beside the environments, or into `folder`.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).parent
ENVIRONMENTS = ("workflow", "data", "train", "vllm", "evaluate")
# vLLM 0.32 asks for transformers < 5.20 and setuptools < 81; its mistral-common for numpy < 2.4 on
# Python 3.12. Its jobs exchange nothing with others but Parquet files and plain checkpoints.
OWN_VERSIONS = {"vllm": {"transformers", "setuptools", "numpy"}}


def pins(name: str) -> list[str]:
    """What an environment installs with pip."""
    parts = yaml.safe_load((HERE / f"{name}.yaml").read_text())["dependencies"]
    return next(part["pip"] for part in parts if isinstance(part, dict))


def constraints(name: str) -> list[str]:
    """Versions of local.lock that hold for an environment too."""
    lines = (HERE / "local.lock").read_text().splitlines()
    own = OWN_VERSIONS.get(name, set())
    return [line for line in lines if line.split("==")[0] not in own]


def resolve(name: str, output: Path) -> None:
    """Write a lock; versions that `output` holds already are kept where they still fit.

    Raises CalledProcessError where the pins cannot be met from the package index.
    """
    with tempfile.TemporaryDirectory() as folder:
        wanted, held = Path(folder, "wanted.in"), Path(folder, "held.txt")
        wanted.write_text("\n".join(pins(name)) + "\n")
        held.write_text("\n".join(constraints(name)) + "\n")
        command = ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
        command += ["--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_28"]
        command += ["--constraint", held, "--output-file", output, wanted]
        subprocess.run(command, check=True, capture_output=True, text=True)


def main() -> None:
    """Resolve all."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name in ENVIRONMENTS:
        output = folder / f"{name}.lock"
        if folder != HERE:
            shutil.copy(HERE / output.name, output)
        try:
            resolve(name, output)
        except subprocess.CalledProcessError as error:
            sys.exit(f"locks: envs/{name}.yaml cannot be resolved.\n{error.stderr}")


if __name__ == "__main__":
    main()
