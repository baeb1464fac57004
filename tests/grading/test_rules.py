"""The strict grader's rules one by one, and the readers of answers with parts."""

import pytest
from jz3.grading import strict as rules
from jz3.grading import structures
from jz3.grading.strict import STEPS, Pair

# Rule -> (predicted, gold, verdict), of `plain` text; None: the rule does not apply.
RULES = {
    "spelling": [("x + 1", "x+1", True), (r"\text{cm}", "cm", True), ("1", "2", None)],
    "option": [("(B) 5", "B", True), ("c", "C", True), ("A", "B", False), ("5", "B", None),
               ("A", "x", None), ("D", r"\text{(D)} 40", True), ("40", r"\text{(D)} 40", True),
               ("C", r"\text{(D)} 40", False), ("Option B", "B", True)],
    "equation_asked": [("2x+3", "y=2x+3", False), ("5", "x=5", None), ("2x", "f(x)=2x", None),
                       ("y=2x", "y=2x+3", None), ("1,2", "x=1,2", None)],
    "numeral_with_base": [("101", "101_2", True), ("101_{2}", r"101_{\text{two}}", True),
                          ("101_3", "101_2", False), ("110", "101_2", False), ("x", "x_1", None)],
    "numbers": [("0.5", r"\frac{1}{2}", True), (r"100\text{ cm}", r"1\text{ m}", True),
                ("3", "4", False), ("x", "4", None), ("4", "x", None)],
    "time_or_date": [("5 pm", "5:00 p.m.", True), ("5 am", "5 pm", False), ("5", "5 pm", None),
                     ("15:30", "3:30 p.m.", True), ("3:30", "3:30 p.m.", True),
                     ("3:30", "3:31", False), ("5 March", r"\text{March 5th}", True),
                     ("March 6", "5 March", False), ("March 5, 1999", "March 5", True),
                     ("March 5, 1999", "March 5, 2000", False)],
    "remainder": [(r"x \equiv 10 \pmod{7}", r"3 \pmod 7", True), ("3 mod 5", r"3 \pmod 7", False),
                  ("3", r"3 \pmod 7", None)],
    "nothing": [("There are no real solutions", r"\emptyset", True), ("none", "0", False),
                ("DNE", r"\text{does not exist}", True), ("DNE", "no solution", False),
                ("5", "7", None)],
    "exact_values": [(r"\frac{1}{2006!}", r"\frac{1}{2004!}", False), ("7!", "5040", True),
                     (r"\binom{10}{3}", "120", True), ("2^{100}", "2^{101}", False),
                     (r"\frac{\pi}{3}", r"60^\circ", True), ("x", "2", None)],
    "constants": [(r"\sqrt{2}+\sqrt{3}", r"\sqrt{5+2\sqrt{6}}", True), ("4 i+3", "3+4i", True),
                  (r"\pi", r"\pi+1", False), ("x", r"\pi", None)],
    "vectors": [("(3,-2)", r"3\mathbf{i}-2\mathbf{j}", True), ("(3,2)", r"3\hat{i}-2\hat{j}", False),
                ("(3,2)", "(3,2)", None)],
    "named_values": [("x=2, y=-3", "(2,-3)", True), ("(-3,2)", "x=2, y=-3", False),
                     ("y=-3, x=2", "x=2, y=-3", True), ("x=1,x=2", "1,2", None)],
    "set_of_numbers": [("x>3", "2x>6", True), ("|x|<1", "(-1,1)", True), ("x>3", r"x \ge 3", False),
                       (r"|a| \ge 2", r"a \le -2 \text{ or } a \ge 2", True), ("y>3", "x>3", False),
                       ("5", "7", None)],
    "words": [(r"\text{Even}", "even", True), ("odd", "even", False), ("even", "7", None)],
    "inequality_in_another_variable": [("y > 2", "x > 2", False), ("2 < x", "x > 2", None),
                                       ("(2,3)", "x > 2", None)],
    "parts": [("2, 1", r"\{1,2\}", True), ("(1,2)", "(2,1)", False), ("[1,2]", r"\{2,1\}", True),
              ("(1,2]", "(1,2)", False), ("1", "1, 2", False), ("x", "y", None),
              ("(1,2,3)", r"\begin{pmatrix}1\\2\\3\end{pmatrix}", True)],
    "relation_on_one_side": [("x+y", "x+y=0", False), ("x=y", "y=x", None)],
    "units_that_differ": [(r"2\pi\text{ m}", r"2\pi\text{ cm}", False),
                          (r"2\pi", r"2\pi\text{ cm}", None)],
    "words_for_a_formula": [("nothing at all", "x^2", False), ("x^2", "x^2", None)],
    "letters_of_another_case": [("2r", "2R", False), ("2r", "3r", None), ("2r", "2s", None)],
    "algebra": [(r"\sqrt{8}", r"2\sqrt{2}", True), ("x+1", "x+2", False)],
}  # fmt: skip
CASES = [(rule, *case) for rule, cases in RULES.items() for case in cases]


@pytest.mark.parametrize(("rule", "predicted", "gold", "verdict"), CASES)
def test_rule(rule, predicted, gold, verdict):
    assert getattr(rules, rule)(Pair(predicted, gold)) is verdict


def test_every_rule_has_its_cases_and_the_last_one_always_decides():
    listed = {rule.__name__ for _, names in STEPS for rule in names}
    assert listed == set(RULES)
    assert STEPS[-1][1][-1] is rules.algebra
    for rule in listed - {"algebra"}:
        assert None in [verdict for *_, verdict in RULES[rule]], "a rule that always applies"


def test_parts_of_parts_are_compared_to_a_depth():
    assert rules.parts(Pair("1, 2", "2, 1", depth=rules._DEEPEST)) is None


@pytest.mark.parametrize(
    ("rewrite", "predicted", "gold", "result"),
    [
        (rules.as_it_is, "(x)", "x", ("(x)", "x")),
        (rules.simplest, "(x)", r"\{5\}", ("x", "5")),
        (rules.simplest, r"\mathbb{R}", r"\{x : x > 2\}", (r"(-\infty,\infty)", r"(2,\infty)")),
        (rules.values, "x = 5", "5", ("5", "5")),
        (rules.values, "1+1 = 2", "2", ("2", "2")),
        (rules.values, "y = x", "x = y", ("y = x", "x = y")),
        (rules.intervals, r"-1 < x \le 2", "x", ("(-1,2]", "x")),
        (rules.without_units, r"2\pi\text{ cm}", "3", (r"2\pi", "3")),
    ],
)
def test_rewriting(rewrite, predicted, gold, result):
    assert rewrite(Pair(predicted, gold))[:2] == result


# Reader -> (text, kind, parts)
READERS = {
    "matrix": [(r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "matrix 2x2", ["1", "2", "3", "4"]),
               (r"\begin{vmatrix}1\end{vmatrix}", "determinant 1x1", ["1"])],
    "printed_matrix": [("[[1, 2], [3, 4]]", "matrix 2x2", ["1", "2", "3", "4"]),
                       ("Matrix([[1], [2]])", "matrix 2x1", ["1", "2"])],
    "union": [(r"(1,2)\cup (3,4)", "union", ["(1,2)", "(3,4)"])],
    "ratio": [("2:4:6", "ratio", ["1", "2", "3"])],
    "bracketed": [(r"\{1,2,2\}", "set", ["1", "2"]), ("[1,2)", "[)", ["1", "2"]),
                  ("(1,2,3)", "()", ["1", "2", "3"])],
    "solutions": [("1, 2 and 3", "set", ["1", "2", "3"]), (r"1\pm x", "set", ["1+x", "1-x"]),
                  (r"\pm 2", "set", ["2", "-2"])],
}  # fmt: skip


@pytest.mark.parametrize(
    ("reader", "text", "kind", "parts"),
    [(reader, *case) for reader, cases in READERS.items() for case in cases],
)
def test_reader(reader, text, kind, parts):
    """Alone, and as one of all."""
    assert getattr(structures, reader)(text) == (kind, parts)
    assert structures.structure(text) == (kind, parts)


def test_every_reader_has_its_texts_and_reads_no_single_expression():
    assert [reader.__name__ for reader in structures.READERS] == list(READERS)
    for reader in structures.READERS:
        for text in ("x+1", "(x+1)", "2:3", "[[1, 2], [3]]", r"\sqrt{2}"):
            if (reader, text) != (structures.bracketed, "[[1, 2], [3]]"):
                assert reader(text) is None, (reader, text)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("x > 2", ("x", r"(2,\infty)")),
        (r"2 \ge x", ("x", r"(-\infty,2]")),
        (r"3 > \theta \ge 1", (r"\theta", "[1,3)")),
        ("x < 1 or x > 2", ("x", r"(-\infty,1)\cup (2,\infty)")),
        ("x < 1 or y > 2", None),
        ("1 < x > 2", None),
        ("1 < 2", None),
        ("x", None),
    ],
)
def test_interval_of_an_inequality(text, reading):
    assert structures.interval(text) == reading
