r"""Tell LaTeX expressions apart by their numerical values, in microseconds.

An expression is evaluated with complex floats at fixed values of its variables. Values that differ
prove that two expressions do; values that agree prove nothing and are left to a symbolic
comparison. Anything this small grammar does not read for certain has no value.
"""

import cmath
import math
import random
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

_TOKEN = re.compile(
    r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|((?:\\[A-Za-z]+|[A-Za-z])(?:\s*_\s*(?:\w|\{[\w ]+\}))?)"
    r"|([-+*/^(){}\[\]!]))"
)
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    r"\sin": cmath.sin, r"\cos": cmath.cos, r"\tan": cmath.tan, r"\ln": cmath.log,
    r"\exp": cmath.exp, r"\abs": abs,
    r"\cot": lambda z: 1 / cmath.tan(z), r"\sec": lambda z: 1 / cmath.cos(z),
    r"\csc": lambda z: 1 / cmath.sin(z), r"\arcsin": cmath.asin, r"\arccos": cmath.acos,
    r"\arctan": cmath.atan, r"\sinh": cmath.sinh, r"\cosh": cmath.cosh, r"\tanh": cmath.tanh,
}  # fmt: skip
_GREEK = re.compile(
    r"\\(alpha|beta|gamma|delta|epsilon|varepsilon|theta|kappa|lambda|mu|nu|rho|sigma|tau|phi|varphi"
    r"|psi|omega|Gamma|Delta|Lambda|Omega|Phi|Psi|hbar|ell)(_|$)"
)
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\s*\{?\s*\\circ\s*\}?")
_SIGNS = {r"\cdot": "*", r"\times": "*", r"\div": "/"}
_CONSTANTS = {r"\pi": math.pi, "e": math.e, "i": 1j}
_CLOSING = {"(": ")", "{": "}", "[": "]"}
_TOLERANCE = 1e-4  # far above the rounding of any decimal that could still be meant as equal
_POINTS = 3
_LARGEST = 1e100


class _Unread(ValueError):
    """The text is outside the grammar."""


class _Reader:
    """Recursive descent over one text, at one point."""

    def __init__(self, text: str, point: int, values: Mapping[str, float] | None = None) -> None:
        self.values = values
        self.tokens: list[str] = []
        start = 0
        text = text.rstrip()
        while start < len(text):
            token = _TOKEN.match(text, start)
            if not token:
                raise _Unread(text)
            self.tokens.append(_SIGNS.get(token[0].strip(), token[0].strip()))
            start = token.end()
        self.tokens.append("")
        self.place, self.point = 0, point

    @property
    def next(self) -> str:
        return self.tokens[self.place]

    def take(self, expected: str = "") -> str:
        token = self.next
        if expected and token != expected:
            raise _Unread(token)
        self.place += 1
        return token

    def total(self) -> complex:
        value = self.product()
        while self.next in ("+", "-"):
            sign = 1 if self.take() == "+" else -1
            value += sign * self.product()
        return value

    def product(self) -> complex:
        value, divided = self.signed(), False
        while True:
            if self.next == "*":
                self.take()
                value *= self.signed()
            elif self.next == "/":
                self.take()
                value, divided = value / self.signed(), True
            elif self.next and (self.next[0].isalnum() or self.next[0] in "(\\{"):
                before, number = self.tokens[self.place - 1], self.next[0].isdigit()
                mixed = self.next == r"\frac" and before[:1].isdigit()
                # 1/2x has two readings, 2\frac12 is a mixed number, 2 3 no product
                if divided or number or mixed or self.next == "{":
                    raise _Unread(self.next)
                value *= self.power()
            else:
                return value

    def signed(self) -> complex:
        if self.next in ("+", "-"):
            return -self.signed() if self.take() == "-" else self.signed()
        return self.power()

    def power(self) -> complex:
        value = self.atom()
        if self.next == "!":
            self.take()
            if (
                self.next == "!"
                or value.imag
                or not (value.real.is_integer() and 0 <= value.real <= 170)
            ):
                raise _Unread("factorial")
            value = complex(math.factorial(int(value.real)))
        if self.next == "^":
            self.take()
            return value ** (self.argument() if self.next != "-" else self.signed())
        return value

    def argument(self) -> complex:
        """What stands in braces, or one digit or letter."""
        if self.next != "{" and len(self.next) > 1 and self.next[0] != "\\":
            raise _Unread(self.next)
        return self.atom()

    def group(self) -> complex:
        closing = _CLOSING[self.take()]
        value = self.total()
        self.take(closing)
        return value

    def atom(self) -> complex:
        if self.next in ("(", "{"):
            return self.group()
        token = self.take()
        if token in _CONSTANTS:
            return complex(_CONSTANTS[token])
        if token[:1].isdigit() or token[:1] == ".":
            return complex(float(token))
        if token[:1].isalpha() or _GREEK.match(token):
            name = re.sub(r"[\s{}]", "", token)  # a_{2} is a_2
            if self.values is None:
                return complex(random.Random(f"{name}/{self.point}").uniform(0.5, 2))
            if name not in self.values:
                raise _Unread(name)
            return complex(self.values[name])
        if token == r"\frac":
            return self.argument() / self.argument()
        if token == r"\sqrt":
            degree = self.group() if self.next == "[" else 2
            return self.argument() ** (1 / degree)
        if token in _FUNCTIONS:
            bracketed = self.next in ("(", "{")
            result = complex(_FUNCTIONS[token](self.group() if bracketed else self.atom()))
            if self.next == "^" or not (bracketed or self.next in ("", "+", "-", ")", "}")):
                raise _Unread(token)  # \sin 2x
            return result
        raise _Unread(token)


@lru_cache(maxsize=4096)
def value(text: str, point: int = 0) -> complex | None:
    """Value of a `plain` LaTeX expression at one of the fixed points; None if it has none."""
    try:
        reader = _Reader(text, point)
        result = complex(reader.total())
    except (_Unread, ArithmeticError, ValueError, IndexError, RecursionError):
        return None
    if reader.next or not abs(result) < _LARGEST:
        return None
    return result


def value_at(text: str, values: Mapping[str, float]) -> complex | None:
    """Value of a `plain` expression with these variables; None where it names another."""
    text = _DEGREES.sub(r"(\1*\\pi/180)", text)
    try:
        reader = _Reader(text, 0, values)
        result = complex(reader.total())
    except (_Unread, ArithmeticError, ValueError, IndexError, RecursionError):
        return None
    return result if not reader.next and abs(result) < _LARGEST else None


def _apart(a: complex, b: complex) -> bool:
    return abs(a - b) > _TOLERANCE * max(abs(a), abs(b))


def _difference(sides: list[str], point: int) -> complex | None:
    """Left minus right side of an equation; None where one of them has no value."""
    left, right = (value(side, point) for side in sides)
    return None if left is None or right is None else left - right


def differ(left: str, right: str) -> bool:
    """Whether two expressions, or two equations, are certainly different.

    Equations are the same if the differences of their sides are proportional.
    """
    sides = left.split("="), right.split("=")
    if [len(parts) for parts in sides] == [2, 2]:
        ratios = []
        for point in range(_POINTS):
            ours, theirs = (_difference(parts, point) for parts in sides)
            if ours is None or theirs is None or abs(theirs) < 1e-9:
                return False
            ratios.append(ours / theirs)
        return any(_apart(ratio, ratios[0]) for ratio in ratios)
    if "=" in left + right:
        return False
    for point in range(_POINTS):
        a, b = value(left, point), value(right, point)
        if a is None or b is None:
            return False
        if _apart(a, b):
            return True
    return False
