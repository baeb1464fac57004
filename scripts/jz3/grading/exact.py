r"""Exact values of expressions without variables: whole numbers, fractions, powers, factorials.

Where both sides have one, they are the same exactly if the values are: 1/2004! is not 1/2006!.
"""

import math
import re
from fractions import Fraction

_TOKEN = re.compile(
    r"\s*(\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+|\\[A-Za-z]+|[-+*/^(){}\[\]!])"
)
_DIGITS = 40_000  # bits of a value; beyond, there is none


class _Unread(ValueError):
    pass


class _Reader:
    """Recursive descent, all values fractions."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        place, text = 0, text.rstrip()
        while place < len(text):
            token = _TOKEN.match(text, place)
            if not token:
                raise _Unread(text)
            self.tokens.append(
                {r"\cdot": "*", r"\times": "*", r"\div": "/"}.get(token[1], token[1])
            )
            place = token.end()
        self.tokens.append("")
        self.at = 0

    @property
    def next(self) -> str:
        return self.tokens[self.at]

    def take(self, expected: str = "") -> str:
        token = self.next
        if expected and token != expected:
            raise _Unread(token)
        self.at += 1
        return token

    def total(self) -> Fraction:
        value = self.product()
        while self.next in ("+", "-"):
            value += self.product() if self.take() == "+" else -self.product()
        return _small(value)

    def product(self) -> Fraction:
        value = self.signed()
        while self.next and (self.next in "*/({" or self.next in (r"\frac", r"\binom")):
            if self.next in ("*", "/"):
                value = value * self.signed() if self.take() == "*" else value / self.signed()
            elif self.next in (r"\frac",) and value.denominator == 1 and self.at:
                raise _Unread("a mixed number")
            else:
                value *= self.power()
        return _small(value)

    def signed(self) -> Fraction:
        if self.next in ("+", "-"):
            return -self.signed() if self.take() == "-" else self.signed()
        return self.power()

    def power(self) -> Fraction:
        value = self.atom()
        while self.next == "!":
            self.take()
            if value.denominator != 1 or not 0 <= value <= 3000 or self.next == "!":
                raise _Unread("factorial")
            value = Fraction(math.factorial(int(value)))
        if self.next == "^":
            self.take()
            exponent = self.signed() if self.next == "-" else self.atom()
            if exponent.denominator != 1 or (
                abs(exponent) * max(abs(value.numerator), value.denominator).bit_length() > _DIGITS
            ):
                raise _Unread("power")
            value = value ** int(exponent)
        return _small(value)

    def group(self) -> Fraction:
        closing = {"(": ")", "{": "}", "[": "]"}[self.take()]
        value = self.total()
        self.take(closing)
        return value

    def argument(self) -> Fraction:
        if self.next not in ("{", "("):
            raise _Unread(self.next)
        return self.group()

    def atom(self) -> Fraction:
        if self.next in ("(", "{", "["):
            return self.group()
        token = self.take()
        if token == r"\frac":
            return self.argument() / self.argument()
        if token == r"\binom":
            upper, lower = self.argument(), self.argument()
            if upper.denominator != 1 or lower.denominator != 1 or not 0 <= lower <= upper <= 3000:
                raise _Unread("binomial")
            return Fraction(math.comb(int(upper), int(lower)))
        if token[:1].isdigit() or token[:1] == ".":
            return Fraction(token.replace(",", ""))
        raise _Unread(token)


def _small(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _DIGITS:
        raise _Unread("too large")
    return value


def exact(text: str) -> Fraction | None:
    """The exact value of `plain` text without variables; None if it has none, or is too large."""
    if len(text) > 300 or not re.search(r"\d", text):
        return None
    try:
        reader = _Reader(text)
        value = reader.total()
    except (_Unread, ArithmeticError, ValueError, IndexError, RecursionError, KeyError):
        return None
    return None if reader.next else value
