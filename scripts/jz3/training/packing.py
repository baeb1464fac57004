"""From texts to sequences of fixed length: encoding, best-fit packing, files of packs.

A pack is one training sequence of whole documents: {"input_ids", "labels", "positions"}.
`positions` restart at 0 with each document, which is how attention is kept inside it.
"""

import bisect
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..io import UserError, did_you_mean, parquet_errors
from ..records import PACKS
from ..tokens import beginning, begun

IGNORED = -100  # label of a token whose prediction is not trained
_TOGETHER = 1000  # texts tokenised by one call; packs in one row group


@dataclass(frozen=True)
class Document:
    """One tokenised text: `labels` equal `input_ids` where loss is taken, else -100."""

    input_ids: list[int]
    labels: list[int]
    truncated: bool = False

    @property
    def supervised(self) -> int:
        """Number of tokens whose prediction is trained."""
        return sum(label != IGNORED for label in self.labels)


# ---------------------------------------------------------------- encoding


def encode(tokenizer: Any, prompt: str, completion: str, length: int) -> Document:
    """Tokenise one example; loss is taken on the completion only (as in the release).

    The prompt's tokens are those of the prompt alone, with BOS if the tokenizer adds one: what
    the model is given when it is asked. The completion's tokens are those it has in context;
    where a token would span the boundary, those of the completion alone. EOS ends the document
    unless it was cut to `length` tokens: a model must not learn to stop in mid-sentence.
    """
    return next(encode_all(tokenizer, [(prompt, completion)], length))


def encode_all(tokenizer: Any, pairs: Iterable[tuple[str, str]], length: int) -> Iterator[Document]:
    """`encode` for many (prompt, completion), tokenised in batches; order is kept.

    Raises UserError if the tokenizer has no end-of-text token.
    """
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{tokenizer.name_or_path}: the tokenizer has no end-of-text token (eos_token)."
            " Set one in its tokenizer_config.json."
        )
    start = beginning(tokenizer)

    def tokens(texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)[
            "input_ids"
        ]
        return ids

    pairs = iter(pairs)
    while batch := list(islice(pairs, _TOGETHER)):
        prompts = tokens([prompt for prompt, _ in batch])
        wholes = tokens([prompt + completion for prompt, completion in batch])
        completions, apart = [], []
        for number, (head, whole) in enumerate(zip(prompts, wholes, strict=True)):
            completions.append(whole[len(head) :])
            if whole[: len(head)] != head:
                apart.append(number)
        if apart:
            for number, tail in zip(apart, tokens([batch[n][1] for n in apart]), strict=True):
                completions[number] = tail
        for head, tail in zip(prompts, completions, strict=True):
            yield _document(begun(start, head), [*tail, tokenizer.eos_token_id], length)


def _document(prompt: list[int], completion: list[int], length: int) -> Document:
    ids = prompt + completion
    # The first token of a document has nothing before it, so its prediction is never trained.
    labels = [IGNORED] * max(len(prompt), 1) + ids[max(len(prompt), 1) :]
    return Document(ids[:length], labels[:length], truncated=len(ids) > length)


# ---------------------------------------------------------------- packing


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Best-fit-decreasing bin packing: indices of `lengths` grouped into bins of `capacity`.

    The bins' free spaces are a histogram (a stack of bins per free space) with a bit mask over
    it, so that the tightest fit is one shift: time grows with the number of documents only.
    Raises ValueError for a length below 1 or above `capacity`.
    """
    of_length: list[list[int]] = [[] for _ in range(capacity + 1)]
    for index, size in enumerate(lengths):
        if not 0 < size <= capacity:
            raise ValueError(f"document {index} has {size} tokens; a pack holds 1 to {capacity}")
        of_length[size].append(index)
    bins: list[list[int]] = []
    with_space: list[list[int]] = [[] for _ in range(capacity + 1)]
    spaces = 0  # bit s is set while some bin has s tokens free
    for size in range(capacity, 0, -1):
        for index in of_length[size]:
            fitting = spaces >> size
            if fitting:
                space = size + (fitting & -fitting).bit_length() - 1
                chosen = with_space[space].pop()
                if not with_space[space]:
                    spaces ^= 1 << space
                bins[chosen].append(index)
            else:
                space, chosen = capacity, len(bins)
                bins.append([index])
            if space > size:
                with_space[space - size].append(chosen)
                spaces |= 1 << (space - size)
    return bins


def join(documents: Iterable[Document]) -> dict[str, list[int]]:
    """One pack of these documents, in this order."""
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    for document in documents:
        ids += document.input_ids
        labels += document.labels
        positions += range(len(document.input_ids))
    return {"input_ids": ids, "labels": labels, "positions": positions}


def pack(documents: Sequence[Document], length: int) -> list[dict[str, list[int]]]:
    """Pack whole documents into sequences of at most `length` tokens, best fit decreasing.

    The same documents in the same order give the same packs; the longest documents come first.
    """
    bins = best_fit([len(document.input_ids) for document in documents], length)
    return [join(documents[index] for index in members) for members in bins]


class DocumentStore(Sequence[Document]):
    """Documents held in 4 bytes per token, for corpora of billions of tokens.

    Documents without a supervised token (their prompt fills the length) are counted, not kept.
    """

    def __init__(self, documents: Iterable[Document] = ()):
        self._tokens = array("i")
        self._ends = array("q", [0])
        self._prompts = array("i")
        self.truncated = self.unsupervised = self.supervised_tokens = 0
        for document in documents:
            self.append(document)

    def append(self, document: Document) -> None:
        """Keep `document`, whose supervised tokens are all after its unsupervised ones."""
        self.truncated += document.truncated
        prompt = document.labels.count(IGNORED)
        if prompt == len(document.labels):
            self.unsupervised += 1
            return
        self._tokens.extend(document.input_ids)
        self._ends.append(len(self._tokens))
        self._prompts.append(prompt)
        self.supervised_tokens += len(document.labels) - prompt

    def __len__(self) -> int:
        return len(self._prompts)

    def __getitem__(self, index: int) -> Document:  # type: ignore[override]  # no slices
        if not 0 <= index < len(self):
            raise IndexError(index)
        ids = self._tokens[self._ends[index] : self._ends[index + 1]].tolist()
        prompt = self._prompts[index]
        return Document(ids, [IGNORED] * prompt + ids[prompt:])

    @property
    def tokens(self) -> int:
        """Number of tokens of all documents kept."""
        return len(self._tokens)

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each document."""
        return [self._ends[i + 1] - self._ends[i] for i in range(len(self))]


def pack_tables(
    stage: str, documents: DocumentStore, members: Sequence[list[int]]
) -> Iterator[pa.Table]:
    """The PACKS rows of one stage, a table of at most a thousand packs at a time.

    members: indices of the documents of each pack (see `best_fit`).
    """
    for first in range(0, len(members), _TOGETHER):
        packs = [join(map(documents.__getitem__, m)) for m in members[first : first + _TOGETHER]]
        yield pa.Table.from_pylist([{"stage": stage, **p} for p in packs], schema=PACKS)


class PackFile(Sequence[dict[str, Any]]):
    """The packs of a PACKS file, read a row group at a time: any size, in little memory.

    Raises UserError naming the file where it is missing, damaged or of other columns.
    """

    def __init__(self, path: str | Path):
        self.path = path
        with parquet_errors(path):
            self._file = pq.ParquetFile(path)
            names = self._file.schema_arrow.names
            for name in PACKS.names:
                if name not in names:
                    raise UserError(
                        f'{path}: column "{name}" is missing.{did_you_mean(name, names)}'
                        " Is this a file made by pack_corpus?"
                    )
            self.stages: list[str] = self._file.read(columns=["stage"])["stage"].to_pylist()
        groups = [self._file.metadata.row_group(i) for i in range(self._file.num_row_groups)]
        self._starts, rows = [], 0
        for group in groups:
            self._starts.append(rows)
            rows += group.num_rows
        columns = (g.column(c) for g in groups for c in range(g.num_columns))
        self.tokens = sum(c.num_values for c in columns if c.path_in_schema.startswith("input_ids"))
        self._group, self._table = -1, pa.Table.from_pylist([], schema=PACKS)

    def __len__(self) -> int:
        return len(self.stages)

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]  # no slices
        if not 0 <= index < len(self):
            raise IndexError(index)
        group = bisect.bisect_right(self._starts, index) - 1
        if group != self._group:
            self._group, self._table = group, self._file.read_row_group(group)
        row = index - self._starts[group]
        return {name: self._table[name][row].as_py() for name in PACKS.names}
