"""Templates of word problems, and the arithmetic that answers them.

A template gives numbers, wordings and steps; the sentences of the solution, the Python program
and the answer are all made from the same steps, so none of them can disagree with another.
"""

import ast
import functools
import operator
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from .wording import NAMES, WORDS, article, capitalised, dollars, number, plural, spelled

_ARITHMETIC: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: lambda a, b: Fraction(a // b),
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Fraction, Fraction], bool]] = {
    ast.Lt: operator.lt,
    ast.Gt: operator.gt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_SLOT = re.compile(r"\{([^{}:.]+)(?:\.(\w+))?(?::([^{}]+))?\}")
_NAME = re.compile(r"[a-z_]+")
_ATTEMPTS = 2000


@dataclass(frozen=True)
class Template:
    """One kind of word problem.

    numbers: space-separated; `a=2..30` (any whole number), `a=0.5..4/0.25` (steps of 0.25),
        `a=2|5|10` (one of these), `a:=b*c` (computed).
    steps: pairs of an assignment over the numbers and earlier results, and a sentence in which
        `{=}` stands for "3 + 5 = 8". The last result is the answer.
    wordings: question texts. Slots: `{A}` `{B}` `{C}` people with `.he` `.his` `.him`; `{thing}`
        and `{things}` a noun of `words` and its plural; `{an:thing}` with its article; `{n}` a
        number, `{n:$}` money, `{n:thing}` or `{n:box}` a number of them.
    words: slot -> the list in `wording.WORDS` it is drawn from (no word twice in a problem).
    where: conditions on the numbers, all of which must hold.
    style: whole (any other value is drawn again) | decimal | fraction.
    largest: largest value anywhere in the problem; all are above zero, and no result is 1.
    held_out: never used for training problems.
    """

    name: str
    numbers: str
    wordings: tuple[str, ...]
    steps: tuple[tuple[str, str], ...]
    words: tuple[tuple[str, str], ...] = ()
    where: str = "1 < 2"
    style: str = "whole"
    largest: int = 150
    held_out: bool = False


@functools.cache
def _parsed(expression: str) -> ast.Expression:
    return ast.parse(expression, mode="eval")


def evaluate(expression: str, values: dict[str, Fraction]) -> Fraction:
    """Exact value of an expression in + - * / // % over named numbers.

    Raises ValueError on anything else.
    """
    return _value(_parsed(expression).body, values)


def holds(condition: str, values: dict[str, Fraction]) -> bool:
    """Whether a comparison of such expressions, or several joined by `and`, is true.

    Raises ValueError on anything else.
    """
    return _truth(_parsed(condition).body, values)


def _value(node: ast.expr, values: dict[str, Fraction]) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as constant):
            return Fraction(str(constant))
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](_value(left, values), _value(right, values))
    raise ValueError(f"cannot evaluate {ast.unparse(node)}")


def _truth(node: ast.expr, values: dict[str, Fraction]) -> bool:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            return _COMPARISONS[type(op)](_value(left, values), _value(right, values))
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_truth(part, values) for part in parts)
    raise ValueError(f"no condition: {ast.unparse(node)}")


def _draw_number(spec: str, random_: random.Random) -> Fraction:
    if "|" in spec:
        return Fraction(random_.choice(spec.split("|")))
    bounds, _, width = spec.partition("/")
    low, high = (Fraction(bound) for bound in bounds.split(".."))
    step = Fraction(width or 1)
    return low + step * random_.randint(0, int((high - low) / step))


def draw_values(template: Template, random_: random.Random) -> dict[str, Fraction]:
    """Draw the numbers and compute the results of the steps, in order.

    Raises ValueError when the template's conditions are (nearly) impossible.
    """
    for _ in range(_ATTEMPTS):
        values: dict[str, Fraction] = {}
        for spec in template.numbers.split():
            name, _, drawn = spec.partition("=")
            if name.endswith(":"):
                values[name[:-1]] = evaluate(drawn, values)
            else:
                values[name] = _draw_number(drawn, random_)
        for assignment, _sentence in template.steps:
            name, expression = assignment.split(" = ")
            values[name] = evaluate(expression, values)
        results = [values[assignment.split(" = ")[0]] for assignment, _ in template.steps]
        friendly = all(
            0 < value <= template.largest and (template.style != "whole" or value.denominator == 1)
            for value in values.values()
        )
        # no result is 1, so that sentences such as "There are 8 left." stay grammatical
        if friendly and 1 not in results and holds(template.where, values):
            return values
    raise ValueError(f"template {template.name}: no numbers satisfy its conditions")


class _Scene:
    """The people, things and numbers of one problem, and texts filled with them."""

    def __init__(self, template: Template, values: dict[str, Fraction], random_: random.Random):
        self.template, self.values = template, values
        self.people = dict(zip("ABC", random_.sample(sorted(NAMES), 3), strict=True))
        self.nouns: dict[str, str] = {}
        for slot, kind in template.words:
            free = [word for word in WORDS[kind] if word not in self.nouns.values()]
            self.nouns[slot] = random_.choice(free)
        self.in_words = random_.random() < 0.2  # small counts are often spelled in school books

    def fill(self, text: str, expression: str = "", result: str = "", spell: bool = False) -> str:
        return capitalised(
            _SLOT.sub(lambda slot: self._slot(slot, expression, result, spell), text)
        )

    def _slot(self, slot: re.Match[str], expression: str, result: str, spell: bool) -> str:
        name, form, unit = slot.groups(default="")
        if name in self.people:
            person = self.people[name]
            return (
                dict(zip(("he", "his", "him"), NAMES[person], strict=True))[form]
                if form
                else person
            )
        if name in ("an", "An"):
            text = article(self.nouns.get(unit, unit))
            return text.capitalize() if name == "An" else text
        if name in self.nouns:
            return self.nouns[name]
        if name[:-1] in self.nouns and name.endswith("s"):
            return plural(self.nouns[name[:-1]])
        if name == "=":
            return f"{self.in_digits(expression)} = {self._amount(self.values[result], unit)}"
        if name in self.values:
            return self._amount(self.values[name], unit, spell and self.in_words)
        raise ValueError(f'template {self.template.name}: unknown slot "{name}"')

    def _amount(self, value: Fraction, unit: str, spell: bool = False) -> str:
        if unit == "$":
            return dollars(value)
        as_fraction = self.template.style == "fraction"
        if not unit:
            return number(value, as_fraction)
        noun = self.nouns.get(unit, unit)
        text = spelled(value) if spell else number(value, as_fraction)
        return f"{text} {noun if value == 1 else plural(noun)}"

    def in_digits(self, expression: str) -> str:
        as_fraction = self.template.style == "fraction"
        return _NAME.sub(lambda name: number(self.values[name[0]], as_fraction), expression)


def _program(template: Template, values: dict[str, Fraction]) -> str:
    as_fraction = template.style == "fraction"
    computed = [assignment.split(" = ") for assignment, _ in template.steps]
    results = [name for name, _ in computed]
    given = dict.fromkeys(name for _, expression in computed for name in _NAME.findall(expression))
    lines = ["from fractions import Fraction", ""] if as_fraction else []
    for name in given:
        if name not in results:
            text = number(values[name])
            if as_fraction:
                value = values[name]
                text = f"Fraction({value.numerator}, {value.denominator})"
            lines.append(f"{name} = {text}")
    for name, expression in computed:
        if values[name].denominator == 1 and not as_fraction:
            expression = expression.replace(" / ", " // ")
        lines.append(f"{name} = {expression}")
    answer = results[-1]
    shown = answer
    if not as_fraction and any(values[name].denominator > 1 for name in [*given, *results]):
        # floats: no 0.30000000000000004, and 7 rather than 7.0
        shown = f"round({answer})" if values[answer].denominator == 1 else f"round({answer}, 3)"
    lines.append(f"print({shown})")
    return "\n".join(lines)


def write(template: Template, random_: random.Random) -> tuple[dict[str, str], str]:
    """Write one problem: its fields, and a key made of template and numbers.

    Two problems of one key differ in names and wording at most.
    """
    values = draw_values(template, random_)
    scene = _Scene(template, values, random_)
    question = scene.fill(random_.choice(template.wordings), spell=True)
    sentences = []
    for assignment, sentence in template.steps:
        name, expression = assignment.split(" = ")
        sentences.append(scene.fill(sentence, expression, name))
    answer = number(values[name], template.style == "fraction")
    sentences.append(f"The answer is \\boxed{{{answer}}}.")
    fields = {
        "question": question,
        "answer": answer,
        "solution": "\n".join(sentences),
        "program": _program(template, values),
        "subject": template.name,
    }
    return fields, f"{template.name} {sorted((k, str(v)) for k, v in values.items())}"
