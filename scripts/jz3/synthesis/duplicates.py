"""Copies among questions: near copies, and one template filled with other numbers.

Near copies are found through MinHash in bands (Broder 1997; rensa makes the digests) and decided by
the exact Jaccard similarity of word shingles. Questions are taken in a given order of worth, so the
better one of two copies stays, whatever the order of the rows.

Memory: per question the hash of each band (4 bytes), and the shingles (8 bytes each) of those that
share a band with another. Time: a question is compared with at most `_COMPARED` kept ones, those it
shares most bands with; a template of a hundred thousand questions stays linear.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .question_words import Hashes, Words, cut, mix, phrases

Groups = npt.NDArray[np.int64]

_ROWS_PER_BAND = 4  # at similarity 0.7 and 128 permutations, 2 pairs in 10,000 are missed
_TOGETHER = 10_000  # questions cut into words at once
_COMPARED = 64
_LOOKED_AT = 50_000  # entries of bands, counted to find those 64; the smallest bands come first


def in_batches(texts: Sequence[str]) -> Iterator[tuple[int, Words]]:
    """Words of some thousand texts at a time, with the place of the first."""
    for start in range(0, len(texts), _TOGETHER):
        yield start, cut(texts[start : start + _TOGETHER])


def shingles(words: Words, size: int) -> list[Hashes]:
    """All runs of `size` words of each text, in order; a shorter text is one shingle."""
    text, found = phrases(words, size)
    ends = np.searchsorted(text, np.arange(len(words) + 1))
    runs = [found[a:b] for a, b in pairwise(ends.tolist())]
    for place in np.flatnonzero(np.diff(ends) == 0).tolist():
        runs[place] = np.atleast_1d(_as_one(words.of(place)))
    return runs


def _as_one(hashes: Hashes) -> np.uint64:
    """One hash of a run of words."""
    rank = np.arange(1, len(hashes) + 1, dtype=np.uint64)
    whole = np.add.reduce(mix(hashes * (np.uint64(2) * rank + np.uint64(1))), dtype=np.uint64)
    return np.uint64(whole + np.uint64(len(hashes)))


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    """Shared shingles over all shingles of two texts."""
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def near_duplicates(
    texts: Sequence[str], *, similarity: float, shingle: int, permutations: int, seed: int
) -> dict[int, int]:
    """Map the place of each near copy to the place of the kept text that it copies.

    The texts come in the order of their worth: each is kept unless its similarity to one kept
    before reaches `similarity`.
    """
    groups = _groups(texts, shingle, permutations, seed)
    places = np.flatnonzero((groups >= 0).any(axis=1))
    sets = _Shingles(texts, places, shingle)
    sizes = [np.bincount(column[column >= 0], minlength=1) for column in groups.T]
    kept_in: dict[tuple[int, int], array[int]] = defaultdict(lambda: array("q"))
    copies: dict[int, int] = {}
    for place in places.tolist():
        own = [(b, g) for b, g in enumerate(groups[place].tolist()) if g >= 0]
        own.sort(key=lambda key: (sizes[key[0]][key[1]], key))
        mine = sets.of(place)
        for other in _most_alike([kept_in[key] for key in own]):
            if jaccard(mine, sets.of(other)) >= similarity:
                copies[place] = other
                break
        else:
            for key in own:
                kept_in[key].append(place)
    return copies


def _most_alike(bands: "Sequence[array[int]]") -> list[int]:
    """The kept texts that stand in most of the bands, in order of worth."""
    looked_at: list[array[int]] = []
    left = _LOOKED_AT
    for band in bands:
        if band and left > 0:
            looked_at.append(band[-left:])
            left -= len(band)
    if not looked_at:
        return []
    if left > _LOOKED_AT - 1000:
        counts = Counter(place for band in looked_at for place in band)
        best = sorted(counts, key=lambda place: (-counts[place], place))[:_COMPARED]
        return sorted(best)
    joined = np.concatenate([np.frombuffer(band, np.int64) for band in looked_at])
    places, times = np.unique(joined, return_counts=True)
    return sorted(places[np.lexsort((places, -times))[:_COMPARED]].tolist())


class _Shingles:
    """Shingles of those texts that are compared at all."""

    def __init__(self, texts: Sequence[str], places: npt.NDArray[np.intp], size: int):
        chosen = [texts[place] for place in places]
        self._arrays: dict[int, Hashes] = {}
        for start, words in in_batches(chosen):
            self._arrays |= zip(places[start:].tolist(), shingles(words, size), strict=False)
        self._sets: dict[int, frozenset[int]] = {}

    def of(self, place: int) -> frozenset[int]:
        found = self._sets.get(place)
        if found is None:
            if len(self._sets) > 100_000:
                self._sets.clear()
            found = self._sets[place] = frozenset(self._arrays[place].tolist())
        return found


def _groups(texts: Sequence[str], shingle: int, permutations: int, seed: int) -> Groups:
    """[texts, bands]: texts of one group share that band of their MinHash; -1: of nobody else."""
    bands = permutations // _ROWS_PER_BAND
    if len(texts) < 2:
        return np.full((len(texts), bands), -1)
    from rensa import RMinHash

    parts = []
    for _, words in in_batches(texts):
        sets = shingles(words, shingle)
        ends = np.concatenate([[0], np.cumsum([len(found) for found in sets])]).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            np.concatenate(sets), ends, permutations, seed
        )
        digests = np.asarray(matrix.to_rows(), dtype=np.uint64)[:, : bands * _ROWS_PER_BAND]
        banded = digests.reshape(len(sets), bands, _ROWS_PER_BAND)
        one = np.zeros(banded.shape[:2], np.uint64)
        for row in range(_ROWS_PER_BAND):
            one = mix(one * np.uint64(0x9E3779B97F4A7C15) + banded[:, :, row])
        parts.append(one.astype(np.uint32))
    keys = np.concatenate(parts)
    groups = np.empty(keys.shape, np.int64)
    for band in range(bands):
        _, group, counts = np.unique(keys[:, band], return_inverse=True, return_counts=True)
        groups[:, band] = np.where(counts[group] > 1, group, -1)
    return groups


def same_template(texts: Sequence[str], most: int) -> dict[int, int]:
    """Map texts beyond the first `most` of a template to the first text of it.

    A template is a text with its numbers masked. The texts come in the order of their worth.
    """
    first: dict[int, int] = {}
    count: Counter[int] = Counter()
    surplus: dict[int, int] = {}
    for start, words in in_batches(texts):
        masked = words.masked()
        for place in range(len(masked)):
            template = int(_as_one(masked.of(place)))
            count[template] += 1
            first.setdefault(template, start + place)
            if count[template] > most:
                surplus[start + place] = first[template]
    return surplus
