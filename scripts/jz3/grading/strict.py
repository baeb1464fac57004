"""Is an answer right? Two verdicts on every answer, and where it is found in a text.

`strict` is ours: exact arithmetic for plain numbers, structure (sets, tuples, intervals, matrices)
compared by its kind, and math-verify for the rest. `released` follows the authors' rules and their
leniencies (`released`), for comparison with the paper's numbers.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from . import kinds
from . import released as released_rules
from .exact import exact
from .extraction import extract_answer
from .numeric import differ, value_at
from .quantities import (
    FUNCTIONS,
    NUMBER_WORDS,
    Quantity,
    compact,
    plain,
    quantity,
    same_quantity,
    split_unit,
    unwrap,
    without_letter,
)
from .relations import same_numbers, says_which_numbers
from .structures import Structure, enclosed, interval, split_top, structure
from .symbolic import WORKER
from .units import known_unit, same_unit

__all__ = ["extract_answer", "grade", "released", "strict"]

_LONGEST = 600  # characters of an answer that is worth parsing; longer ones must be equal as text
_DEEPEST = 6  # nested sets and tuples; deeper ones go to the symbolic comparison whole
_NAME = (
    r"(?:(?:\\?[A-Za-z]+|\\text\s*\{[^{}]*\})(?:_\{?\w+\}?|')?"
    r"|\(\s*[A-Za-z](?:\s*,\s*[A-Za-z])+\s*\))"
)
_ASSIGNED = re.compile(
    rf"({_NAME})(\s*\(\s*[A-Za-z](?:\s*,\s*[A-Za-z])*\s*\))?\s*(?:=|\\in(?![A-Za-z]))\s*"
)
_BASED = re.compile(r"([0-9A-Za-z]+)_\{?(\d+|\\text\s*\{?\w+\}?)\}?")
_BUILDER = re.compile(
    r"\\\{\s*([A-Za-z])\s*(?:\\in\s*\\mathbb\{R\}\s*)?(?::|\||\\mid(?![A-Za-z]))(.*)\\\}"
)
_REALS = re.compile(r"\\mathbb\s*\{R\}|\\text\s*\{\s*all real numbers\s*\}|all real numbers")
_RELATION = re.compile(r"=|[<>]|\\(?:le|ge|ne)(?![A-Za-z])")


def strict(predicted: str, gold: str) -> bool:
    """Whether `predicted` is the same answer as `gold`. Never takes more than some seconds.

    Numbers: `quantities.same_number`; units and percent: `quantities.same_quantity`. Ordered
    things (points, intervals with their brackets, matrices) and unordered ones (sets, lists of
    solutions) are told apart; an equation is not its right side unless that is the value or the
    rule asked for; words must be equal but for case. Neither side may be empty.
    """
    if max(len(predicted), len(gold)) > _LONGEST:
        return predicted.split() == gold.split()
    predicted, gold = plain(predicted), plain(gold)
    return bool(predicted and gold) and same(Pair(predicted, gold))


def released(predicted: str, gold: str, *, units: bool = True) -> bool:
    """Whether the authors' grader accepts `predicted`; see `released.equal`."""
    return released_rules.equal(predicted, gold, units=units)


# ---------------------------------------------------------------- reading one side


def _simplest(text: str) -> str:
    """Take off brackets around a single expression and braces around a single element.

    The real line and a set given by an inequality become the interval they are.
    """
    text = re.sub(r"(?<=\d) to (?=\d)", ":", unwrap(text))
    if _REALS.fullmatch(text):
        return r"(-\infty,\infty)"
    built = _BUILDER.fullmatch(text)
    if built and (reading := interval(built[2].strip())) and reading[0] == built[1]:
        return reading[1]
    while True:
        whole = enclosed(text)
        if not whole or len(split_top(whole[2], ",")) > 1 or not whole[2].strip():
            return text
        text = whole[2].strip()


_NAME_OF_VALUE = re.compile(
    r"(?:\\?[A-Za-z]+(?:_\{?\w+\}?)?'*(?:\([^()=]*\))?|\|[^|=]+\||m?\s*\\angle\s*[A-Z]+"
    r"|\\overline\s*\{[A-Z]+\}|\\text\s*\{[^{}]*\}|[A-Z]{2,4}|\\(?:sin|cos|tan)\s*[A-Z])\s*(?:=|:)\s*(.+)"
)
_LINE_OR_CURVE = ("x", "y", "z", "r", "0")


def _value(text: str, other: str) -> str:
    r"""`text` without "x =" where `other` is no equation; the value that a chain comes to.

    `1+1 = 2` and `36\pi \approx 113.1` say one number in several ways.
    """
    if re.search(r"[<>]|\\(?:le|ge|ne)(?![A-Za-z])", text):
        return text
    near = split_top(text, r"\\approx(?![A-Za-z])|\\simeq(?![A-Za-z])")
    if len(near) > 1 and near[0] and _agree(near, 0.02):
        text = near[0]
    if "=" in other:
        return text
    named = _ASSIGNED.match(text)
    if named and "=" not in text[named.end() :]:
        return text[named.end() :].strip()
    sides = split_top(text, "=")
    if len(sides) > 1 and all(sides):
        if _agree(sides, 1e-9):
            return sides[-1]
        if len(sides) == 2 and _NAME_OF_VALUE.fullmatch(text):
            return sides[1]
        if quantity(sides[-1]) and not re.search(r"[A-Za-z]", sides[-2]) and len(sides) == 2:
            left = exact(split_unit(sides[0])[0])
            return text if left is not None else sides[-1]
        if (
            len(sides) > 2
            and _NAME_OF_VALUE.fullmatch(f"{sides[0]}={sides[1]}")
            and _agree(sides[1:], 1e-9)
        ):
            return sides[-1]
    return text


def _agree(sides: list[str], tolerance: float) -> bool:
    """Whether all sides have values, and these are as close."""
    values = [value_at(split_unit(side)[0], {}) for side in sides]
    first = values[0]
    if first is None or any(value is None for value in values):
        return False
    return all(
        abs(v - first) <= tolerance * max(abs(first), 1e-12) for v in values if v is not None
    )


def _words(text: str) -> str:
    """The text as words (lower case, no article or stop) if it is words; else ""."""
    bare = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text)
    if not re.fullmatch(r"[A-Za-z][\w ,.'’:\-()]*", bare):
        return ""
    runs = re.findall(r"[A-Za-z]{3,}", bare)
    if all(run.lower() in FUNCTIONS for run in runs) and bare.lower() not in ("no", "ok"):
        return ""
    bare = re.sub(r"\band\b|[^\w ]+", " ", re.sub(r"['’.]", "", bare.casefold())).strip()
    return re.sub(r"^(?:the|a|an) ", "", re.sub(r"\s+", " ", bare)).strip()


def _base(text: str) -> str:
    """A base as digits, whether it is written so or as a word."""
    word = re.sub(r"\\text\s*\{?(\w+)\}?", r"\1", text)
    return str(NUMBER_WORDS.get(word.lower(), word))


def _variables(text: str) -> set[str]:
    """Letters that stand alone."""
    return set(re.findall(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])", text))


# ---------------------------------------------------------------- the rules


class Pair(NamedTuple):
    """Two `plain` answers to compare; `depth`: in how many structures they are parts."""

    predicted: str
    gold: str
    depth: int = 0


# A rule says whether the two are the same; None: it does not apply.
Rule = Callable[[Pair], bool | None]


def spelling(pair: Pair) -> bool | None:
    """Equal text, spaces and optional braces aside."""
    return True if compact(pair.predicted) == compact(pair.gold) else None


def option(pair: Pair) -> bool | None:
    """A gold choice is met by its letter, or by its value where the gold answer gives that too."""
    gold = kinds.choice(pair.gold)
    if not gold:
        return None
    ours = kinds.choice(pair.predicted)
    if ours:
        return ours[0] == gold[0]
    return same(Pair(pair.predicted, gold[1], pair.depth + 1)) if gold[1] else None


def equation_asked(pair: Pair) -> bool | None:
    """A gold equation `y = 2x + 3` asks for the equation; `x = 5` and `f(x) = 2x` for a value."""
    named = _ASSIGNED.match(pair.gold)
    if not named or named[2]:
        return None
    if "=" not in pair.predicted and named[1].strip() not in _LINE_OR_CURVE:
        return None  # V = ... asks for the formula behind it
    given = _value(pair.gold, pair.predicted)
    if given == pair.gold or quantity(given) or structure(given):
        return None
    return False if re.search(r"(?<![\\A-Za-z])[a-hj-zA-Z](?![A-Za-z])", given) else None


def numeral_with_base(pair: Pair) -> bool | None:
    """A numeral `101_2` is met by its digits; the base may be left out, but not be another."""
    gold = _BASED.fullmatch(pair.gold)
    if not gold or not gold[1][0].isdigit():
        return None
    ours = _BASED.fullmatch(pair.predicted)
    if not ours:
        return pair.predicted == gold[1]
    return ours[1] == gold[1] and _base(ours[2]) == _base(gold[2])


def numbers(pair: Pair) -> bool | None:
    """Two numbers with or without units, compared exactly."""
    gold = quantity(pair.gold)
    if not gold:
        return None
    ours = quantity(pair.predicted) or _loosely_written(pair.predicted, gold)
    return same_quantity(ours, gold) if ours else None


def _loosely_written(text: str, gold: Quantity) -> Quantity | None:
    """A number with a unit of one letter, or with a decimal comma: where a number is expected."""
    if (place := kinds.ordinal(text)) is not None:
        return Quantity(Fraction(place), "ordinal")
    value, unit = without_letter(text)
    if value and (number := quantity(value)) and not number.unit:
        return Quantity(number.value, unit, number.digits)
    value, unit = split_unit(text)
    if gold.value.denominator == 1 and not gold.digits:
        return None
    european = re.fullmatch(r"(-?\d{1,3}(?:[. ]\d{3})*|-?\d+),(\d+)", value)
    if european and (
        len(european[2]) != 3 or re.search(r"[. ]", european[1]) or value.startswith("0")
    ):
        number = quantity(f"{re.sub('[. ]', '', european[1])}.{european[2]}")
        return Quantity(number.value, unit, number.digits) if number else None
    return None


def exact_values(pair: Pair) -> bool | None:
    """Whole numbers, fractions, powers and factorials, computed exactly; angles in radians."""
    bare = [split_unit(side)[0] for side in pair[:2]]
    ours, gold = (exact(side) for side in bare)
    if ours is not None and gold is not None:
        units = [split_unit(side)[1] for side in pair[:2]]
        return same_quantity(Quantity(ours, units[0]), Quantity(gold, units[1]))
    known = [known_unit(split_unit(side)[1]) for side in pair[:2]]
    for mine, theirs, unit in ((0, 1, known[1]), (1, 0, known[0])):
        if unit and unit[0] == "angle^1" and r"\pi" in bare[mine]:
            turned = value_at(bare[mine], {})
            degrees = value_at(bare[theirs], {})
            if turned is not None and degrees is not None:
                return abs(turned.real * 180 / math.pi - degrees.real) < 1e-6
    return None


def constants(pair: Pair) -> bool | None:
    """Numbers with roots, pi, e or i: the same where they agree to twelve digits."""
    ours, gold = value_at(pair.predicted, {}), value_at(pair.gold, {})
    if ours is None or gold is None or abs(gold) < 1e-9 or abs(ours) < 1e-9:
        return None
    if abs(ours - gold) <= 1e-12 * abs(gold):
        return True
    return None if re.search(r"\d\.\d", pair.predicted + pair.gold) else False


def vectors(pair: Pair) -> bool | None:
    """Vectors in unit vectors, and as points."""
    ours, gold = kinds.vector(pair.predicted), kinds.vector(pair.gold)
    if not ours and not gold:
        return None
    return same(Pair(ours or pair.predicted, gold or pair.gold, pair.depth + 1))


def named_values(pair: Pair) -> bool | None:
    """`x = 2, y = -3` is met by the same values of the same names, and by the point (2, -3)."""
    sides = [kinds.named_values(side) for side in pair[:2]]
    if not any(side and len(side) > 1 for side in sides):
        return None
    both = [dict(side) if side else {} for side in sides]
    if any(side and len(side) != len(names) for side, names in zip(sides, both, strict=True)):
        return None  # one name, several values
    if sides[0] and sides[1] and both[0].keys() == both[1].keys():
        return all(same(Pair(both[0][name], both[1][name], pair.depth + 1)) for name in both[1])
    indexed = any(re.search(r"_\d", name) for side in sides for name, _ in side or ())
    if indexed:
        return None
    named, other = (both[0], pair.gold) if len(both[0]) > 1 else (both[1], pair.predicted)
    whole = enclosed(other)
    parts = split_top(whole[2] if whole else other, r",|\sand\s")
    if len(parts) != len(named) or (whole and whole[0] != "(") or kinds.named_values(other):
        return None
    orders = [[named[name] for name in sorted(named)]]  # of a point's coordinates
    if not whole:
        orders.append(list(named.values()))  # of a list: as they were asked for
    return any(
        all(same(Pair(a, b, pair.depth + 1)) for a, b in zip(order, parts, strict=True))
        for order in orders
    )


def set_of_numbers(pair: Pair) -> bool | None:
    """Inequalities and intervals: the same where they hold the same numbers."""
    if not (says_which_numbers(pair.predicted) or says_which_numbers(pair.gold)):
        return None
    return same_numbers(pair.predicted, pair.gold)


def time_or_date(pair: Pair) -> bool | None:
    """Times of day and dates in any order; what one side leaves out is the question's to say."""
    times = kinds.clock(pair.predicted), kinds.clock(pair.gold)
    if times[0] and times[1]:
        return kinds.same_time(times[0], times[1])
    dates = kinds.date(pair.predicted), kinds.date(pair.gold)
    if dates[0] and dates[1]:
        years = {date[2] for date in dates if date} - {None}
        return dates[0][:2] == dates[1][:2] and len(years) < 2
    return None


def nothing(pair: Pair) -> bool | None:
    """No solution, however it is said."""
    ours, gold = kinds.nothing(pair.predicted), kinds.nothing(pair.gold)
    return ours == gold if gold or ours else None


def remainder(pair: Pair) -> bool | None:
    """Remainders by the same modulus."""
    ours, gold = kinds.remainder(pair.predicted), kinds.remainder(pair.gold)
    return ours == gold if ours and gold else None


def words(pair: Pair) -> bool | None:
    """Gold words are met by the same words; a list of them in any order."""
    named = _words(pair.gold)
    if not named:
        return None
    if named == _words(pair.predicted):
        return True
    place = kinds.ordinal(pair.gold)
    if place is not None and (ours := quantity(pair.predicted)):
        return ours.value == place
    lists = [
        [_words(part) for part in split_top(side, r",\s*(?:and|or)\s|,|\s(?:and|or)\s|;") if part]
        for side in (re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text) for text in pair[:2])
    ]
    return len(lists[1]) > 1 and all(lists[0]) and sorted(lists[0]) == sorted(lists[1])


def inequality_in_another_variable(pair: Pair) -> bool | None:
    """`x > 2` is not `y > 2`."""
    ours, gold = interval(pair.predicted), interval(pair.gold)
    return False if ours and gold and ours[0] != gold[0] else None


def parts(pair: Pair) -> bool | None:
    """Sets, points, intervals, matrices, ratios: of one kind, with the same parts."""
    ours, gold = structure(pair.predicted), structure(pair.gold)
    if not (ours or gold) or pair.depth >= _DEEPEST:
        return None
    if not (ours and gold):
        return False
    return _same_structure(ours, gold, pair.depth + 1)


def relation_on_one_side(pair: Pair) -> bool | None:
    """An equation or inequality is not an expression."""
    ours, gold = _RELATION.search(pair.predicted), _RELATION.search(pair.gold)
    return False if bool(ours) != bool(gold) else None


def units_that_differ(pair: Pair) -> bool | None:
    """Expressions with known units must have the same; they are not converted."""
    ours, gold = (split_unit(side)[1] for side in (pair.predicted, pair.gold))
    known = known_unit(ours), known_unit(gold)
    return (
        False if same_unit(ours, gold) is False or (all(known) and known[0] != known[1]) else None
    )


def words_for_a_formula(pair: Pair) -> bool | None:
    """Words are no expression (gold ones are compared before)."""
    return False if _words(pair.predicted) else None


def letters_of_another_case(pair: Pair) -> bool | None:
    """`r` is not `R`, which math-verify takes for the same."""
    ours, gold = _variables(pair.predicted), _variables(pair.gold)
    lowered = {name.lower() for name in ours} == {name.lower() for name in gold}
    return False if ours != gold and lowered else None


def algebra(pair: Pair) -> bool | None:
    """What is left: not certainly different by value, and equal to math-verify."""
    if differ(pair.predicted, pair.gold):
        return False
    return WORKER.equal("strict", pair.predicted, pair.gold)


def as_it_is(pair: Pair) -> Pair:
    """Both sides unchanged."""
    return pair


def simplest(pair: Pair) -> Pair:
    """Both sides without what encloses a single expression."""
    return pair._replace(predicted=_simplest(pair.predicted), gold=_simplest(pair.gold))


def values(pair: Pair) -> Pair:
    """Both sides without "x =", where the other is no equation."""
    predicted, gold = _value(pair.predicted, pair.gold), _value(pair.gold, pair.predicted)
    return simplest(pair._replace(predicted=predicted, gold=gold))


def intervals(pair: Pair) -> Pair:
    """An inequality as the interval that it says."""
    ours, gold = interval(pair.predicted), interval(pair.gold)
    return pair._replace(
        predicted=ours[1] if ours else pair.predicted, gold=gold[1] if gold else pair.gold
    )


def without_units(pair: Pair) -> Pair:
    """Both sides without their units."""
    return pair._replace(predicted=split_unit(pair.predicted)[0], gold=split_unit(pair.gold)[0])


# The comparison: each step rewrites both sides, then asks its rules. The first rule that applies
# decides; the last one always does.
STEPS: tuple[tuple[Callable[[Pair], Pair], tuple[Rule, ...]], ...] = (
    (as_it_is, (spelling,)),
    (simplest, (option, remainder, named_values, set_of_numbers, equation_asked)),
    (
        values,
        (
            numeral_with_base,
            time_or_date,
            numbers,
            nothing,
            exact_values,
            words,
            vectors,
            inequality_in_another_variable,
        ),
    ),
    (intervals, (parts, relation_on_one_side, units_that_differ)),
    (without_units, (words_for_a_formula, letters_of_another_case, spelling, constants, algebra)),
)


def same(pair: Pair) -> bool:
    """Compare two `plain` answers by the rules of `STEPS`."""
    for rewrite, rules in STEPS:
        pair = rewrite(pair)
        for rule in rules:
            verdict = rule(pair)
            if verdict is not None:
                return verdict
    return False


def _same_structure(ours: Structure, theirs: Structure, depth: int) -> bool:
    """Compare two structures (`theirs` is gold): kind, number of parts, parts."""
    kind, gold_kind = ours.kind, theirs.kind
    if kind == "[]" and gold_kind == "set":
        kind = "set"  # a program prints solutions as a list
    if kind == "()" and gold_kind.startswith("matrix") and gold_kind.endswith("x1"):
        kind = gold_kind  # a vector in a row
    if kind != gold_kind or len(ours.parts) != len(theirs.parts):
        return False
    if kind in ("set", "union"):
        return _pairs_off(ours.parts, theirs.parts, depth)
    paired = zip(ours.parts, theirs.parts, strict=True)
    return all(same(Pair(part, gold, depth)) for part, gold in paired)


def _pairs_off(ours: list[str], theirs: list[str], depth: int) -> bool:
    """Whether the parts are the same in some order."""
    left = list(theirs)
    for part in ours:
        match = next((gold for gold in left if same(Pair(part, gold, depth))), None)
        if match is None:
            return False
        left.remove(match)
    return not left


# ---------------------------------------------------------------- both verdicts on answers


def grade(answers: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield a row of GRADES per row of ANSWERS, and the answer that the authors' search finds.

    Each verdict uses its own search: `strict` grades `predicted`; `released` grades what the
    authors' rules extract.
    """
    known: dict[tuple[Any, ...], bool] = {}  # answers repeat

    def verdict(rule: Callable[..., bool], predicted: str, gold: str, **options: bool) -> bool:
        key = (rule, predicted, gold, *options.values())
        if key not in known:
            known[key] = rule(predicted, gold, **options)
        return known[key]

    for answer in answers:
        text, gold, choices = answer["text"], answer["gold"], answer["choices"] or []
        units = answer["benchmark"] not in released_rules.UNITLESS
        predicted = extract_answer(text, choices, answer["finish_reason"] != "length")
        theirs = released_rules.extract(text, choices)
        yield (
            {
                **{name: answer[name] for name in ("problem_id", "benchmark", "sample", "gold")},
                "predicted": predicted,
                "strict": verdict(strict, predicted, gold),
                "released": verdict(released, theirs, gold, units=units),
            },
            theirs,
        )
