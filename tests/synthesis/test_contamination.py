"""Problems that repeat a test problem, and those that only share its phrases."""

import random

import pytest
from jz3.synthesis.contamination import TestQuestions, Thresholds
from jz3.synthesis.question_words import cut

CLIPS = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
    " How many clips did Natalia sell altogether in April and May?"
)
OTHERS = [
    "Weng earns $12 an hour for babysitting. Yesterday, she just did 50 minutes of babysitting."
    " How much did she earn?",
    "Find the sum of the first 10 terms of the arithmetic sequence with first term 3 and"
    " difference 4.",
    "A sequence of numbers a_1, a_2, a_3, ... is defined by a_1 = 2 and a_{n+1} = 3 a_n. Find a_7.",
    "What is 7 times 8?",
    "Evaluate $900 - 5 / 12$.",
    "Let $x$ and $y$ be real numbers such that $x + y = 7$ and $xy = 10$. Find $x^2 + y^2$.",
    "A bakery sells muffins for 2 dollars and scones for 3 dollars. On Monday it sold 14 muffins"
    " and 9 scones. How much money did the bakery make?",
    "How many ways are there to arrange the letters of the word BANANA?",
    "Express $\\frac{3}{8}$ as a decimal.",
    "A train leaves the station at 60 miles per hour. Two hours later another train leaves at 90"
    " miles per hour. How many hours after it leaves does the second train catch the first?",
]


def found(text, questions=(CLIPS, *OTHERS)):
    index = TestQuestions(
        [(f"gsm8k:{i}", q) for i, q in enumerate(questions)], Thresholds(0.34, 0.41)
    )
    return dict(index.find(cut([text]), [text])).get(0, [])


@pytest.mark.parametrize(
    "text",
    [
        CLIPS,
        CLIPS.upper().replace(".", " !"),
        CLIPS.replace("48", "96").replace("half", "twice"),
        CLIPS.replace("Natalia", "Ravi").replace("she", "he").replace("her", "his"),
        "In April Ravi sold clips to 30 of his friends, and then in May he sold half as many clips."
        " What number of clips did he sell altogether in April and May?",
        "Here is a long tale about a shop that has nothing to do with it, told at some length, and"
        " with many further details of no use to anybody at all, as tales are. " + CLIPS
        + " And then the tale goes on, and on, and finds no end before the evening comes at last.",
    ],
)  # fmt: skip
def test_a_test_problem_is_found_changed_or_not(text):
    assert found(text)[0].name == "gsm8k:0"


@pytest.mark.parametrize(
    "text",
    [
        "A machine prints odd numbers and skips each third of them. Find the sum of the first 10"
        " terms of the sequence that it prints in an hour.",
        "A sequence of numbers a_1, a_2, a_3, ... has the property that every term is the mean of"
        " its neighbours. Show that it is arithmetic.",
        "Mia knows what is 7 times 8? She also wants to know how many tiles of 7 by 8 inches she"
        " needs for a floor of 12 by 20 feet, with a tenth more for breakage.",
        "Evaluate $900 + 5 x 12$ when $x$ is the number of days in a week, and compare it with"
        " 1000.",
        "How many friends did Natalia invite to her party in May?",
        "",
        "42",
    ],
)
def test_shared_filler_is_no_contamination(text):
    assert found(text) == []


def test_operators_count():
    assert [match.kind for match in found("Evaluate $900 - 5 / 12$.")] == ["same numbers"]
    assert found("900 + 5 x 12") == []


def test_every_test_problem_is_named_the_most_alike_first():
    near = CLIPS.replace("clips", "pins")
    matches = found(CLIPS, [near, CLIPS, *OTHERS])
    assert [match.name for match in matches] == ["gsm8k:1", "gsm8k:0"]
    assert matches[0].overlap == 1.0
    assert matches[0].shared.startswith("natalia sold clips to 48")


def test_no_tests_and_no_words():
    assert found(CLIPS, []) == []
    assert found("...", ["", "?"]) == []


def test_a_question_without_words_contaminates_nothing():
    assert found("", ["", CLIPS]) == []


def changed(text, generator):
    """Other numbers, other names, a few other words."""
    words = []
    for word in text.split():
        if word.strip(".,?$").isdigit():
            words.append(str(generator.randint(2, 99)))
        elif word in ("Natalia", "Weng"):
            words.append(generator.choice(["Ravi", "Mei"]))
        elif len(word) > 4 and generator.random() < 0.1:
            words.append("thing")
        else:
            words.append(word)
    return " ".join(words)


def test_light_changes_of_word_problems_are_found():
    generator = random.Random(3)
    long = [text for text in (CLIPS, *OTHERS) if len(text.split()) > 14]
    tried = [(text, changed(text, generator)) for text in long for _ in range(20)]
    missed = [new for _, new in tried if not found(new)]
    assert len(missed) <= len(tried) // 20, missed[:3]
