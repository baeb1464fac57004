"""What a program printed, read as mathematics: Python's and sympy's notation as LaTeX."""

import ast
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

_LONGEST = 600  # characters that are worth reading
_WRAPPERS = {
    "Integer", "Float", "Poly", "float64", "float32", "int64", "int32", "str_", "bool_", "Decimal",
    "complex128", "sympify",
}  # fmt: skip
_FUNCTIONS = {"sin", "cos", "tan", "log", "ln", "exp", "asin", "acos", "atan", "sinh", "cosh"}
_NAMES = {
    "pi": r"\pi", "oo": r"\infty", "inf": r"\infty", "I": "i", "j": "i", "E": "e",
    "alpha": r"\alpha", "beta": r"\beta", "theta": r"\theta", "lamda": r"\lambda",
}  # fmt: skip
_RELATIONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: r"\le", ast.Gt: ">", ast.GtE: r"\ge", ast.Eq: "=", ast.NotEq: r"\ne",
}  # fmt: skip


class _Unread(ValueError):
    """Not in this notation."""


def latex(text: str) -> str:
    """`text` as LaTeX if it is a value as Python or sympy prints it; else as it is."""
    text = text.strip()
    if len(text) > _LONGEST or "\\" in text:
        return text
    try:
        # arrays are printed without commas
        tree = ast.parse(re.sub(r"(?<=[\d.])\s+(?=-?[\d.])", ", ", text), mode="eval")
        return _read(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text


def _read(node: ast.expr) -> str:
    for kind, reader in _READERS.items():
        if isinstance(node, kind):
            return reader(node)
    raise _Unread(ast.dump(node))


def _constant(node: ast.Constant) -> str:
    value = node.value
    if isinstance(value, bool | None | bytes):
        return str(value)
    if isinstance(value, complex):
        return f"{_decimal(value.imag)}i"
    if isinstance(value, float):
        return _decimal(value)
    return str(value)


def _decimal(value: float) -> str:
    """Without an exponent, and without a point where it is a whole number."""
    if value != value or abs(value) == float("inf"):
        raise _Unread(str(value))
    written = format(Decimal(repr(value)), "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def _grouped(node: ast.expr, *loose: type[ast.AST]) -> str:
    """In brackets if it is a sum, a product or the like that would fall apart."""
    written = _read(node)
    compound = isinstance(node, ast.BinOp) and isinstance(node.op, loose)
    negative = isinstance(node, ast.UnaryOp)
    return f"({written})" if compound or negative else written


def _operation(node: ast.BinOp) -> str:
    sums: tuple[type[ast.AST], ...] = (ast.Add, ast.Sub)
    left, right = node.left, node.right
    if isinstance(node.op, ast.Add):
        return f"{_read(left)} + {_grouped(right)}"
    if isinstance(node.op, ast.Sub):
        return f"{_read(left)} - {_grouped(right, *sums)}"
    if isinstance(node.op, ast.Mult):
        if isinstance(right, ast.Name) and right.id == "I":
            return f"{_grouped(left, *sums)}i"
        first = _read(left) if isinstance(left, ast.UnaryOp) else _grouped(left, *sums)
        return f"{first} \\cdot {_grouped(right, *sums)}"
    if isinstance(node.op, ast.Div):
        if isinstance(left, ast.UnaryOp) and isinstance(left.op, ast.USub):
            return f"-\\frac{{{_read(left.operand)}}}{{{_read(right)}}}"
        return f"\\frac{{{_read(left)}}}{{{_read(right)}}}"
    if isinstance(node.op, ast.Pow):
        base = _grouped(left, *sums, ast.Mult, ast.Div, ast.Pow)
        return f"{base}^{{{_read(right)}}}"
    if isinstance(node.op, ast.BitAnd):  # sympy's "and" of two relations
        return f"{_read(left)} \\text{{ and }} {_read(right)}"
    if isinstance(node.op, ast.BitOr):
        return f"{_read(left)} \\text{{ or }} {_read(right)}"
    raise _Unread("operator")


def _signed(node: ast.UnaryOp) -> str:
    if isinstance(node.op, ast.USub):
        return f"-{_grouped(node.operand, ast.Add, ast.Sub)}"
    if isinstance(node.op, ast.UAdd):
        return _read(node.operand)
    raise _Unread("operator")


def _call(node: ast.Call) -> str:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    name = node.func.id if isinstance(node.func, ast.Name) else name
    given = node.args
    if name == "sqrt" and len(given) == 1:
        return f"\\sqrt{{{_read(given[0])}}}"
    if name == "Abs" and len(given) == 1:
        return f"|{_read(given[0])}|"
    if name in ("Fraction", "Rational") and len(given) == 2:
        return f"\\frac{{{_read(given[0])}}}{{{_read(given[1])}}}"
    if name in ("Matrix", "array", "ImmutableDenseMatrix") and given:
        return _matrix(given[0])
    if name in ("FiniteSet", "set", "frozenset"):
        return _listed(r"\{", given, r"\}")
    if name == "Interval" and len(given) == 2:
        return f"[{_read(given[0])}, {_read(given[1])}]"
    if name == "Eq" and len(given) == 2:
        return f"{_read(given[0])} = {_read(given[1])}"
    if name in _FUNCTIONS and len(given) == 1:
        written = {"log": "ln", "asin": "arcsin", "acos": "arccos", "atan": "arctan"}.get(
            name, name
        )
        return f"\\{written}({_read(given[0])})"
    if name in _WRAPPERS and given:
        inner = given[0]
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            return latex(inner.value)
        return _read(inner)
    raise _Unread(name)


def _matrix(node: ast.expr) -> str:
    if not isinstance(node, ast.List):
        raise _Unread("matrix")
    rows = [row.elts if isinstance(row, ast.List) else [row] for row in node.elts]
    cells = (" & ".join(_read(cell) for cell in row) for row in rows)
    return "\\begin{pmatrix} " + r" \\ ".join(cells) + " \\end{pmatrix}"


def _listed(left: str, nodes: Sequence[ast.expr], right: str) -> str:
    return left + ", ".join(_read(node) for node in nodes) + right


def _list(node: ast.List) -> str:
    if node.elts and all(isinstance(row, ast.List) for row in node.elts):
        return _matrix(node)
    return _listed("[", node.elts, "]")


def _relation(node: ast.Compare) -> str:
    parts = [_read(node.left)]
    for relation, right in zip(node.ops, node.comparators, strict=True):
        if type(relation) not in _RELATIONS:
            raise _Unread("relation")
        parts += [_RELATIONS[type(relation)], _read(right)]
    return " ".join(parts)


_READERS: dict[type[ast.expr], Callable[[Any], str]] = {
    ast.Constant: _constant,
    ast.Name: lambda node: _NAMES.get(node.id, node.id),
    ast.BinOp: _operation,
    ast.UnaryOp: _signed,
    ast.Call: _call,
    ast.List: _list,
    ast.Tuple: lambda node: _listed("(", node.elts, ")"),
    ast.Set: lambda node: _listed(r"\{", node.elts, r"\}"),
    # {x: 2, y: -3}, as sympy's solve gives a point
    ast.Dict: lambda node: _listed("(", node.values, ")"),
    ast.Compare: _relation,
}
