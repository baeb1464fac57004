"""Word problems: computed answers, true equations, disjoint splits, correct grammar."""

import contextlib
import io as text_io
import re
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jz3.benchmarks import word_problems
from jz3.benchmarks.word_problems import TEMPLATES, engine, generate
from jz3.benchmarks.word_problems.wording import article, capitalised, dollars, number, plural
from jz3.io import UserError

HELD_OUT = {template.name for template in TEMPLATES if template.held_out}


@pytest.fixture(scope="module")
def problems():
    return generate("train", 400, 3) + generate("test", 200, 3)


def printed(program: str) -> str:
    out = text_io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(program, {})  # our own text
    return out.getvalue().strip()


def test_programs_print_the_answers(problems):
    wrong = [p for p in problems if printed(p["program"]) != p["answer"]]
    assert not wrong


EQUATION = re.compile(r"((?:[\d./]+ [-+*/] )+[\d./]+) = \$?(\d+(?:[./]\d+)?)")


def test_every_equation_of_every_solution_is_true(problems):
    for problem in problems:
        equations = EQUATION.findall(problem["solution"])
        assert equations, problem
        for left, right in equations:
            terms = re.sub(
                r"[\d./]+(?= |$)", lambda n: f"Fraction('{n[0]}')" * (n[0] != "/") or "/", left
            )
            assert eval(terms, {"Fraction": Fraction}) == Fraction(right), problem["solution"]
        assert Fraction(equations[-1][1]) == Fraction(problem["answer"]), problem


def test_solutions_end_with_the_boxed_answer(problems):
    for problem in problems:
        assert problem["solution"].endswith(f"\nThe answer is \\boxed{{{problem['answer']}}}.")
        assert problem["question"][-1] == "?" or problem["question"].endswith("Give a fraction.")


def test_texts_are_clean(problems):
    for problem in problems:
        text = problem["question"] + problem["solution"].rsplit("\n", 1)[0]
        assert not re.search(r"[{}]|  | 1 \w+s\b(?<!1 lens)(?! more)", problem["question"]), text
        assert not re.search(r"\ba [aeio]\w|\ban (?!hour)[^aeiou]", text), text
        assert text[0].isupper() or text[0].isdigit()
        assert not re.search(r"[.?] [a-z]", problem["question"]), text
        assert len(problem["question"]) < 260


def test_numbers_are_friendly(problems):
    numbers = [float(n) for p in problems for n in re.findall(r"\d+(?:\.\d+)?", p["question"])]
    assert sum(n < 100 for n in numbers) > 0.95 * len(numbers)
    assert max(numbers) <= 250
    assert any("/" in p["answer"] for p in problems)
    assert any("." in p["answer"] for p in problems)


def test_there_are_many_templates_of_one_to_three_steps():
    assert len({template.name for template in TEMPLATES}) == len(TEMPLATES) >= 48
    steps = Counter(len(template.steps) for template in TEMPLATES)
    assert set(steps) == {1, 2, 3}
    assert steps[3] < steps[1]
    assert sum(len(template.wordings) > 1 for template in TEMPLATES) >= len(TEMPLATES) - 4


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_every_wording_of_every_template_can_be_written(template):
    questions = set()
    for number_ in range(12):
        fields, _ = engine.write(template, word_problems.rng(number_, template.name))
        questions.add(fields["question"])
        assert printed(fields["program"]) == fields["answer"]
    assert len(questions) > 6


def test_splits_have_no_problem_in_common_whatever_the_seeds():
    train = generate("train", 300, 1)
    test = generate("test", 150, 2)
    assert not {p["question"] for p in train} & {p["question"] for p in test}
    ordered = {(p["subject"], p["program"]) for p in train}
    assert not ordered & {(p["subject"], p["program"]) for p in test}
    assert len({p["question"] for p in train}) == 300


def test_a_quarter_of_the_test_problems_has_templates_unseen_in_training():
    train, test = generate("train", 300, 5), generate("test", 100, 5)
    assert not HELD_OUT & {p["subject"] for p in train}
    assert sum(p["subject"] in HELD_OUT for p in test) == 25


def test_templates_occur_about_equally_often():
    counts = Counter(p["subject"] for p in generate("train", 240, 17))
    assert len(counts) == len(TEMPLATES) - len(HELD_OUT)
    assert max(counts.values()) - min(counts.values()) <= 1


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30))
def test_fewer_problems_are_the_first_of_more(seed, some, further):
    more = generate("test", some + further, seed)
    assert generate("test", some, seed) == more[:some]


def test_golden_problem_by_hand():
    template = engine.Template(
        "golden",
        "boxes=4..4 each=6..6 lost=5..5",
        ("{A} fills {boxes:box} with {each:egg} each and loses {lost}. What is left?",),
        (("full = boxes * each", "There are {=:egg}."), ("left = full - lost", "Left: {=}.")),
    )
    fields, _ = engine.write(template, word_problems.rng(1))
    assert fields["answer"] == "19"
    assert fields["solution"] == (
        "There are 4 * 6 = 24 eggs.\nLeft: 24 - 5 = 19.\nThe answer is \\boxed{19}."
    )
    assert fields["program"] == (
        "boxes = 4\neach = 6\nlost = 5\nfull = boxes * each\nleft = full - lost\nprint(left)"
    )
    assert re.fullmatch(
        r"[A-Z]\w+ fills (4|four) boxes with (6|six) eggs each and loses 5\. What is left\?",
        fields["question"],
    )


def test_impossible_template_is_an_error():
    template = engine.Template("never", "a=2..5", ("?",), (("b = a + 1", "."),), where="b < a")
    with pytest.raises(ValueError, match="never: no numbers"):
        engine.write(template, word_problems.rng(1))


@pytest.mark.parametrize("expression", ["a ** 2", "f(a)", "a.real", "unknown + 1", "'x'"])
def test_only_arithmetic_is_evaluated(expression):
    with pytest.raises(ValueError, match="cannot evaluate"):
        engine.evaluate(expression, {"a": Fraction(2)})


@pytest.mark.parametrize(
    ("condition", "true"),
    [("a < 3", True), ("a < 3 and a != 2", False), ("a + 1 == 3", True), ("a <= 1", False)],
)
def test_conditions(condition, true):
    assert engine.holds(condition, {"a": Fraction(2)}) is true


@pytest.mark.parametrize("expression", ["a", "a or a", "1 < a < 3", "a < 3 and a"])
def test_what_is_no_condition_is_refused(expression):
    with pytest.raises(ValueError, match="no condition"):
        engine.holds(expression, {"a": Fraction(2)})


@pytest.mark.parametrize(
    ("noun", "many"),
    [
        ("box", "boxes"), ("daisy", "daisies"), ("day", "days"), ("child", "children"),
        ("sheep", "sheep"), ("toy car", "toy cars"), ("peach", "peaches"), ("bus", "buses"),
        ("foot", "feet"), ("mango", "mangoes"),
    ],
)  # fmt: skip
def test_plurals(noun, many):
    assert plural(noun) == many


def test_numbers_as_text():
    assert [number(Fraction(n)) for n in ("8", "2.5", "0.25", "1/3")] == ["8", "2.5", "0.25", "1/3"]
    assert number(Fraction(1, 4), as_fraction=True) == "1/4"
    assert (dollars(Fraction(3)), dollars(Fraction("2.5"))) == ("$3", "$2.50")
    assert (article("apple"), article("pear")) == ("an apple", "a pear")
    assert capitalised("six pay 2.5 each. two leave. ok") == "Six pay 2.5 each. Two leave. Ok"


def test_unknown_split_and_too_many_problems():
    with pytest.raises(UserError, match=r'unknown split "tests".*Did you mean "test"'):
        generate("tests", 3, 0)


def test_exhaustion_is_an_error(monkeypatch):
    small = engine.Template("small", "a=2..3", ("{a}?",), (("b = a + 1", "{=}."),))
    monkeypatch.setattr(word_problems, "TEMPLATES", (small,))
    with pytest.raises(UserError, match="no further distinct problem"):
        generate("train", 50, 0)
