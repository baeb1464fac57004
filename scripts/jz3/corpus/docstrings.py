"""Docstrings of installed packages, read from their files: nothing of them is imported."""

import ast
import importlib.util
import re
import warnings
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from ..io import UserError

_PARTS_ASIDE = re.compile(
    r"(?:see also|references?|parameters|other parameters|returns|yields|raises|warns|warnings"
    r"|attributes|examples?|doctests?|usage|methods|todo):?\s*$",
    re.IGNORECASE,
)
_PART = re.compile(r"^([^\n]+)\n([=\-~^])\2{2,}[ \t]*$", re.MULTILINE)
_DOCTEST = re.compile(r"^[ \t]*>>> .*\n?(?:[ \t]*\S.*\n?)*", re.MULTILINE)
_ASIDE = {"test", "tests", "testing", "benchmarks", "conftest.py", "setup.py"}


def explanation(text: str) -> str:
    """What a docstring says about its matter, without parameters, references, code examples..."""
    headings = list(_PART.finditer(text))
    parts = [text[: headings[0].start()] if headings else text]
    for heading, following in zip_longest(headings, headings[1:]):
        if not _PARTS_ASIDE.match(heading[1].strip()):
            parts.append(text[heading.start() : following.start() if following else len(text)])
    return _DOCTEST.sub("", "".join(parts))


def docstrings(package: str) -> Iterator[tuple[str, str]]:
    """(qualified name, docstring) of what an installed package makes public.

    Tests, private names and files that this Python can not parse are passed over. Raises UserError
    where the package is not installed.
    """
    for name, tree in modules(package):
        if not any(part.startswith("_") for part in name):
            yield from _public_docstrings(tree, ".".join(name))


def modules(package: str, folder: str = "") -> Iterator[tuple[tuple[str, ...], ast.Module]]:
    """(parts of its name, syntax tree) of an installed package's modules, or of a folder in it.

    In the order of their paths; tests and files that this Python can not parse are passed over.
    Raises UserError where the package is not installed.
    """
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not (spec.submodule_search_locations or spec.has_location):
        raise UserError(
            f'reference package "{package}": not installed here (a top-level name, such as sympy).'
            " Add it to envs/ or take it out of corpus.sources.*.packages."
        )
    if spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations)))
        paths, stem = sorted((root / folder).rglob("*.py")), [package]
    else:
        root, stem = Path(str(spec.origin)).parent, []
        paths = [Path(str(spec.origin))]
    for path in paths:
        parts = path.relative_to(root).parts
        if any(part in _ASIDE or part.startswith("test_") for part in parts):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # odd escapes in other people's strings
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        yield (*stem, *(part.removesuffix(".py") for part in parts if part != "__init__.py")), tree


_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public_docstrings(node: _Documented, place: str) -> Iterator[tuple[str, str]]:
    text = ast.get_docstring(node)
    if text:
        yield place, text
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if not child.name.startswith("_"):
            yield from _public_docstrings(child, f"{place}.{child.name}")
