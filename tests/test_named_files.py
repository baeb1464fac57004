"""Whatever file a message, a comment or a page names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Not inside a longer path (../envs/x, https://...), nor with a part to fill in.
NAMED = re.compile(
    r"(?<![\w/.@{}*-])(?:envs|docs|scripts|rules|profiles|resources|slurm)/[\w./*-]*[\w*]"
)
PLACES = (
    *("scripts/**/*.py", "rules/*.smk", "docs/*.md", "envs/*", "profiles/**/*.y*ml", "README.md"),
    *("Makefile", "Snakefile", "config*.yaml", "resources/**/*.md"),
)


@pytest.mark.parametrize("place", PLACES)
def test_files_that_are_named_exist(place):
    texts = [path for path in sorted(ROOT.glob(place)) if path.is_file()]
    assert texts
    missing = [
        f"{path.relative_to(ROOT)}:{number}: {name}"
        for path in texts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for name in NAMED.findall(line)
        if not any(ROOT.glob(name)) and not name.endswith(".sif")  # images are built
    ]
    assert not missing
