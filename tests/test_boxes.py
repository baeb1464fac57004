"""The one reader of boxed answers."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jz3 import boxes
from jz3.boxes import last_boxed


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"It is \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\fbox{6}, not 7", "6"),
        (r"\boxed {4}", "4"),
        ("\\boxed\n{4}", "4"),
        (r"So $\boxed 5$.", "5"),
        (r"so \boxed5.", "5"),
        (r"\boxed 3.5.", "3.5"),
        (r"\boxed\frac{1}{2}$", r"\frac{1}{2}"),
        (r"\boxed\frac12$", r"\frac12"),
        (r"\boxed{2}, no, \boxed{3}", "3"),
        (r"\boxed{7} and then \boxed{ }", "7"),
        (r"\boxed{7} and then \boxed{8", "7"),
        (r"\boxed{a \boxed{4}}", "4"),
        (r"\boxed{a \boxed{} b}", r"a \boxed{} b"),
        (r"\boxed{\{x : x > 1\}} tail }", r"\{x : x > 1\}"),
        (r"\boxed{a \\} b}", r"a \\"),
        (r"line \\\boxed{3}", "3"),
        (r"escaped twice \\boxed{3}", "3"),
        (r"\boxed{12", ""),
        ("written \\boxed\nand on", ""),
        ("no box", ""),
    ],
)
def test_last_boxed(text, content):
    assert last_boxed(text) == content


def test_boxes_say_where_they_are():
    text = r"a \boxed{1} b \boxed 2. \boxed{3"
    found = boxes.find(text)
    assert [text[box.start : box.end] for box in found] == [r"\boxed{1}", r"\boxed 2", r"\boxed{3"]
    assert [box.content for box in found] == ["1", "2", None]


@given(st.text(alphabet="ab{}\\$ ", max_size=30))
def test_content_has_matched_braces(text):
    inside = last_boxed(r"\boxed{" + text + "}")
    assert boxes.closing("{" + inside + " }", 0) == len(inside) + 2


@pytest.mark.parametrize("text", [r"\boxed{", r"\boxed{}", r"\boxed", r"\boxed\frac{", "\\{", "{"])
def test_a_million_characters_take_one_pass(text):
    started = time.process_time()
    assert last_boxed(text * (10**6 // len(text))) in ("", "\\frac")
    assert time.process_time() - started < 5
