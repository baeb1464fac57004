"""A copy of the project in which a test may run the workflow, and change it."""

import copy
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PARTS = ["Snakefile", "rules", "scripts", "resources", "envs", "profiles", "slurm", "tests"]
CONFIGURATION = ["--configfile", "config.yaml", "tests/config.yaml"]


def change(config, path, value):
    """Set (or with `...` delete) a dotted path in a copy."""
    changed = copy.deepcopy(config)
    part = changed
    *way, last = path.split(".")
    for key in way:
        part = part[key]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return changed


class Project:
    """A copy of the project with its own results."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        for name in [*PARTS, *(path.name for path in ROOT.glob("config*.yaml"))]:
            source = ROOT / name
            if source.is_symlink():
                (folder / name).symlink_to(os.readlink(source))
            elif source.is_dir():
                skip = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, folder / name, ignore=skip, symlinks=True)
            else:
                shutil.copy(source, folder / name)

    def command(self, *arguments, configuration=CONFIGURATION):
        """The command line; configuration files come last, so that targets may precede them."""
        return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, *configuration]

    def run(self, *arguments, configuration=CONFIGURATION, overlay=None):
        """Run Snakemake to its end; return the completed process with its output as text."""
        if overlay:
            (self.folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
            configuration = [*configuration, "overlay.yaml"]
        return subprocess.run(
            self.command(*arguments, configuration=configuration),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start(self, *arguments, configuration=CONFIGURATION):
        """Start Snakemake as a process group of its own, to be killed whole."""
        return subprocess.Popen(
            self.command(*arguments, configuration=configuration),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def planned(self, **options):
        """Rules that a run would execute, the look at nodes before long jobs left out."""
        output = self.run("--dry-run", **options).stdout
        assert "Error" not in output, output
        return set(re.findall(r"^(?:local)?rule (\w+):$", output, flags=re.MULTILINE)) - {
            "all",
            "check_node",
            "admit_jobs",
        }

    def products(self, results="results/tests"):
        """sha256 of every data product (no logs, timings or unfinished work)."""
        found = {}
        for path in sorted((self.folder / results).rglob("*")):
            name = path.relative_to(self.folder / results).as_posix()
            if path.is_file() and not re.match(
                r"logs|timings|caches|.*state/|.*journal\.sqlite", name
            ):
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found
