"""Encoding, best-fit packing and files of packs (scripts/jz3/training/packing.py)."""

import random

import pyarrow as pa
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from jz3 import io
from jz3.records import PACKS
from jz3.training import packing
from jz3.training.packing import (
    IGNORED,
    Document,
    DocumentStore,
    best_fit,
    encode,
    encode_all,
    pack,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors


def letters(bos: bool = False, eos: bool = True, merges=()) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer of single letters: a=2, b=3, ... space=28; `merges` make longer tokens."""
    vocabulary = {"<s>": 0, "</s>": 1}
    for letter in "abcdefghijklmnopqrstuvwxyz ":
        vocabulary[letter] = len(vocabulary)
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    inner = Tokenizer(models.BPE(vocabulary, list(merges)))
    if bos:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    special = {"bos_token": "<s>"} | ({"eos_token": "</s>"} if eos else {})
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **special)


# ---------------------------------------------------------------- encoding


def test_labels_cover_completion_and_end_only():
    document = encode(letters(), "ab", "cd", 10)
    assert document == Document([2, 3, 4, 5, 1], [IGNORED, IGNORED, 4, 5, 1])
    assert document.supervised == 3


def test_bos_stands_first_if_the_tokenizer_adds_it():
    assert encode(letters(bos=True), "ab", "c", 10).input_ids == [0, 2, 3, 4, 1]
    assert encode(letters(), "ab", "c", 10).input_ids == [2, 3, 4, 1]


@pytest.mark.parametrize(
    ("length", "ids", "truncated"),
    [(6, [2, 3, 4, 5, 1], False), (5, [2, 3, 4, 5, 1], False), (4, [2, 3, 4, 5], True)],
)
def test_end_token_only_where_the_text_really_ends(length, ids, truncated):
    document = encode(letters(), "ab", "cd", length)
    assert (document.input_ids, document.truncated) == (ids, truncated)


def test_first_token_is_never_trained_even_without_prompt():
    assert encode(letters(), "", "ab", 10).labels == [IGNORED, 3, 1]


def test_token_spanning_the_boundary_is_split_there():
    """The prompt's tokens must be those that the model gets when it is asked."""
    merged = letters(merges=[("b", "c")])
    assert merged("abcd")["input_ids"] == [2, 29, 5]
    assert encode(merged, "ab", "cd", 10) == Document([2, 3, 4, 5, 1], [IGNORED, IGNORED, 4, 5, 1])


def test_completion_is_tokenised_in_its_context():
    """A tokenizer that marks the start of a text must not mark the middle of one."""
    inner = Tokenizer(models.BPE({"</s>": 0, "▁": 1, "a": 2, "b": 3}, [], byte_fallback=False))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>")
    assert tokenizer("b")["input_ids"] == [1, 3]
    assert encode(tokenizer, "a", "b", 9).input_ids == [1, 2, 3, 0]


def test_no_end_token_is_an_error():
    with pytest.raises(io.UserError, match="end-of-text"):
        encode(letters(eos=False), "a", "b", 9)


@given(st.lists(st.tuples(st.text("abc ", max_size=6), st.text("abc ", max_size=6)), max_size=5))
@settings(max_examples=60, deadline=None)
def test_batches_equal_single_texts(pairs):
    tokenizer = letters(merges=[("a", "b"), ("b", "c")])
    documents = list(encode_all(tokenizer, pairs, 8))
    assert documents == [encode(tokenizer, *pair, 8) for pair in pairs]
    for (prompt, completion), document in zip(pairs, documents, strict=True):
        asked = tokenizer(prompt)["input_ids"]
        assert document.input_ids[: len(asked)] == asked[:8]
        assert all(
            label == token if index >= max(1, len(asked)) else label == IGNORED
            for index, (token, label) in enumerate(
                zip(document.input_ids, document.labels, strict=True)
            )
        )
        if not document.truncated:
            assert tokenizer.convert_ids_to_tokens(document.input_ids)[-1] == "</s>"
            assert "".join(tokenizer.convert_ids_to_tokens(document.input_ids)[:-1]) == (
                prompt + completion
            )


# ---------------------------------------------------------------- packing


def test_best_fit_by_hand():
    # capacity 10; 7 opens a bin (3 left), 6 another (4 left), 4 fits the second exactly,
    # 3 fits the first exactly, 2 and 1 share a third.
    assert best_fit([3, 7, 6, 2, 4, 1], 10) == [[1, 0], [2, 4], [3, 5]]


def test_tightest_space_is_chosen():
    assert best_fit([5, 6, 4], 10) == [[1, 2], [0]]


def test_pack_by_hand():
    documents = [Document([1, 2], [IGNORED, 2]), Document([3, 4, 5], [IGNORED, 4, 5])]
    assert pack(documents, 5) == [
        {
            "input_ids": [3, 4, 5, 1, 2],
            "labels": [IGNORED, 4, 5, IGNORED, 2],
            "positions": [0, 1, 2, 0, 1],
        }
    ]


@pytest.mark.parametrize("size", [0, 11])
def test_impossible_length_is_refused(size):
    with pytest.raises(ValueError, match="document 1"):
        best_fit([3, size], 10)


def next_fit(lengths, capacity):
    bins, free = 0, 0
    for size in lengths:
        if size > free:
            bins, free = bins + 1, capacity
        free -= size
    return bins


@given(st.integers(1, 40).flatmap(lambda c: st.tuples(st.just(c), st.lists(st.integers(1, c)))))
def test_every_document_once_and_none_cut(case):
    capacity, lengths = case
    bins = best_fit(lengths, capacity)
    assert sorted(index for members in bins for index in members) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in members) <= capacity for members in bins)
    # best fit decreasing needs at most 11/9 of the optimum and 6/9 of a bin, so also of next fit
    assert 9 * len(bins) <= 11 * next_fit(lengths, capacity) + 6


def naive_best_fit(lengths, capacity):
    bins = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fitting = [b for b in bins if b[0] >= lengths[index]]
        chosen = min(fitting, key=lambda b: b[0]) if fitting else [capacity, []]
        if not fitting:
            bins.append(chosen)
        chosen[0] -= lengths[index]
        chosen[1].append(index)
    return sorted(free for free, _ in bins)


@given(st.lists(st.integers(1, 30), max_size=60))
def test_same_fill_as_a_plain_search(lengths):
    free = sorted(30 - sum(lengths[i] for i in members) for members in best_fit(lengths, 30))
    assert free == naive_best_fit(lengths, 30)


def test_fill_on_lengths_like_the_corpora():
    draw = random.Random(5)
    lengths = [min(2048, max(40, int(draw.lognormvariate(6.4, 0.55)))) for _ in range(20_000)]
    full = sum(lengths) / 2048
    assert full / len(best_fit(lengths, 2048)) > 0.99
    assert full / next_fit(lengths, 2048) < 0.85


# ---------------------------------------------------------------- stores and files


def some_documents(count=2500, seed=3):
    draw = random.Random(seed)
    for _ in range(count):
        ids = [draw.randrange(2, 99) for _ in range(draw.randint(2, 20))]
        prompt = draw.randint(1, len(ids) - 1)
        yield Document(ids, [IGNORED] * prompt + ids[prompt:])


def test_store_gives_back_what_it_was_given():
    documents = list(some_documents(50))
    hopeless = Document([5, 6], [IGNORED, IGNORED], truncated=True)
    store = DocumentStore([*documents, hopeless])
    assert list(store) == documents
    assert store.lengths == [len(d.input_ids) for d in documents]
    assert store.tokens == sum(store.lengths)
    assert store.supervised_tokens == sum(d.supervised for d in documents)
    assert (store.truncated, store.unsupervised) == (1, 1)


def test_file_of_packs_reads_back_row_group_by_row_group(tmp_path):
    documents = list(some_documents())
    store = DocumentStore(documents)
    members = [[index] for index in range(len(store))]
    path = tmp_path / "packed.parquet"
    io.write_table(path, packing.pack_tables("pretrain", store, members), PACKS, {})
    packs = packing.PackFile(path)
    assert len(packs) == 2500
    assert packs._file.num_row_groups == 3
    assert packs.tokens == store.tokens
    for index in (0, 999, 1000, 2499, 1):
        assert packs[index] == {"stage": "pretrain", **packing.join([documents[index]])}
    with pytest.raises(IndexError):
        packs[2500]


def test_damaged_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "packed.parquet"
    with pytest.raises(io.UserError, match=r"packed\.parquet: no such file"):
        packing.PackFile(path)
    path.write_bytes(b"PAR1 torn")
    with pytest.raises(io.UserError, match="not a readable Parquet"):
        packing.PackFile(path)
    schema = pa.schema([("input_id", pa.int32())])
    io.write_table(path, pa.table({"input_id": pa.array([1], pa.int32())}), schema, {})
    with pytest.raises(io.UserError, match='column "stage" is missing'):
        packing.PackFile(path)
