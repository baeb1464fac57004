"""Problems that repeat a test problem: as it is, reworded, or with other numbers.

What two questions share is weighed. A phrase, one to three words on end, weighs log((N + 1) / n)
where n of the N test questions have it, so that "a sequence of numbers" says little and "clips to #
of her friends" much (inverse document frequency; Sparck Jones 1972). The overlap of a problem and a
test question is the weight of the phrases of both, over the weight of those of the heavier one: of
the whole question and of the whole problem, so that a short question does not condemn every text
that contains it. A long text around a test question is found by the question's share alone.

Overlaps are taken twice, with the numbers as they are and with all numbers alike. A problem is
contaminated where one of them reaches its threshold. How the thresholds were chosen, with recall on
changed test problems and false alarms on the authors' problems, stands in docs/performance.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import fsum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .question_words import Hashes, Words, cut, phrases

_LONGEST = 3  # words of a phrase
_SLOTS = 1 << 24
_KNOWN_TO = 40  # test questions at most that a phrase may lead to; a question's rarest always does
_SHARE_SEEN = 0.1  # of a question's leading phrases, and of a problem's, for a closer look
_NEAR = 0.25  # share of a question, all numbers alike, below which no overlap comes to a threshold
_WITHIN = 0.75  # share of a test question, numbers as they are, found inside a longer text ...
_WITHIN_WEIGHT = 100.0  # ... where the shared phrases weigh that much: some ten words


class Match(NamedTuple):
    """A test question that a problem repeats; overlap: 0 to 1; shared: its longest common run."""

    name: str
    overlap: float
    kind: str  # "same numbers" | "other numbers" | "inside"
    shared: str


@dataclass(frozen=True)
class Thresholds:
    """Overlaps from which a problem is contaminated: numbers as they are, and all alike."""

    same_numbers: float
    other_numbers: float


@dataclass(frozen=True)
class _Phrases:
    """Phrases of test questions: of[i] those of question i, weight[i] all that they weigh."""

    known: dict[int, float]
    unknown: float
    of: list[frozenset[int]]
    weight: list[float]

    @classmethod
    def from_words(cls, words: Words) -> "_Phrases":
        of = [frozenset(found.tolist()) for found in _by_text(words)]
        counts: dict[int, int] = {}
        for found in of:
            for phrase in found:
                counts[phrase] = counts.get(phrase, 0) + 1
        known = {phrase: float(np.log((len(of) + 1) / n)) for phrase, n in counts.items()}
        # fsum: sets have no order, and the last digit must not depend on one.
        weight = [fsum(known[phrase] for phrase in found) for found in of]
        return cls(known, float(np.log(len(of) + 1)), of, weight)

    def total(self, found: frozenset[int]) -> float:
        return fsum(self.known.get(phrase, self.unknown) for phrase in found)


class TestQuestions:
    """Test questions, and the search for those that a problem repeats."""

    __test__ = False  # for pytest: not a test

    def __init__(self, questions: Iterable[tuple[str, str]], thresholds: Thresholds):
        """`questions`: ("benchmark:problem_id", question) pairs."""
        pairs = sorted(questions)
        self.names = [name for name, _ in pairs]
        self.thresholds = thresholds
        self._words = cut([question for _, question in pairs])
        masked = self._words.masked()
        self._same = _Phrases.from_words(self._words)
        self._other = _Phrases.from_words(masked)
        self._whole: dict[bytes, list[int]] = {}
        for number in range(len(pairs)):
            self._whole.setdefault(self._words.of(number).tobytes(), []).append(number)
        self._whole.pop(b"", None)
        self._lead(masked)

    def _lead(self, masked: Words) -> None:
        """The phrases of three words that lead to a question, each with its questions' places."""
        text, phrase = phrases(masked, _LONGEST)
        pairs = np.unique(np.stack([phrase, text.astype(np.uint64)]), axis=1)
        self._leads, count = np.unique(pairs[0], return_counts=True)
        weight = np.log((len(self.names) + 1) / count)
        group = np.repeat(np.arange(len(count)), count)
        leads_to = pairs[1].astype(np.int64)
        # A question all of whose phrases are common is led to by its rarest.
        rarest = np.full(len(self.names), np.iinfo(np.int64).max)
        np.minimum.at(rarest, leads_to, count[group])
        kept = count[group] <= np.maximum(_KNOWN_TO, rarest[leads_to])
        self._to, group = leads_to[kept], group[kept]
        self._count = np.bincount(group, minlength=len(count))
        self._first = np.concatenate([[0], np.cumsum(self._count)])[:-1]
        self._lead_weight = weight
        self._unknown = float(np.log(len(self.names) + 1))
        self._led = np.bincount(self._to, weight[group], minlength=len(self.names))
        self._maybe = np.zeros(_SLOTS, bool)  # a phrase whose slot is empty leads nowhere
        self._maybe[_slot(self._leads)] = True

    def find(self, words: Words, texts: Sequence[str]) -> Iterator[tuple[int, list[Match]]]:
        """The texts (by place) that repeat test questions, and those, the largest overlap first.

        `words` are `cut(texts)`.
        """
        if not self.names:
            return
        masked = words.masked()
        candidates = self._candidates(masked)
        for place, numbers in self._identical(words):
            candidates.setdefault(place, set()).update(numbers)
        for place in sorted(candidates):
            matches = self._matches(words, masked, place, candidates[place], texts[place])
            if matches:
                yield place, matches

    def _identical(self, words: Words) -> Iterator[tuple[int, list[int]]]:
        for place in range(len(words)):
            found = self._whole.get(words.of(place).tobytes())
            if found:
                yield place, found

    def _candidates(self, masked: Words) -> dict[int, set[int]]:
        """By text, the questions enough of whose leading phrases it has."""
        text, phrase = phrases(masked, _LONGEST)
        maybe = self._maybe[_slot(phrase)]
        text, phrase = text[maybe], phrase[maybe]
        at = np.minimum(np.searchsorted(self._leads, phrase), max(len(self._leads) - 1, 0))
        hit = self._leads[at] == phrase if len(self._leads) else np.zeros(0, bool)
        once = np.unique(text[hit] * max(len(self._leads), 1) + at[hit])
        text, lead = np.divmod(once, max(len(self._leads), 1))
        count = self._count[lead]
        text, lead = np.repeat(text, count), np.repeat(lead, count)
        within = np.arange(len(lead)) - np.repeat(np.cumsum(count) - count, count)
        question = self._to[self._first[lead] + within]
        keys, own = np.unique(text * len(self.names) + question, return_inverse=True)
        text, question = keys // len(self.names), keys % len(self.names)
        shared = np.bincount(own, self._lead_weight[lead], len(keys))
        share = shared / self._led[question]
        of_text = shared / (self._unknown * np.maximum(np.diff(masked.offsets)[text] - 2, 1))
        alike = (share >= _SHARE_SEEN) & (of_text >= _SHARE_SEEN)
        chosen = alike | (share >= _WITHIN)
        found: dict[int, set[int]] = {}
        for place, number in zip(text[chosen].tolist(), question[chosen].tolist(), strict=True):
            found.setdefault(place, set()).add(number)
        return found

    def _matches(
        self, words: Words, masked: Words, place: int, numbers: set[int], text: str
    ) -> list[Match]:
        other = frozenset(_phrases_of(masked.of(place)).tolist())
        template = {number: self._shared(self._other, number, other) for number in numbers}
        near = [n for n in numbers if template[n] >= _NEAR * self._other.weight[n]]
        if not near:
            return []
        same = frozenset(_phrases_of(words.of(place)).tolist())
        total_same, total_other = self._same.total(same), self._other.total(other)
        found = []
        for number in sorted(near):
            shared = self._shared(self._same, number, same)
            exact = _ratio(shared, max(self._same.weight[number], total_same))
            inside = _ratio(shared, self._same.weight[number])
            alike = _ratio(template[number], max(self._other.weight[number], total_other))
            if exact >= self.thresholds.same_numbers:
                kind, overlap = "same numbers", exact
            elif alike >= self.thresholds.other_numbers:
                kind, overlap = "other numbers", alike
            elif inside >= _WITHIN and shared >= _WITHIN_WEIGHT:
                kind, overlap = "inside", inside
            else:
                continue
            found.append((overlap, kind, number))
        found.sort(key=lambda match: (-match[0], match[2]))
        return [
            Match(self.names[n], overlap, kind, self._longest_run(text, n))
            for overlap, kind, n in found
        ]

    @staticmethod
    def _shared(phrases: _Phrases, number: int, found: frozenset[int]) -> float:
        return fsum(phrases.known[phrase] for phrase in phrases.of[number] & found)

    def _longest_run(self, text: str, number: int) -> str:
        """The longest run of words of the text that the test question has too."""
        from difflib import SequenceMatcher

        words = cut([text])
        own, other = words.hashes.tolist(), self._words.of(number).tolist()
        run = SequenceMatcher(None, own, other, autojunk=False).find_longest_match()
        return words.text(text, run.a, run.a + run.size)


def _slot(phrase: Hashes) -> npt.NDArray[np.int64]:
    return (phrase & np.uint64(_SLOTS - 1)).astype(np.int64)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _phrases_of(hashes: Hashes) -> Hashes:
    one = Words.of_one(hashes)
    return np.concatenate([phrases(one, size)[1] for size in range(1, _LONGEST + 1)])


def _by_text(words: Words) -> Iterator[Hashes]:
    """The phrases of each text, of all lengths."""
    for place in range(len(words)):
        yield _phrases_of(words.of(place))
