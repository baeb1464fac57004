"""A digest of what a program does: its syntax tree and that of every local module it imports.

Comments, docstrings and layout do not count, so that formatting reruns nothing and a change of
behaviour reruns exactly the rules whose code it reaches. Nor does jz3/workflow: what a program
imports of it refuses a recipe or lets it pass, and changes no product.
"""

import ast
import functools
from pathlib import Path

from ..io import UserError, did_you_mean, digest


def code_version(program: Path) -> str:
    """Digest (16 hexadecimal digits) of `program` and of the local modules it reaches.

    Raises UserError if the program does not exist or does not parse.
    """
    if not program.is_file():
        hint = did_you_mean(program.name, (p.name for p in program.parent.glob("*.py")))
        raise UserError(f"{program}: no such program.{hint}")
    seen: dict[str, str] = {}
    waiting = [program.resolve()]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(program.parent.resolve()).as_posix()
        if name not in seen and not name.startswith("jz3/workflow/"):
            seen[name], imported = _read(path, program.parent.resolve())
            waiting += imported
    return digest(seen)


@functools.cache
def _read(path: Path, root: Path) -> tuple[str, tuple[Path, ...]]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}.") from None
    return digest(_shape(tree)), tuple(_imports(tree, path, root))


def _shape(node: object) -> object:
    """Nested lists of the filled fields (`ast.dump` differs between Python versions)."""
    if isinstance(node, ast.AST):
        fields = []
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list) and _documented(node):
                value = value[1:]
            if value is None or value == [] or name in ("type_comment", "kind"):
                continue
            fields.append([name, _shape(value)])
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [_shape(item) for item in node]
    return repr(node)


def _documented(node: ast.AST) -> bool:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None


def _imports(tree: ast.AST, path: Path, root: Path) -> list[Path]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            base = root
        elif isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1] if node.level else root
            stem = node.module.split(".") if node.module else []
            names = [stem, *([*stem, alias.name] for alias in node.names)]
        else:
            continue
        for parts in names:
            for depth in range(len(parts) + 1):
                folder = base.joinpath(*parts[:depth])
                if depth and folder.with_suffix(".py").is_file():
                    found.append(folder.with_suffix(".py"))
                elif (
                    folder != root and root in folder.parents and (folder / "__init__.py").is_file()
                ):
                    found.append(folder / "__init__.py")
    return found
