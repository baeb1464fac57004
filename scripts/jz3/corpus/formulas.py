r"""Mathematics in plain text, Markdown and LaTeX: where formulas lie, and whether there are any."""

import re

_MATHS = (
    "equation|align|alignat|aligned|flalign|gather|gathered|multline|eqnarray|displaymath|math"
    "|subequations|split|cases|array|[pbvVB]?matrix|smallmatrix|dmath|IEEEeqnarray"
)
_FIGURES = (
    "tabular|tabularx|tabbing|tikzpicture|tikzcd|xy|figure|table|verbatim|lstlisting|algorithm"
    "|algorithmic"
)
_NO_BLANK_LINE = r"(?!\n[ \t]*\n)[\s\S]"
_LONGEST = 5_000  # characters within which a formula must close; bounds the time for open ones

# In order: what only looks like a start; money written as a formula, $$1.50$; displays;
# environments; inline formulas. A formula holds no blank line, an environment may.
_FORMULA = re.compile(
    r"(?P<none>\\\\|\\\$)"
    r"|\$\$[\d.,]+\$(?!\$)"
    rf"|\$\$(?:(?!\$\$){_NO_BLANK_LINE}){{1,{_LONGEST}}}\$\$"
    rf"|\\\[(?:{_NO_BLANK_LINE}){{1,{_LONGEST}}}?\\\]"
    rf"|\\\((?:{_NO_BLANK_LINE}){{1,{_LONGEST}}}?\\\)"
    rf"|\\begin\{{(?P<name>(?:{_MATHS}|{_FIGURES})\*?)\}}[\s\S]{{0,20000}}?\\end\{{(?P=name)\}}"
    rf"|(?P<inline>\$(?:\\[\s\S]|(?!\n[ \t]*\n)[^$\\])+\$)"
)
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}[.,;:]?\s+[A-Za-z]{2,}\b")
_GROUP = re.compile(r"\\[A-Za-z]+\*?(?:\[[^\[\]]*\])*(?=\{)|(?=\{\\[A-Za-z]+\s)")
_FENCE = re.compile(r"^(```|~~~).*\n[\s\S]*?^\1[ \t]*$", re.MULTILINE)
_DIRECTIVE = re.compile(r"^([ \t]*)\.\. math::.*(?:\n(?:[ \t]*\n)*\1[ \t]+\S.*)*", re.MULTILINE)
_QUOTED = re.compile(r"`[^`\n]+(?:\n[^`\n]+)?`")
_DOCTEST = re.compile(r"^[ \t]*>>> .*(?:\n(?![ \t]*>>> )[ \t]*\S.*)*", re.MULTILINE)


_WHOLE = (_FENCE, _DOCTEST, _DIRECTIVE, _QUOTED)


def formula_spans(text: str) -> list[tuple[int, int]]:
    r"""(start, end) of every formula, ascending: $...$, $$...$$, \(..\), \[..\], environments.

    Prices are no formulas: "$5 and $6" opens none, since a closing dollar has no space before it
    and no digit after it; with spaces inside ("$ x $"), what is between may not be prose.
    """
    spans, place = [], 0
    while found := _FORMULA.search(text, place):
        start, place = found.span()
        if found["inline"]:
            inside = found["inline"][1:-1]
            spaced = inside[0].isspace() or inside[-1].isspace()
            if text[place : place + 1].isdigit() or (spaced and _PROSE.search(inside)):
                place = start + 1
                continue
            if (
                spaced
                and not (inside[0].isspace() and inside[-1].isspace())
                and inside[0].isdigit()
            ):
                place = start + 1
                continue
        if not found["none"]:
            spans.append((start, place))
    return spans


def grouped_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of what is better kept whole: a command's {..}, code, doctest examples.

    They may overlap and lie in one another.
    """
    spans = [found.span() for pattern in _WHOLE for found in pattern.finditer(text)]
    closing = brace_pairs(text)
    for found in _GROUP.finditer(text):
        end = found.end()
        while end in closing:  # \frac{..}{..}
            end = closing[end]
        if end > found.end():
            spans.append((found.start(), end))
    return spans


def brace_pairs(text: str) -> dict[int, int]:
    r"""The place of each opening brace -> the place after its closing one; \{ and \} are none."""
    pairs, open_ = {}, []
    for found in re.finditer(r"\\[\s\S]|[{}]", text):
        if found[0] == "{":
            open_.append(found.start())
        elif found[0] == "}" and open_:
            pairs[open_.pop()] = found.end()
    return pairs


# ---------------------------------------------------------------- is it mathematics?

_ADDRESS = re.compile(r"\bhttps?://\S+|\bwww\.\S+|\S+@\S+")
_NO_QUANTITY = re.compile(
    r"\b(?:1[0-9]|20)\d\d(?:s|[-–/]\d\d+)?\b"  # years
    r"|\b\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b"  # dates
    r"|\b\d{1,2}(?:st|nd|rd|th)\b"  # 19th
    r"|\b\d{1,2}\s+(?:January|February|March|April|May|June|July|August|September|October|November"
    r"|December)\b"
    r"|\b(?:ISBN|ISSN|doi|version|vol\.|no\.|pp?\.|page|chapter|section|figure|table)\s*[\d.,–-]+",
    re.IGNORECASE,
)
_QUANTITY = re.compile(
    r"(?<![\w.])\d[\d,]*(?:\.\d+)?"
    r"|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen"
    r"|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
    r"|hundred|thousand|million|half|halves|quarters?|thirds|fifths?|eighths?|tenths?|dozen|twice"
    r"|doubled?|tripled?)\b",
    re.IGNORECASE,
)
_EXPRESSION = re.compile(
    r"[≤≥≠≈±×÷∑∏∫√∞∈∉⊂⊆∪∩∀∃∂∇≡≅⊗⊕]"
    r"|\\(?:frac|sqrt|sum|prod|int|leq?|geq?|neq?|times|cdot|in|to|infty|alpha|theta|mathbb)\b"
    r"|[\w)\]}]\s*=\s*[-−+]?[\w(\[{\\√]"
    r"|\d\s*[+*^]\s*\d|\d\s+[-−/]\s+\d|\b[a-zA-Z]\^\{?\d|\d\s*[<>]\s*\d|\b\d+/\d+\b(?!/)"
)
_TERMS = (
    "algebra", "angle", "area of", "arithmetic", "automorphism", "average", "axiom", "bijecti",
    "calculus", "cardinal", "circumference", "coefficient", "combinatori", "commutative",
    "congruen", "conjecture", "converge", "coordinate", "corollary", "cosine", "decimal",
    "denominator", "derivative", "determinant", "diameter", "differentia", "digit", "divid",
    "divis", "eigenv", "equation", "exponent", "factorial", "finite", "fraction", "function",
    "functor", "geometr", "homomorphism", "hypotenuse", "induction", "inequalit", "infinite",
    "injecti", "integer", "integral", "isomorphi", "lemma", "linear", "logarithm", "manifold",
    "matrices", "matrix", "median", "modul", "monoid", "morphism", "multipl", "numerator",
    "parallelogram", "percent", "perimeter", "permutation", "place value", "polygon", "polynomial",
    "prime number", "primes", "probabilit", "proof", "proportion", "proposition", "quadratic",
    "quotient", "ratio ", "rational", "real number", "rectangle", "remainder", "sequence", "sine",
    "slope", "square root", "subgroup", "subset", "subspace", "subtract", "sum of", "surjecti",
    "symmetr", "theorem", "topolog", "triang", "trigonomet", "vector", "vertex", "vertices",
    "whole number",
)  # fmt: skip
_TERM = re.compile(r"\b(" + "|".join(_TERMS) + ")", re.IGNORECASE)


def contains_mathematics(text: str) -> bool:
    """Whether a reader could make a problem of `text`: a generous check that drops plain prose.

    True for any formula or arithmetical expression, for three quantities (numbers in digits or
    words; years, dates, ordinals, page numbers and web addresses do not count), for two different
    words of the mathematical vocabulary, one of them three times, or one and a quantity.
    """
    text = _ADDRESS.sub(" ", text)
    for start, end in formula_spans(text):
        if not re.match(rf"\\begin\{{(?:{_FIGURES})", text[start:end]):
            return True
    text = _NO_QUANTITY.sub(" ", text)
    if _EXPRESSION.search(text):
        return True
    quantities = sum(1 for _ in _QUANTITY.finditer(text))
    found = [term.lower() for term in _TERM.findall(text)]
    if quantities >= 3 or len(set(found)) >= 2 or len(found) >= 3:
        return True
    return bool(found) and quantities >= 1
