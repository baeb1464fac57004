"""Arrows between modules point down: no circles, and no stage knows of one above it."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "scripts" / "jz3"

# From the ground up. A module imports from its own floor and from those below.
FLOORS = (
    {
        "boxes", "io", "models", "processes", "processor", "program", "prompts", "quality", "records", "templates",
        "text",
        "tokens",
    },
    {
        "benchmarks", "corpus", "distillation", "execution", "generation", "grading", "sources",
        "synthesis", "training",
    },
    {"evaluation", "influence"},
    {"tables"},
    {"report"},
    {"workflow"},  # for the rules and the programs: nothing else imports it
)  # fmt: skip
FLOOR_OF = {name: number for number, floor in enumerate(FLOORS) for name in floor}


def top(module):
    return module.split(".")[0]


def imports(path, known):
    """Modules of ours that the one at `path` imports, anywhere in it and for types only included."""
    here = path.parent.relative_to(LIBRARY).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named = [tuple(alias.name.split(".")) for alias in node.names]
            found = [parts[1:] for parts in named if parts[0] == "jz3"]
        elif isinstance(node, ast.ImportFrom):
            stem = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                stem = here[: len(here) - node.level + 1] + stem
            elif stem[0] == "jz3":
                stem = stem[1:]
            else:
                continue
            members = [(*stem, alias.name) for alias in node.names]
            found = [parts if ".".join(parts) in known else stem for parts in members]
        else:
            continue
        yield from {".".join(parts) for parts in found} - {""}


def graph():
    paths = {}
    for path in LIBRARY.rglob("*.py"):
        parts = path.relative_to(LIBRARY).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    del paths[""]  # holds nothing
    return {module: set(imports(path, paths)) for module, path in paths.items()}


def test_every_arrow_is_seen():
    arrows = graph()
    assert {made for found in arrows.values() for made in found} <= set(arrows)
    assert {"io", "training.packing"} <= arrows["influence.sample_gradients"]
    assert "generation" in arrows["generation.transformers"]  # `from . import Request`
    assert "execution.sandbox" in arrows["execution.programs"]  # `from . import sandbox`
    assert "benchmarks.word_problems" in arrows["sources.checkpoints"]  # inside a function


def test_every_module_has_a_floor():
    assert {top(module) for module in graph()} == set(FLOOR_OF)


def test_no_arrow_points_up():
    up = [
        f"{module} -> {other}"
        for module, found in graph().items()
        for other in found
        if FLOOR_OF[top(other)] > FLOOR_OF[top(module)]
    ]
    assert not up


@pytest.mark.parametrize("of", ["modules", "packages"])
def test_there_is_no_circle(of):
    arrows = graph()
    if of == "packages":
        whole = {top(module): set() for module in arrows}
        for module, found in arrows.items():
            whole[top(module)] |= {top(other) for other in found} - {top(module)}
        arrows = whole
    TopologicalSorter(arrows).prepare()  # names the circle it finds
