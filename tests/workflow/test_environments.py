"""The conda environments: pinned, locked, resolvable, and of one mind with the local environment."""

import ast
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "envs"
SCRIPTS = ROOT / "scripts"
specification = importlib.util.spec_from_file_location("locks", ENVS / "locks.py")
locks = importlib.util.module_from_spec(specification)
specification.loader.exec_module(locks)


def versions(lines):
    """name -> version of lines like `name==1.2 ; marker`."""
    pairs = (re.split(r"==|\s*;", line)[:2] for line in lines if "==" in line)
    return {name.lower().replace("_", "-"): version.strip() for name, version in pairs}


def lock(name):
    return versions((ENVS / f"{name}.lock").read_text().splitlines())


def test_every_environment_of_the_rules_is_there_and_locked():
    used = set()
    for path in (ROOT / "rules").glob("*.smk"):
        used |= set(re.findall(r'"\.\./envs/(\w+)\.yaml"', path.read_text()))
    assert used <= set(locks.ENVIRONMENTS)
    assert {path.stem for path in ENVS.glob("*.yaml")} == set(locks.ENVIRONMENTS)


@pytest.mark.parametrize("name", locks.ENVIRONMENTS)
def test_pins_are_exact_and_in_the_lock(name):
    pins = locks.pins(name)
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", pin) for pin in pins)
    assert versions(pins).items() <= lock(name).items()


@pytest.mark.parametrize("name", locks.ENVIRONMENTS)
def test_shared_packages_have_the_local_version(name):
    local = lock("local") | versions((ENVS / "local.in").read_text().splitlines())
    ours = lock(name)
    different = {p for p in ours.keys() & local.keys() if ours[p] != local[p]}
    assert different <= locks.OWN_VERSIONS.get(name, set())


def for_types_only(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported(path, seen):
    """Packages that a program, and the modules of ours that it reaches, may import."""
    if path in seen:
        return set()
    seen.add(path)
    found = set()
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if not for_types_only(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module != "jz3":
            found.add(node.module.split(".")[0])
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "")[:3] == "jz3"):
            folder = path.parents[node.level - 1] if node.level else SCRIPTS
            folder = folder.joinpath(*(node.module or "").split("."))
            for place in [folder, *(folder / alias.name for alias in node.names)]:
                for file in (place.with_suffix(".py"), place / "__init__.py"):
                    if file.exists():
                        found |= imported(file, seen)
    return found


# Imported only where a job needs them: a local teacher's server, engines, and the base of packages.
OPTIONAL = {
    "vllm",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "tokenizers",
    "safetensors",
    "xllamacpp",
}


def test_programs_find_what_they_import():
    names = {"math_verify": "math-verify", "yaml": "pyyaml", "PIL": "pillow"}
    local = lock("local").keys()
    pairs = set()
    for path in (ROOT / "rules").glob("*.smk"):
        for body in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            environment = re.search(r"\.\./envs/(\w+)\.yaml", body)
            program = re.search(r"scripts/(?!gpus)(\w+)\.py", body)
            if environment and program:
                pairs.add((environment[1], program[1]))
    assert len(pairs) > 20
    for environment, program in sorted(pairs):
        for package in imported(SCRIPTS / f"{program}.py", set()) - OPTIONAL:
            distribution = names.get(package, package.replace("_", "-"))
            if distribution in local:
                assert distribution in lock(environment), (environment, program, package)


@pytest.mark.skipif(not shutil.which("uv"), reason="uv resolves the locks")
def test_locks_are_what_the_package_index_gives(tmp_path):
    for name in locks.ENVIRONMENTS:
        output = tmp_path / f"{name}.lock"
        shutil.copy(ENVS / output.name, output)
        try:
            locks.resolve(name, output)
        except subprocess.CalledProcessError as error:
            pytest.fail(f"{name}: {error.stderr}")
        assert output.read_text() == (ENVS / output.name).read_text()
