"""The programs' doors: one shape, one way to know their name, and recipes checked before work."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jz3 import io
from jz3.program import joined
from jz3.workflow import recipes
from jz3.workflow.messages import accepts

ROOT = Path(__file__).parents[2]
# The lease of GPUs and the local server take commands, not recipes.
PROGRAMS = sorted(
    path
    for path in (ROOT / "scripts").glob("*.py")
    if path.stem not in ("gpus", "serve_gguf", "serve_vllm")
)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_all_programs_have_one_shape(path):
    tree = ast.parse(path.read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert {"main", "parser"} <= set(names)
    assert ast.get_docstring(tree)
    last = tree.body[-1]
    assert isinstance(last, ast.If)
    assert ast.unparse(last.body[0]).startswith("program.run(main, parser()")
    assert "io.provenance(" not in path.read_text()


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_checks_every_recipe_that_its_rule_gives_it(path):
    rules = "".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    [body] = re.findall(rf"^rule {path.stem}:\n((?:    .*\n|\n)+)", rules, re.MULTILINE)
    checked = "accepts(" in path.read_text()
    assert checked == ("--recipe" in body) or path.stem == "report"  # which shows any
    made = re.search(r"recipe=recipe\(\s*recipes\.(\w+)", body)
    if made:
        assert made[1] == path.stem
        told = recipes.__dict__[made[1]].__annotations__["return"].__name__
        assert f"accepts(recipes.{told})" in path.read_text()
        conduct = "resources.conduct" in body
        assert conduct == bool(re.search(rf"conduct\(\s*recipes\.{path.stem}", body))


@pytest.mark.parametrize(
    ("recipe", "line"),
    [
        ({"mode": "cot"}, "draw_prompts: --recipe: prompts: missing. Pairs of passage and level"),
        ({"mode": "cto", "prompts": 1, "shards": 1}, 'mode: "cto" is not one of cot, tool. Did'),
        ({"mode": "cot", "prompts": "1", "shards": 1}, "prompts: expected integer, found string"),
        ({"mode": "cot", "prompts": 1, "shard": 1}, 'shard: unknown key. Did you mean "shards"?'),
    ],
)
def test_a_wrong_recipe_is_one_readable_line(tmp_path, recipe, line):
    command = [sys.executable, ROOT / "scripts/draw_prompts.py", "--passages", tmp_path / "p"]
    command += ["--prompts", tmp_path, "--output", tmp_path / "o", "--recipe", json.dumps(recipe)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert line in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_conduct_is_joined_part_by_part():
    recipe = {"samples": 1, "execution": {"seconds": 5}}
    both = joined(recipe, {"execution": {"workers": 2}, "attempts": 3})
    assert both == {"samples": 1, "execution": {"seconds": 5, "workers": 2}, "attempts": 3}
    assert recipe == {"samples": 1, "execution": {"seconds": 5}}


def test_all_mistakes_of_a_recipe_are_told():
    with pytest.raises(io.UserError, match=r"^--recipe: mode: missing\. .* structured: missing\."):
        accepts(recipes.ParsePairs)({})
