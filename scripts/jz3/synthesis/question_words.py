"""Questions as words: what their comparisons, for copies and for test problems, look at.

Words, numbers, operators and LaTeX commands count; layout, case, width and punctuation do not. So
"5 + 3" and "5 - 3" differ, "$5 \\times 3$" and "5 × 3" do not. A Chinese, Japanese or Korean text
has a word per character. With numbers masked, one template filled with other numbers is one text.

Words are 64-bit hashes, made for thousands of texts at once: their characters lie in one array, and
each rule below is a line of comparisons with the neighbours.
"""

import re
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Array = TypeVar("Array", bound=npt.NDArray[Any])

_LETTER, _DIGIT, _SINGLE = 1, 2, 3
_SINGLES = "+*/^=<>%|(){}"
_WORD_PER_CHARACTER = ((0x2E80, 0xA000), (0xAC00, 0xD7B0), (0xF900, 0xFB00), (0x20000, 0x40000))
_MARGIN = 5
_LONGEST = 64  # characters; of a longer word the rest weighs all the same

_SUPERSCRIPTS = re.compile("[⁰¹²³⁴-⁹⁺⁻ⁿ]+")
_SPELLINGS = {
    "*": r"\times \cdot \ast × ⋅ ∗", "/": r"\div ÷ ∕", "-": "−", r"\pm": "±",
    r"\frac": r"\dfrac \tfrac \cfrac", r"\le": r"\leq \leqslant ≤", r"\ge": r"\geq \geqslant ≥",
    r"\ne": r"\neq ≠", "<": r"\lt", ">": r"\gt", r"\pi": "π", r"\sqrt": "√", r"\infty": "∞",
    r"\sum": "∑", r"\int": "∫", r"\rightarrow": r"\to →",
    r"\theta": "θ", r"\alpha": "α", r"\beta": "β", r"\angle": "∠", r"\triangle": "△ ∆", r"\in": "∈",
    r"\equiv": "≡", r"\approx": "≈", r"\ldots": r"\dots \cdots ⋯",
}  # fmt: skip
_LAYOUT = (
    r"\left \right \big \bigg \bigl \bigr \displaystyle \textstyle \text \textbf \textit \mathrm"
    r" \mathbf \mathit \mathsf \operatorname \quad \qquad \limits \nolimits \begin \end \hspace"
    r" \vspace \noindent \medskip \emph \rm \bf \it"
)
_NUMBERS = (  # in letters
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
    " hundred thousand million billion dozen"
)


@dataclass(frozen=True)
class Words:
    """The words of texts, one after the other.

    hashes[n]; number[n]: whether it is a number in digits; start[n], end[n]: its characters, in the
    normalised texts joined; offsets[texts + 1]: text i has the words offsets[i] to offsets[i + 1].
    """

    hashes: Hashes
    number: Flags
    start: Places
    end: Places
    offsets: Places

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, text: int) -> Hashes:
        """The words of one text."""
        return self.hashes[self.offsets[text] : self.offsets[text + 1]]

    @classmethod
    def of_one(cls, hashes: Hashes) -> "Words":
        """One text of these words, without their places in it."""
        none = np.zeros(len(hashes), np.int64)
        return cls(hashes, none.astype(bool), none, none, np.array([0, len(hashes)]))

    def text(self, text: str, begin: int, end: int) -> str:
        """Words `begin` to `end` of the one text that these are, as they stand there."""
        if begin >= end:
            return ""
        return normalised(text)[int(self.start[begin]) : int(self.end[end - 1])]

    def chosen(self, chosen: Flags, hashes: Hashes) -> "Words":
        """Some of the words, as other hashes."""
        before = np.concatenate([[0], np.cumsum(chosen)])
        return Words(
            hashes[chosen], self.number[chosen], self.start[chosen], self.end[chosen],
            before[self.offsets],
        )  # fmt: skip

    def masked(self) -> "Words":
        """With every number as one and the same word, a run of them as a single one."""
        number = self.number | np.isin(self.hashes, _raw([_NUMBERS]).hashes)
        first = np.ones(len(number), bool)
        first[1:] = ~(number[1:] & number[:-1])
        first[self.offsets[:-1][self.offsets[:-1] < len(first)]] = True
        return self.chosen(first, np.where(number, np.uint64(0), self.hashes))


def phrases(words: Words, size: int) -> tuple[Places, Hashes]:
    """All runs of `size` words, in order: each one's text, and its hash."""
    count = len(words.hashes) - size + 1
    text = np.repeat(np.arange(len(words)), np.diff(words.offsets))
    if count <= 0:
        return text[:0], words.hashes[:0]
    hashes = np.full(count, size, np.uint64)
    for step in range(size):
        hashes = mix(hashes * np.uint64(0x9E3779B97F4A7C15) + words.hashes[step : step + count])
    inside = text[:count] == text[size - 1 :]
    return text[:count][inside], hashes[inside]


def normalised(text: str) -> str:
    """Lower case and compatibility form, with ² as ^2."""
    if not text.isascii():
        text = _SUPERSCRIPTS.sub(lambda run: f"^{run.group()}", text)
        text = unicodedata.normalize("NFKC", text)
    return text.lower()


def cut(texts: Sequence[str]) -> Words:
    """The words of texts, in one spelling each. Lone surrogates are no words."""
    found = _raw(texts)
    same, layout, opening, closing = _spellings()
    place = np.minimum(np.searchsorted(same[0], found.hashes), len(same[0]) - 1)
    hashes = np.where(same[0][place] == found.hashes, same[1][place], found.hashes)
    wanted = ~np.isin(hashes, layout)
    # One word in braces is that word: x^{2}, \frac{1}{2}.
    around = np.zeros(len(hashes), bool)
    around[:-2] = (hashes[:-2] == opening) & (hashes[2:] == closing)
    wanted &= ~around
    wanted[2:] &= ~around[:-2]
    return found.chosen(wanted, hashes)


def _raw(texts: Sequence[str]) -> Words:
    """Words as they are spelled."""
    plain = [normalised(text) for text in texts]
    lengths = np.fromiter((len(text) for text in plain), np.int64, len(plain))
    begin = np.concatenate([[0], np.cumsum(lengths + 1)])
    joined = "\n".join(plain) + "\n" * _MARGIN
    code = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    kind = _kinds()[code]
    digit, letter = kind == _DIGIT, kind == _LETTER

    def at(character: str) -> Flags:
        same: Flags = code == ord(character)
        return same

    # Neighbours: `_next(x, 2)` is what stands two characters on.
    grouped = _next(digit, 1) & _next(digit, 2) & _next(digit, 3) & ~_next(digit, 4)
    comma = at(",") & _next(digit, -1) & grouped
    minus = at("-") & ~(_next(letter, -1) & _next(letter, 1))  # no hyphen of a word
    prime = at("'") & _next(at("("), 1)  # f'(x)
    ratio = at(":") & _next(digit, -1) & _next(digit, 1)
    factorial = at("!") & (_next(digit, -1) | _next(at(")"), -1))
    command = at("\\") & _next(letter, 1)
    kind[comma | (at(".") & _next(digit, 1))] = _DIGIT
    kind[minus | prime | ratio | factorial] = _SINGLE
    kind[command] = _LETTER

    inside = kind != 0
    first = inside & ((kind != _next(kind, -1)) | (kind == _SINGLE) | command)
    last = inside & (_next(first, 1) | ~_next(inside, 1))
    start, end = np.flatnonzero(first), np.flatnonzero(last) + 1
    number = kind[start] == _DIGIT
    offsets = np.searchsorted(start, begin)
    counted = inside & ~comma
    return Words(_hashes(code, counted, start), number, start, end, offsets)


def _next(values: Array, steps: int) -> Array:
    """What stands `steps` characters on; there is a margin at the end, and none at the start."""
    moved: Array = np.roll(values, -steps)
    if steps < 0:
        moved[:-steps] = 0
    return moved


def _hashes(code: npt.NDArray[np.uint32], counted: Flags, start: Places) -> Hashes:
    """A hash of the counted characters of each word, on every machine the same."""
    if not len(start):
        return np.empty(0, np.uint64)
    rank = np.cumsum(counted)
    own = np.repeat(rank[start], np.diff(start, append=len(code)))
    place = np.zeros(len(code), np.int64)
    place[start[0] :] = np.clip(rank[start[0] :] - own, 0, _LONGEST - 1)
    weighed = code.astype(np.uint64) * _powers()[place]
    weighed[~counted] = 0
    return mix(np.add.reduceat(weighed, start))


def mix(values: Hashes) -> Hashes:
    """Every bit of a number made to depend on all of them (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@cache
def _powers() -> Hashes:
    return mix(np.arange(1, _LONGEST + 1, dtype=np.uint64)) | np.uint64(1)


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """The kind of every character that there is; 0: it separates words."""
    kinds = np.zeros(sys.maxunicode + 1, np.uint8)
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if character.isalpha() or unicodedata.category(character)[0] == "M":
            kinds[code] = _LETTER
        elif character.isdecimal():
            kinds[code] = _DIGIT
        elif character in _SINGLES or (unicodedata.category(character) == "Sm" and code > 127):
            kinds[code] = _SINGLE
    for begin, end in _WORD_PER_CHARACTER:
        kinds[begin:end] = _SINGLE
    return kinds


@cache
def _spellings() -> tuple[tuple[Hashes, Hashes], Hashes, np.uint64, np.uint64]:
    """Other spellings, sorted, and what they stand for; what is layout; the two braces."""
    pairs = [(other, one) for one, others in _SPELLINGS.items() for other in others.split()]
    others, ones = (_raw([" ".join(words)]).hashes for words in zip(*pairs, strict=True))
    order = np.argsort(others)
    opening, closing = _raw(["{ }"]).hashes
    return (others[order], ones[order]), _raw([_LAYOUT]).hashes, opening, closing
