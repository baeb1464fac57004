r"""Other notations as LaTeX: what programs print, what keyboards lack, and slips of the pen.

`rewritten` comes before `quantities.plain`, which knows LaTeX only.
"""

import re

from ..boxes import closing

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋ₙ", "0123456789+-n")
_TAG = re.compile(
    r"</?(?:b|i|u|em|strong|span|p|sub|sup|code|div|br|font|mark|answer)\b[^<>]*>", re.I
)
_QUOTED = (("'", "'"), ('"', '"'), ("`", "`"), ("“", "”"), ("‘", "’"), ("«", "»"), ("*", "*"))
_NUMBER_CLASSES = re.compile(
    r"(?:np\.|numpy\.|sympy\.|sp\.|decimal\.|fractions\.)?"
    r"(?:float(?:16|32|64)?|int(?:8|16|32|64)?|Integer|Float|Decimal|str|round|mpf|mpz)"
    r"\(\s*['\"]?([-+\d.eE_]+)['\"]?\s*\)"
)
_FRACTION = re.compile(
    r"(?:sympy\.|sp\.|fractions\.)?(?:Fraction|Rational|mpq)\(\s*(-?\d+)\s*,\s*(-?\d+)\s*\)"
)
_ONE_TUPLE = re.compile(r"\(\s*([^(),]+?)\s*,\s*\)")
_INTERVAL = re.compile(r"Interval(?:\.(open|Lopen|Ropen))?\(([^(),]+),([^(),]+)\)")
_CALLED_SET = re.compile(r"(?:FiniteSet|set|frozenset)\(")
_EQUATION = re.compile(r"Eq\(([^(),]+),([^(),]+)\)")
_DICTIONARY = re.compile(r"\{\s*[\"']?[A-Za-z]\w*[\"']?\s*:[^{}<>|\\≤≥]*\}")
_COMBINATIONS = re.compile(
    r"(?<![A-Za-z\\])(?:C|nCr|comb|binomial|binom|math\.comb)\(([^(),]+),([^(),]+)\)"
)
_BESIDE = re.compile(
    r"(?:\{\}|(?<![\w}]))_?\^?\{?(\d+)\}?\s*(?:\\(?:text|mathrm)\{C\}|C)_\{?(\d+)\}?"
)
_UNIT_FRACTION = re.compile(
    r"\\[dt]?frac\s*\{\s*(\\(?:text|mathrm|textrm|mbox)\s*\{[^{}]*\}(?:\^\{?\d\}?)?)\s*\}\s*"
    r"\{\s*(\\(?:text|mathrm|textrm|mbox)\s*\{[^{}]*\}(?:\^\{?\d\}?)?)\s*\}"
)
_REMARK = re.compile(
    r"[,;]?\s*(?:\\(?:text|quad|qquad)\b)?\s*\{?\s*[\[(]?\s*"
    r"(?<!\\)\b(?:since|because|as\s+(?:we|the|it)|which\s+is|i\.\s?e\.|that\s+is|by\s+the|approximately"
    r"|approx\.?|rounded|simplified|from\s+the|after\s+simpl\w+|in\s+simplest\s+form)\b.*$",
    re.S | re.I,
)
_DOTTED = re.compile(r"(\d*\.\d*)\\dot\s*\{?(\d)\}?(?:(\d*)\\dot\s*\{?(\d)\}?)?")
_PERIOD = re.compile(r"(\d*\.\d*?)\((\d+)\)(?!\d)")
_GOES_ON = re.compile(r"(\d*\.\d*?)(\d{1,6}?)\2{2,}\s*(?:\\[lc]?dots|\.{3,}|…)")
_TWO_OR_MORE_SIGNS = re.compile(r"([-+])\s*([-+])(?=\s*[\d(\\A-Za-z.])")


def rewritten(text: str) -> str:
    """The answer without quotes, tags, remarks and stray marks, in LaTeX's notation."""
    text = _TAG.sub("", text).strip()
    text = re.sub("[⁰¹²³⁴-⁹⁺⁻ⁿ]+", lambda run: f"^{{{run[0].translate(_RAISED)}}}", text)
    text = re.sub("[₀-₉₊₋ₙ]+", lambda run: f"_{{{run[0].translate(_LOWERED)}}}", text)
    text = re.sub(r"\\+$|[,;،、。]+\s*$|(?<=\d)\s*!{2,}$(?<!!!)", "", text).strip()
    text = _unquoted(text)
    text = _python(text)
    text = _UNIT_FRACTION.sub(lambda m: rf"\text{{{_bare(m[1])}/{_bare(m[2])}}}", text)
    text = re.sub(
        r"\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}\s*/\s*\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}",
        r"\\text{\1/\2}", text,
    )  # fmt: skip
    if re.fullmatch(r"0[xX][0-9A-Fa-f]+|0[bB][01]+|0[oO][0-7]+", text):
        text = str(int(text, 0))
    text = _repeating(text)
    text = re.sub(r"\\log_\{?e\}?(?![A-Za-z])", r"\\ln ", text)
    text = re.sub(r"(?<=\d)\s*\*?\s*j\b(?!\w)", "i", text)
    without = _REMARK.sub("", text).strip() if not re.match(r"^\W*\w*\s*$", text) else text
    if without and without != text and not _open(without):
        text = without
    return text


def _unquoted(text: str) -> str:
    changed = True
    while changed and len(text) > 2:
        changed = False
        for left, right in _QUOTED:
            inside = text[len(left) : -len(right)]
            if text.startswith(left) and text.endswith(right) and left not in inside:
                text, changed = inside.strip(), True
    return text


def _python(text: str) -> str:
    text = _NUMBER_CLASSES.sub(r"\1", text)
    text = _FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = _ONE_TUPLE.sub(r"\1", text)
    text = re.sub(r"(?<![A-Za-z\\])(?:np\.|math\.|sympy\.|sp\.)(?=[a-z])", "", text)
    text = re.sub(r"float\(\s*['\"]([-+]?)inf(?:inity)?['\"]\s*\)", r"\1oo", text)
    text = re.sub(r"(?<![A-Za-z\\])(?:inf|infinity|Infinity|INF)(?![A-Za-z])", r"\\infty ", text)
    text = re.sub(r"^\+\s*(?=\\infty)", "", text)
    text = _INTERVAL.sub(_written_interval, text)
    text = _EQUATION.sub(r"\1=\2", text)
    called = _CALLED_SET.match(text)
    if called and closing(text, called.end() - 1) == len(text) - 1:
        text = r"\{" + text[called.end() : -1].strip("[]{}") + r"\}"
    if _DICTIONARY.fullmatch(text):
        inside = text.strip("\\{} ")
        text = re.sub(r"[\"']?([A-Za-z]\w*)[\"']?\s*:\s*", r"\1=", inside)
    text = _COMBINATIONS.sub(r"\\binom{\1}{\2}", text)
    text = _BESIDE.sub(r"\\binom{\1}{\2}", text)
    return _TWO_OR_MORE_SIGNS.sub(lambda m: "-" if m[1] != m[2] else "+", text)


def _written_interval(match: re.Match[str]) -> str:
    kind, low, high = match.groups()
    left = "(" if kind in ("open", "Lopen") or "oo" in low else "["
    right = ")" if kind in ("open", "Ropen") or "oo" in high else "]"
    return f"{left}{low.strip()},{high.strip()}{right}"


def _repeating(text: str) -> str:
    text = re.sub(r"\\bar\s*\{?(\d+)\}?", r"\\overline{\1}", text)
    text = _DOTTED.sub(lambda m: rf"{m[1]}\overline{{{m[2]}{m[3] or ''}{m[4] or ''}}}", text)
    text = _PERIOD.sub(r"\1\\overline{\2}", text)
    return _GOES_ON.sub(r"\1\\overline{\2}", text)


def _bare(text: str) -> str:
    return re.sub(r"\\(?:text|mathrm|textrm|mbox)\s*\{([^{}]*)\}", r"\1", text).strip()


def _open(text: str) -> bool:
    """Whether brackets stay open: what was cut off belonged to the answer."""
    return any(text.count(a) != text.count(b) for a, b in ("{}", "[]", "()")) and not re.search(
        r"[\[(]\s*$", text
    )
