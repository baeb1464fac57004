"""Tool solutions after their programs ran."""

import json
from pathlib import Path

import pytest
from jz3.boxes import last_boxed
from jz3.execution import programs, solutions
from jz3.execution.programs import Execution
from jz3.execution.solutions import execute_rows, mended, tally, with_output

SETTINGS = {"seconds": 4, "memory_mb": 400, "output_characters": 400, "workers": 2}
REAL = Path(__file__).parents[1] / "real" / "released" / "finetune_data_sampled.jsonl"
confined = pytest.mark.skipif(bool(programs.missing_protections()), reason="no confinement here")


def row(program, answer="4", **changes):
    return {
        "mode": "tool",
        "status": "kept",
        "solution": f"```python\n{program}\n```\n\nThe answer is \\boxed{{{answer}}}.",
        "answer": answer,
        "executed": None,
        "answer_agrees": None,
    } | changes


@confined
def test_rows_get_the_real_output_and_their_status():
    rows = [
        row("print(2 + 2)"),
        row("print(2 + 3)"),
        row("print(undefined)"),
        row("x = 4"),
        row("print(4)", status="truncated"),
        row("print(4)", mode="cot"),
        row("print(1)\nprint(5)"),
        row("import random\nprint(random.randint(0, 10**9))"),
        row("print(object())"),
    ]
    done = execute_rows(rows, SETTINGS)
    assert [r["status"] for r in done] == [
        "kept", "kept", "not_executed", "not_executed", "truncated", "kept", "disagrees",
        "not_deterministic", "not_deterministic",
    ]  # fmt: skip
    assert [r["executed"] for r in done[:7]] == [True, True, False, False, None, None, True]
    assert [r["answer_agrees"] for r in done[:7]] == [True, False, None, None, None, None, False]
    assert (done[1]["answer"], done[1]["solution"]) == (
        "5", "```python\nprint(2 + 3)\n```\n```output\n5\n```\n\nThe answer is \\boxed{5}.",
    )  # fmt: skip
    assert done[0]["solution"] == (
        "```python\nprint(2 + 2)\n```\n```output\n4\n```\n\nThe answer is \\boxed{4}."
    )
    assert done[4:6] == rows[4:6]
    assert rows[0]["executed"] is None
    assert tally(done, rows) == {
        "programs": 7, "not_executed": 2, "not_deterministic": 2, "agree": 1, "disagree_kept": 0,
        "replaced": 1, "disagrees": 1,
    }  # fmt: skip
    once = execute_rows(rows, SETTINGS | {"repeat": False})
    assert once[7]["status"] == "kept"


def executed(answer, output, closing=None):
    closing = closing or f"The answer is \\boxed{{{answer}}}."
    return {
        "status": "kept",
        "answer": answer,
        "solution": f"```python\np\n```\n```output\n{output}\n```\n\n{closing}",
    }


@pytest.mark.parametrize(
    ("answer", "output", "policy", "becomes"),
    [
        ("4", "5", "keep", "4"),
        ("4", "5", "reject", None),
        ("4", "5", "replace", "5"),
        ("4", "5", "restate", "5"),
        ("5:15", "5.25", "replace", None),
        ("5:15", "5.25", "restate", "5.25"),
        ("3", "[]", "replace", None),
        ("80", "True", "replace", None),
        ("4", "1\n5", "replace", None),
        ("4", "1\n5", "restate", None),
        ("x + 2", "x**2 + 1", "replace", "x^{2} + 1"),
        ("7", "9" * 60, "restate", None),
    ],
)
def test_policies(answer, output, policy, becomes):
    before = executed(answer, output)
    after = before | mended(before, output, policy)
    if becomes is None:
        assert after["status"] == "disagrees"
        assert after["solution"] == before["solution"]
    else:
        assert (after["status"], after["answer"]) == ("kept", becomes)
        assert last_boxed(after["solution"]) == becomes


def test_a_closing_that_goes_on_from_what_was_printed_is_not_rewritten():
    closing = "We get 2^8 = 16^x, so x = \\boxed{2}."
    before = executed("2", "256.0", closing)
    assert mended(before, "256.0", "replace") == {"status": "disagrees"}
    assert mended(before, "256.0", "restate")["answer"] == "256.0"


def test_a_fence_in_the_output_does_not_end_the_block():
    text = with_output("```python\np\n```\n\nEnd.", "p", "a\n```\nb")
    assert text.count("```") == 4
    assert text.endswith("\n```\n\nEnd.")


@pytest.mark.skipif(not REAL.exists(), reason="real data is not linked (tests/real_answers.py)")
@pytest.mark.parametrize("policy", ["keep", "reject", "replace"])
def test_no_right_answer_of_the_real_rows_is_changed(policy, monkeypatch):
    """Their own output blocks stand for what the programs print."""
    rows = [json.loads(line) for line in REAL.read_text().splitlines()]
    texts = [r["output"] for r in rows if "```python" in r["output"]]
    printed = [text.split("```output\n")[-1].split("\n```")[0] for text in texts]
    found = [Execution("ok", output, "") for output in printed]
    monkeypatch.setattr(solutions, "run_programs", lambda programs, settings, again=False: found)
    before = [
        row("p", last_boxed(text), solution=text.replace("```output", "```ignored"))
        for text in texts
    ]
    after = execute_rows(before, SETTINGS | {"disagreement": policy})
    assert len(after) == 558
    assert [r["answer"] for r in after] == [r["answer"] for r in before]
    assert sum(not r["answer_agrees"] for r in after) < 36
