"""Counts and texts in short form."""

import pytest
from jz3.text import short, shorten


@pytest.mark.parametrize(
    ("value", "text"), [(0, "-"), (999, "999"), (1000, "1k"), (999_600, "1M"), ("46700", "46.7k")]
)
def test_short_counts(value, text):
    assert short(value) == text


def test_units_take_the_letters_as_prefixes():
    assert (short(3.6e9), short(3.6e9, "B"), short(12, "B")) == ("3.6B", "3.6 GB", "12 B")
    assert (short(999.6), short(999.6, "B"), short(0, "B")) == ("1k", "1 kB", "-")


def test_what_is_cut_says_so():
    assert shorten("four words and more", 19) == "four words and more"
    assert shorten("four words and more", 11) == "four words [...]"
