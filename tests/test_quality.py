"""Faults of written problems: each fault is found, and sound problems have none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jz3 import quality
from jz3.quality import Written

Q = "A baker sells 12 loaves at 3 dollars each. How much money does she take?"
S = "She takes 12 times 3, that is 36 dollars.\n\nThe answer is \\boxed{36}."
CHECKS = {
    "incomplete": quality.incomplete,
    "not_self_contained": quality.not_self_contained,
    "asks_nothing": quality.asks_nothing,
    "several": quality.several,
    "other_language": quality.other_language,
    "length": lambda problem: quality.wrong_length(problem, 100),
    "repetitive": lambda problem: quality.repetitive(problem, 0.3),
    "markers": quality.leftover_markers,
    "echo": quality.echoes_prompt,
    "answer_in_question": quality.tells_answer,
    "encoding": quality.wrong_encoding,
    "refusal": quality.refuses,
    "latex": quality.broken_latex,
    "personal_data": quality.personal_data,
}


def faults(question=Q, solution=S, prompt=""):
    problem = Written(question, solution, prompt)
    return {fault for check in CHECKS.values() if (fault := check(problem))}


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("not_self_contained", {"question": "In the figure below, find the angle at A."}),
        ("not_self_contained", {"question": "As shown in the diagram, AB = 3. Find BC."}),
        ("not_self_contained", {"question": "According to the passage, how old is Tom?"}),
        ("not_self_contained", {"question": "Using Theorem 2.1, prove that x is even."}),
        ("not_self_contained", {"question": "Use the method of the previous problem to find x."}),
        ("not_self_contained", {"question": "Based on the text above, compute the mean."}),
        ("not_self_contained", {"question": "The results are shown in the table below. Find n."}),
        ("not_self_contained", {"question": "See \\ref{eq:1}. What is the value of k?"}),
        ("asks_nothing", {"question": "The sum of two even numbers is even, as we know well."}),
        ("several", {"question": "Problem 1: Find 2 + 3.\n\nProblem 2: Find 4 + 5."}),
        ("several", {"question": "**Question 1:** 2 + 2?\n**Question 2:** 3 + 3?"}),
        ("several", {"solution": f"{S}\n\n## Problem\nFind 3 + 4.\n\n## Solution\nIt is 7."}),
        ("other_language", {"question": "小明有5个苹果, 他又买了7个. 他现在有多少个苹果?"}),
        ("other_language", {"question": "Сколько яблок у Маши, если у неё 5 яблок?"}),
        ("too_long", {"question": "Find the sum. " + "word " * 101}),
        ("too_short", {"question": "Find x."}),
        ("repetitive", {"solution": "We add the two numbers and get the same as before. " * 6}),
        ("repetitive", {"solution": "So it is " + "Ensuring " * 40}),
        ("repetitive", {"solution": "x = 1\n" + "Then we look at the next one.\n" * 5}),
        ("markers", {"question": f"{Q}<|im_end|>"}),
        ("markers", {"question": f"[Problem]: {Q}"}),
        ("markers", {"solution": f"<think>hm</think> {S}"}),
        ("markers", {"question": "Sure! Here is a new problem: find 2 + 2."}),
        ("markers", {"solution": f"{S}\n\nLet me know if you would like another!"}),
        ("markers", {"question": "Find {passage} plus two."}),
        ("markers", {"question": f"{Q}\n\nSolution: she takes 36."}),
        ("markers", {"question": "What is [insert number here] plus 3?"}),
        ("echo", {"question": "Write one new problem about what the text says and solve it",
                  "prompt": "Write one new problem about what the text says and solve it step by"}),
        ("answer_in_question", {"question": f"{Q} The answer is 36."}),
        ("encoding", {"question": "What is the cafÃ©'s price of 3 cakes at 2 dollars each?"}),
        ("encoding", {"question": "Itâ€™s 3 o'clock. What time is it in 5 hours?"}),
        ("encoding", {"solution": "It is 5\ufffd, so the answer is 5."}),
        ("encoding", {"solution": "It is \x00 5, so the answer is 5."}),
        ("refusal", {"question": "I'm sorry, but I cannot create a problem from this text."}),
        ("refusal", {"question": "The given text does not contain any mathematical content?"}),
        ("latex", {"solution": "Then $\\frac{1}{2$ is it. The answer is 1."}),
        ("latex", {"question": "Find \\(x + 1 if x = 2."}),
        ("latex", {"question": "Find $\\left( 3 + 4$ now."}),
        ("latex", {"question": "Find \\begin{matrix} 1 & 2 \\end{pmatrix}."}),
        ("latex", {"question": "Find \\u03C7}_n for all n."}),
        ("personal_data", {"question": "Write to anna.meyer@gmail.com: what is 2 + 2?"}),
        ("personal_data", {"question": "Call (555) 123-4567. How many digits are odd?"}),
        ("personal_data", {"question": "Tom's number is 123-45-6789. Find its digit sum."}),
        ("personal_data", {"question": "Find the digit sum of card 4111 1111 1111 1111."}),
        ("personal_data", {"question": "The host 8.8.4.4 answers 5 of 7 calls. What share is it?"}),
        ("incomplete", {"solution": ""}),
        ("incomplete", {"solution": "Then we get the numbers, and \\boxed{}"}),
        ("incomplete", {"solution": "Let us begin with the first number and"}),
    ],
)  # fmt: skip
def test_a_fault_is_found(fault, changes):
    assert fault in faults(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"question": "Compute $\\frac{1}{2} + \\left(\\frac{1}{3}\\right)^2$."},
        {"question": "Parts: (a) Find 2 + 3. (b) Use part (a) to find 4 + 5. What is their sum?"},
        {"question": "An image of 160 KB is compressed to 4 KB. What is the compression ratio?"},
        {"question": "A table costs 50 dollars and a chair 20. How much do a table and 4 chairs cost?"},
        {"question": "The results are shown in the table below.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
                     "What is a + b?"},
        {"question": "The figure of a dancer turns 3 times a minute. How often in an hour?"},
        {"question": "Is $3 > 2$? Answer yes or no, and say why the answer is what it is."},
        {"question": "How many 3-digit numbers are there between 100-200 and 555-600?"},
        {"question": "Find the value of $\\pi r^2$ for r = 2 in the café of Zoë."},
        {"question": "26 - 18 ="},
        {"question": "Let $f: A \\to B$ be given such that the diagram commutes. Is $f$ onto?"},
        {"question": "The version is 2.10.3.4 of 10.0.0.1. How many dots are there?"},
        {"solution": "```python\nd = {1: 2}\nprint(d[1])\n```\n\nThe answer is \\boxed{2}."},
        {"solution": "The number of rows is 3.\n\nSo, Sarah can make 12 groups of each."},
        {"solution": "Thus, by the theorem, $a^2 + b^2 = c^2$, which is what we wanted to prove."},
        {"solution": "We have $12 \\times 3 = 36$ dollars in all."},
        {"solution": "First 2 + 2 = 4. Then 4 + 4 = 8. Then 8 + 8 = 16. Therefore it is 16."},
    ],
)  # fmt: skip
def test_sound_problems_have_no_fault(changes):
    assert faults(**changes) == set()


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=40))
def test_no_text_breaks_a_check(question, solution, prompt):
    assert faults(question, solution, prompt) <= {
        *CHECKS, "too_short", "too_long", "markers", "answer_in_question",
    }  # fmt: skip


def test_long_hostile_texts_end_soon():
    for text in (
        "{" * 50_000,
        "a@" * 30_000,
        "1 " * 50_000,
        "[" * 50_000,
        "\\" * 50_001,
        "|" * 50_000,
    ):
        faults(text, text, text[:1000])
