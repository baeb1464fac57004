"""Is an answer right? Two verdicts on every answer, and where it is found in a text.

`strict` is ours: exact arithmetic for plain numbers, structure (sets, tuples, intervals, matrices)
compared by its kind, and math-verify for the rest. `released` follows the authors' rules and their
leniencies (`released`), for comparison with the paper's numbers.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from . import released as released_rules
from .extraction import extract_answer
from .numeric import differ
from .quantities import (
    FUNCTIONS,
    NUMBER_WORDS,
    compact,
    known_unit,
    plain,
    quantity,
    same_quantity,
    split_unit,
    unwrap,
)
from .symbolic import WORKER

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
_CLOCK = re.compile(r"(\d{1,2})(?::(\d\d))?\s*([ap])\.?\s?m\.?", re.I)
_MATRIX = re.compile(r"\\begin\{([pbBvV]?matrix|array)\}(?:\{[clr|]*\})?(.*?)\\end\{\1\}", re.S)
_SIDES = {"<": ("(", ")"), r"\le": ("[", "]"), ">": (")", "("), r"\ge": ("]", "[")}
_BASED = re.compile(r"([0-9A-Za-z]+)_\{?(\d+|\\text\s*\{?\w+\}?)\}?")
_BUILDER = re.compile(
    r"\\\{\s*([A-Za-z])\s*(?:\\in\s*\\mathbb\{R\}\s*)?(?::|\||\\mid(?![A-Za-z]))(.*)\\\}"
)
_ROW = r"\[[^\[\]]*\]"
_NESTED = re.compile(rf"(?:Matrix\s*\(\s*)?\[\s*({_ROW}(?:\s*,\s*{_ROW})*)\s*\]\s*\)?")
_REALS = re.compile(r"\\mathbb\s*\{R\}|\\text\s*\{\s*all real numbers\s*\}|all real numbers")
_BRACKETS = {"(": ")", "[": "]"}


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
    return bool(predicted and gold) and _same(predicted, gold, 0)


def released(predicted: str, gold: str, *, units: bool = True) -> bool:
    """Whether the authors' grader accepts `predicted`; see `released.equal`."""
    return released_rules.equal(predicted, gold, units=units)


# ---------------------------------------------------------------- structure


def split_top(text: str, separator: str) -> list[str]:
    """Split at a separator (a regular expression) outside all brackets."""
    parts, depth, start = [], 0, 0
    for found in re.finditer(rf"[(\[{{]|[)\]}}]|{separator}", text):
        sign = found[0]
        if sign in ("(", "[", "{"):
            depth += 1
        elif sign in (")", "]", "}"):
            depth -= 1
        elif depth <= 0:
            parts.append(text[start : found.start()])
            start = found.end()
    return [part.strip() for part in [*parts, text[start:]]]


def _enclosed(text: str) -> tuple[str, str, str] | None:
    r"""Opening and closing bracket of a text that one pair encloses, and what is inside.

    The pair may be of two kinds, as in a half-open interval; a set's is `\{`.
    """
    if text.startswith(r"\{") and text.endswith(r"\}"):
        inside = text[2:-2]
        return (r"\{", r"\}", inside) if r"\}" not in inside.split(r"\{")[0] else None
    if len(text) < 2 or text[0] not in "([" or text[-1] not in ")]":
        return None
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0 and place < len(text) - 1:
            return None
    return text[0], text[-1], text[1:-1]


def _interval(text: str) -> tuple[str, str] | None:
    r"""Variable and interval of an inequality in one variable (`-1 < x \le 2`); else None.

    Inequalities joined by "or" are a union.
    """
    pieces = re.split(r"\s+or\s+|\s*\\text\s*\{\s*or\s*\}\s*", text)
    if len(pieces) > 1:
        found = [_interval(piece) for piece in pieces]
        if not all(found) or len({name for name, _ in found}) > 1:
            return None
        return found[0][0], r"\cup ".join(interval for _, interval in found)
    parts = re.split(r"(<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z]))", text)
    parts = [part.strip() for part in parts]
    letter = re.compile(r"[A-Za-z]|\\(?:theta|alpha|beta)")
    if len(parts) == 3 and letter.fullmatch(parts[2]) and not letter.fullmatch(parts[0]):
        turned = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
        parts = [parts[2], turned[parts[1]], parts[0]]
    if len(parts) == 3 and letter.fullmatch(parts[0]):
        bound = _SIDES[parts[1]]
        if parts[1] in ("<", r"\le"):
            return parts[0], rf"(-\infty,{parts[2]}{bound[1]}"
        return parts[0], rf"{bound[1]}{parts[2]},\infty)"
    if len(parts) == 5 and letter.fullmatch(parts[2]):
        low, first, name, second, high = parts
        if first in ("<", r"\le") and second in ("<", r"\le"):
            return name, f"{_SIDES[first][0]}{low},{high}{_SIDES[second][1]}"
        if first in (">", r"\ge") and second in (">", r"\ge"):
            return name, f"{_SIDES[second][1]}{high},{low}{_SIDES[first][0]}"
    return None


def _items(text: str) -> tuple[str, list[str]] | None:
    """Kind of a structure and its parts; None for a single expression.

    Kinds: set (a list of solutions too), union, matrix, `()` (a point), and for pairs that may be
    intervals their two brackets.
    """
    found = _MATRIX.fullmatch(text)
    if found:
        rows = [re.split(r"(?<!\\)&", row) for row in re.split(r"\\\\", found[2]) if row.strip()]
        cells = [cell.strip() for row in rows for cell in row]
        determinant = "determinant" if found[1] in ("vmatrix", "Vmatrix") else "matrix"
        return f"{determinant} {len(rows)}x{len(rows[0]) if rows else 0}", cells
    found = _NESTED.fullmatch(text)
    if found:  # as a program prints it
        rows = [split_top(row[1:-1], ",") for row in re.findall(_ROW, found[1])]
        if len({len(row) for row in rows}) == 1:
            return f"matrix {len(rows)}x{len(rows[0])}", [cell for row in rows for cell in row]
    parts = split_top(text, r"\\cup(?![A-Za-z])")
    if len(parts) > 1:
        return "union", parts
    parts = split_top(text, ":")
    if len(parts) > 2 and all(map(quantity, parts)):
        values = [quantity(part).value for part in parts]
        return "ratio", [str(value / (values[0] or 1)) for value in values]
    enclosed = _enclosed(text)
    if enclosed:
        left, right, inside = enclosed
        parts = [part for part in split_top(inside, ",") if part]
        if left == r"\{":
            return "set", list(dict.fromkeys(parts))
        if len(parts) == 2:
            return left + right, parts
        if len(parts) > 2 and right == _BRACKETS[left]:
            return "()", parts
        return None
    text = re.sub(r"\\text\s*\{\s*,?\s*(and|or)\s*\}", r" \1 ", text)
    parts = [part for part in split_top(text, r",\s*(?:and|or)\s|,|\s(?:and|or)\s|;") if part]
    signed = [split_top(part, r"\\pm(?![A-Za-z])") for part in parts]
    if any(len(pair) == 2 for pair in signed):
        parts = [
            value
            for part, pair in zip(parts, signed, strict=True)
            for value in (
                [f"{pair[0]}+{pair[1]}".lstrip("+"), f"{pair[0]}-{pair[1]}"]
                if len(pair) == 2
                else [part]
            )
        ]
    return ("set", parts) if len(parts) > 1 else None


def _pairs_off(ours: list[str], theirs: list[str], depth: int) -> bool:
    """Whether the parts are the same in some order."""
    left = list(theirs)
    for part in ours:
        match = next((other for other in left if _same(part, other, depth)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _same_structure(ours: tuple[str, list[str]], theirs: tuple[str, list[str]], depth: int) -> bool:
    """Compare two structures (`theirs` is gold): kind, number of parts, parts."""
    (kind, parts), (wanted, gold) = ours, theirs
    if kind == "[]" and wanted == "set":
        kind = "set"  # a program prints solutions as a list
    column = wanted.startswith("matrix") and wanted.endswith("x1")
    if kind == "()" and column:
        kind = wanted  # a vector in a row
    if kind != wanted or len(parts) != len(gold):
        return False
    if kind in ("set", "union"):
        return _pairs_off(parts, gold, depth)
    return all(_same(a, b, depth) for a, b in zip(parts, gold, strict=True))


# ---------------------------------------------------------------- expressions


def _simplest(text: str) -> str:
    """Take off brackets around a single expression and braces around a single element.

    The real line and a set given by an inequality become the interval they are.
    """
    text = re.sub(r"(?<=\d) to (?=\d)", ":", unwrap(text))
    if _REALS.fullmatch(text):
        return r"(-\infty,\infty)"
    found = _BUILDER.fullmatch(text)
    if found and (interval := _interval(found[2].strip())) and interval[0] == found[1]:
        return interval[1]
    while True:
        enclosed = _enclosed(text)
        if not enclosed or len(split_top(enclosed[2], ",")) > 1 or not enclosed[2].strip():
            return text
        text = enclosed[2].strip()


def _value(text: str, other: str) -> str:
    r"""`text` without "x =" where `other` is no equation; the end of a chain `1+1 = 2`."""
    if "=" in other or re.search(r"[<>]|\\(?:le|ge|ne)(?![A-Za-z])", text):
        return text
    found = _ASSIGNED.match(text)
    if found and "=" not in text[found.end() :]:
        return text[found.end() :].strip()
    sides = split_top(text, "=")
    if len(sides) > 1 and quantity(sides[-1]) and not re.search(r"[A-Za-z]", sides[-2]):
        return sides[-1]
    return text


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


def _clock(text: str) -> tuple[int, int] | None:
    """Hour (0-23) and minute of a time with a.m. or p.m.; else None."""
    found = _CLOCK.fullmatch(re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text).strip())
    if not found or int(found[1]) > 12:
        return None
    return int(found[1]) % 12 + 12 * (found[3].lower() == "p"), int(found[2] or 0)


def _same(predicted: str, gold: str, depth: int) -> bool:
    """Compare two `plain` answers; every rule that applies is final, math-verify is the last."""
    if compact(predicted) == compact(gold):
        return True
    predicted, gold = _simplest(predicted), _simplest(gold)
    option = re.fullmatch(r"([A-J])", gold)
    chosen = re.fullmatch(r"\(?([A-Ja-j])(?:[).:].*)?", predicted)
    if option and chosen:
        return chosen[1].upper() == option[1]
    asked = _value(predicted, gold)
    given = _value(gold, predicted)
    # A gold equation `y = 2x + 3` asks for the equation; `x = 5` and `f(x) = 2x` ask for a value.
    found = _ASSIGNED.match(gold)
    rule = given != gold and found and not found[2] and not quantity(given) and not _items(given)
    if rule and re.search(r"(?<![\\A-Za-z])[a-hj-zA-Z](?![A-Za-z])", given):
        return False
    predicted, gold = _simplest(asked), _simplest(given)
    ours, theirs = _BASED.fullmatch(predicted), _BASED.fullmatch(gold)
    if theirs and theirs[1][0].isdigit():  # a numeral with its base, which may be left out
        bases = [_base(found[2]) for found in (ours, theirs) if found]
        return (ours[1] if ours else predicted) == theirs[1] and len(set(bases)) == 1
    ours, theirs = quantity(predicted), quantity(gold)
    if ours and theirs:
        return same_quantity(ours, theirs)
    if _clock(gold):
        return _clock(predicted) == _clock(gold)
    words = _words(gold)
    if words:
        return words == _words(predicted)
    ours, theirs = _interval(predicted), _interval(gold)
    if ours and theirs and ours[0] != theirs[0]:
        return False
    predicted, gold = ours[1] if ours else predicted, theirs[1] if theirs else gold
    ours, theirs = _items(predicted), _items(gold)
    if (ours or theirs) and depth < _DEEPEST:
        if not (ours and theirs):
            return False
        return _same_structure(ours, theirs, depth + 1)
    return _same_expression(predicted, gold)


def _same_expression(predicted: str, gold: str) -> bool:
    """Leave two expressions to math-verify, without their units, once they can be equal."""
    relations = r"=|[<>]|\\(?:le|ge|ne)(?![A-Za-z])"
    if bool(re.search(relations, predicted)) != bool(re.search(relations, gold)):
        return False
    (predicted, unit), (gold, wanted) = split_unit(predicted), split_unit(gold)
    units = known_unit(unit), known_unit(wanted)
    if all(units) and units[0] != units[1]:
        return False
    if _words(predicted):
        return False
    ours, theirs = _variables(predicted), _variables(gold)
    if ours != theirs and {name.lower() for name in ours} == {name.lower() for name in theirs}:
        return False  # math-verify takes r for R
    if compact(predicted) == compact(gold):
        return True
    return not differ(predicted, gold) and WORKER.equal("strict", predicted, gold)


def grade(answers: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield a row of GRADES per row of ANSWERS, and the answer that the authors' search finds.

    Each verdict uses its own search: `strict` grades `predicted`; `released` grades what the
    authors' rules extract.
    """
    verdicts: dict[tuple, bool] = {}
    for answer in answers:
        text, gold, choices = answer["text"], answer["gold"], answer["choices"] or []
        units = answer["benchmark"] not in released_rules.UNITLESS
        predicted = extract_answer(text, choices, answer["finish_reason"] != "length")
        theirs = released_rules.extract(text, choices)
        questions = (
            (("strict", predicted, gold), strict),
            (
                ("released", theirs, gold, units),
                lambda p, g, u=units: released(p, g, units=u),
            ),
        )
        for key, rule in questions:
            if key not in verdicts:
                verdicts[key] = rule(key[1], key[2])
        yield (
            {
                **{name: answer[name] for name in ("problem_id", "benchmark", "sample", "gold")},
                "predicted": predicted,
                "strict": verdicts[questions[0][0]],
                "released": verdicts[questions[1][0]],
            },
            theirs,
        )
