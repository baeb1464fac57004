"""Questions as words: what makes two of them the same, and what does not."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jz3.synthesis.question_words import cut, normalised, phrases


def spelled(text):
    """The words of a text as they stand there."""
    words = cut([text])
    return [normalised(text)[a:b] for a, b in zip(words.start, words.end, strict=True)]


def hashes(text):
    return cut([text]).hashes.tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What's  3.5 × well-known", ["what", "s", "3.5", "×", "well", "known"]),
        ("900 - 5 / 12", ["900", "-", "5", "/", "12"]),
        ("1,234.5 and 1,2", ["1,234.5", "and", "1", "2"]),
        ("f'(x) = 5!", ["f", "'", "(", "x", ")", "=", "5", "!"]),
        ("Stop! Ratio 3:5, at noon: go", ["stop", "ratio", "3", ":", "5", "at", "noon", "go"]),
        ("小明有5个", ["小", "明", "有", "5", "个"]),
        (r"\left(\frac{1}{x}\right)", ["(", r"\frac", "1", "x", ")"]),
        ("x^{2y}", ["x", "^", "{", "2", "y", "}"]),
        ("", []),
        ("... --", ["-", "-"]),
        ("a_1", ["a", "1"]),
    ],
)
def test_words_by_hand(text, words):
    assert spelled(text) == words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,234", "1234"),
        (r"5 \times 3", "5 × 3"),
        (r"\dfrac{1}{2}", r"\frac 1 2"),
        ("x²", "x^{2}"),
        ("ＡＢ C", "ab c"),
        (r"a \leq b", "a ≤ b"),
        (r"\text{Find } x", "find x"),
        ("3 − 5", "3 - 5"),
        ("$x$ dollars.", "x dollars"),
    ],
)
def test_spellings_of_one_thing_are_the_same(one, other):
    assert hashes(one) == hashes(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5 + 3", "5 - 3"),
        ("x^2 - 4 = 0", "x^2 + 4 = 0"),
        ("900 + 5 x 12", "900 - 5 / 12"),
        (r"\frac{12}{3}", r"\frac{1}{23}"),
        ("1.5", "15"),
        ("f(x)", "f'(x)"),
        ("x < 3", "x > 3"),
        ("ab", "ba"),
        ("小明", "明小"),
        ("2(x+1)", "2x+1"),
    ],
)
def test_other_things_differ(one, other):
    assert hashes(one) != hashes(other)


def test_masked_numbers_are_one_word():
    a = cut(
        ["Ann has 3 apples and twenty five pears", "Ann has 41 apples and six pears", "3", "3 4"]
    )
    masked = a.masked()
    assert masked.of(0).tolist() == masked.of(1).tolist()
    assert len(masked.of(2)) == len(masked.of(3)) == 1


@given(st.lists(st.text(max_size=40), max_size=6))
def test_a_text_has_the_same_words_alone_and_among_others(texts):
    together = cut(texts)
    assert len(together) == len(texts)
    for place, text in enumerate(texts):
        assert together.of(place).tolist() == hashes(text)
        assert together.masked().of(place).tolist() == cut([text]).masked().hashes.tolist()


@given(st.text("ab1,.-+ (){}\\\n", max_size=30))
def test_letters_and_digits_are_never_lost(text):
    kept = "".join(spelled(text))
    assert re.sub(r"[^ab1]", "", kept) == re.sub(r"[^ab1]", "", text)


def test_phrases_stay_within_their_text():
    words = cut(["a b c", "", "d e"])
    text, found = phrases(words, 2)
    assert text.tolist() == [0, 0, 2]
    assert len(set(found.tolist())) == 3
    assert phrases(cut(["x a b", "a b y"]), 2)[1][1] == phrases(cut(["a b y"]), 2)[1][0]


def test_lone_surrogates_are_no_words():
    assert spelled("a \ud800 b") == ["a", "b"]
