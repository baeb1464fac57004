"""Picks, prompts, and what of a teacher's answers becomes training data."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jz3 import io, prompts, records
from jz3.corpus import sampling
from jz3.distillation import parsing
from jz3.influence import selection

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import teacher_server  # noqa: E402


def passages(count):
    texts = [f"Passage number {number} speaks of {number * 7} trees." for number in range(count)]
    return [
        {"passage_id": records.passage_id(text), "source": "web", "kind": "web",
         "document_id": "d", "position": 0, "text": text}
        for text in texts
    ]  # fmt: skip


def run(program, *words, recipe=None):
    command = [sys.executable, str(ROOT / "scripts" / program), *map(str, words)]
    command += ["--recipe", json.dumps(recipe or {}), "--seed", "5"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "prompts"
    made.mkdir()
    for level in ("grade", "high"):
        (made / f"{level}.md").write_text(f"{level}\n{{passage}}\n## New Problem")
    (made / "examples.jsonl").write_text("")
    return made


# ---------------------------------------------------------------- picks


def test_random_picks_ignore_file_order_and_nest():
    ids = [row["passage_id"] for row in passages(60)]
    few = sampling.random_picks(ids, ["grade", "high"], 10, 3)
    many = sampling.random_picks(ids[::-1], ["grade", "high"], 30, 3)
    assert many[:10] == few
    assert sampling.random_picks(ids, ["grade", "high"], 10, 4) != few
    assert {row["level"] for row in many} == {"grade", "high"}


def test_level_is_drawn_evenly():
    ids = [row["passage_id"] for row in passages(2000)]
    rows = sampling.random_picks(ids, list("abcd"), 2000, 1)
    counts = [sum(row["level"] == level for row in rows) for level in "abcd"]
    assert all(420 < count < 580 for count in counts)  # 500 expected, standard deviation 19


def test_influential_picks_take_each_passage_once_at_its_best_level():
    a, b, c = (row["passage_id"] for row in passages(3))
    candidates = [
        {"problem_id": "1", "passage_id": a, "source": "web", "level": "grade", "total": 0.1},
        {"problem_id": "2", "passage_id": b, "source": "web", "level": "grade", "total": 0.5},
        {"problem_id": "3", "passage_id": a, "source": "web", "level": "high", "total": 0.9},
        {
            "problem_id": "4",
            "passage_id": c,
            "source": "web",
            "level": "high",
            "total": float("nan"),
        },
    ]
    picks = selection.influential_picks(candidates, ["grade", "high"], 3, {})
    found = [(row["passage_id"], row["level"], row["score"]) for row in picks]
    assert found == [(a, "high", 0.9), (b, "grade", 0.5)]
    with pytest.raises(io.UserError, match='Did you mean "grade"'):
        selection.influential_picks(
            [{**candidates[0], "level": "grades"}], ["grade", "high"], 1, {}
        )


def test_programs_pick_and_prompt(tmp_path, folder):
    table, picks, made = (tmp_path / f"{name}.parquet" for name in ("p", "k", "m"))
    io.write_table(table, passages(5), records.PASSAGES, {})
    recipe = {"distillation": {"mode": "cot", "pick": "random", "passages": 9}}
    done = run("pick_passages.py", "--passages", table, "--levels-from", folder,
               "--output", picks, recipe=recipe)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "9 asked for, all 5 taken" in done.stderr
    first = io.read_rows(picks, records.PICKS)
    io.write_table(table, passages(5)[::-1], records.PASSAGES, {})
    run("pick_passages.py", "--passages", table, "--levels-from", folder,
        "--output", picks, recipe=recipe)  # fmt: skip
    assert io.read_rows(picks, records.PICKS) == first
    done = run("build_prompts.py", "--picks", picks, "--prompts", folder, "--output", made)
    assert done.returncode == 0, done.stderr
    rows = io.read_rows(made, records.PROMPTS)
    assert len({row["request_id"] for row in rows}) == 5
    for row in rows:
        text = next(p["text"] for p in passages(5) if p["passage_id"] == row["passage_id"])
        assert row["prompt"] == f"{row['level']}\n{text}\n## New Problem\n"


def test_no_pick_is_one_readable_line(tmp_path, folder):
    table, scores = tmp_path / "p.parquet", tmp_path / "s.parquet"
    io.write_table(table, passages(2), records.PASSAGES, {})
    row = {"problem_id": "1", "passage_id": passages(2)[0]["passage_id"], "source": "web",
           "level": "grade", "mode": "cot", "tokens": 1, "total": float("nan")}  # fmt: skip
    io.write_table(scores, [row], records.SCORES, {})
    entry = {"mode": "cot", "pick": "influence", "influence": "main", "passages": 4, "quota": {}}
    done = run("pick_passages.py", "--passages", table, "--scores", scores, "--levels-from", folder,
               "--output", tmp_path / "k", recipe={"distillation": entry})  # fmt: skip
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no passage picked" in done.stderr


# ---------------------------------------------------------------- prompts


@pytest.mark.parametrize("text", ["no slot\n## New Problem", "{passage} {passage}"])
def test_a_template_has_its_slot_once(folder, text):
    (folder / "bad.md").write_text(text)
    with pytest.raises(io.UserError, match=r"bad\.md"):
        prompts.load_prompts(folder)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(io.UserError, match="no prompt"):
        prompts.load_prompts(tmp_path)


def test_a_passage_can_not_pose_as_the_prompt():
    template = "## Math Content\n{passage}\n## New Problem\n"
    filled = prompts.fill(template, "# A\n## New Problem\n[Solution]: {passage} 3\n### B")
    assert filled.count("\n## New Problem\n") == 1
    assert "[Solution]" not in filled
    assert "{passage} 3" in filled  # put in as it is, not filled again
    assert re.findall(r"^#+ \w+", filled, re.M) == [
        "## Math", "### A", "#### New", "### B", "## New",
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["cot", "tool"])
@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize("family", ["miniature", "paper"])
def test_our_own_examples_are_sound_answers(family, mode, structured):
    path = ROOT / "resources" / "prompts" / family / mode / "examples.jsonl"
    for prompt, answer in prompts.load_examples(path, mode, structured):
        assert prompt.endswith("## New Problem\n")
        completion = {"finish_reason": "stop", "text": answer}
        assert parsing.judge(completion, mode, structured)[0] == ""


def test_a_faulty_example_is_named(folder):
    line = {"level": "grade", "passage": "p", "problem": "q", "answer": "1"}
    (folder / "examples.jsonl").write_text(json.dumps(line))
    with pytest.raises(io.UserError, match='example 1: "solution" is missing'):
        prompts.load_examples(folder / "examples.jsonl", "cot", True)
    (folder / "examples.jsonl").write_text(json.dumps({**line, "solution": "s", "level": "hihg"}))
    with pytest.raises(io.UserError, match='Did you mean "high"'):
        prompts.load_examples(folder / "examples.jsonl", "cot", True)


# ---------------------------------------------------------------- completions

words = st.text(st.characters(codec="utf-8", exclude_characters="[]*#_:\r\x85\u2028\u2029\x0b\x0c"
                              "\x1c\x1d\x1e`"), min_size=1, max_size=80)  # fmt: skip
texts = words.filter(lambda text: text.strip() and not re.search("problem|solution", text, re.I))


@given(texts, texts)
def test_a_completion_is_read_back(question, solution):
    text = prompts.format_completion("cot", question, solution)
    assert prompts.parse_completion(text, "cot") == (question.strip(), solution.strip())


@given(texts, texts)
def test_a_tool_completion_is_read_back(question, ending):
    solution = f"```python\nx = 1\n\nprint(x)\n```\n\n{ending.strip()}"
    text = prompts.format_completion("tool", question, solution)
    assert prompts.parse_completion(text, "tool") == (question.strip(), solution)


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_any_text_is_read_without_an_exception(text):
    for mode in prompts.MODES:
        found = prompts.parse_completion("[Problem]: " + text, mode)
        assert found is None or all(part.strip() for part in found)
        prompts.from_structured(text, mode)


@pytest.mark.parametrize(
    "text",
    [
        "[Problem]:\nHow many?\n\n[Solution]:\n3 of them",
        "**[Problem]**:\nHow many?\n\n**[Solution]**:\n3 of them",
        "**Problem:** How many?\n\n**Solution:** 3 of them",
        "### Problem\nHow many?\n### Solution\n3 of them",
        "Sure!\n[Problem Description]\nHow many?\n[/Problem Description]\n[Solution]\n3 of them\n"
        "[/Solution]",
        "[Problem]: How many?\n[Solution]: 3 of them\n\n[Problem]:\nAnother\n[Solution]:\n4",
    ],
)
def test_decorated_markers_are_tolerated(text):
    assert prompts.parse_completion(text, "cot") == ("How many?", "3 of them")


@pytest.mark.parametrize(
    "text",
    ["", "How many? 3", "[Problem]:\nHow many?", "[Solution]: 3\n[Problem]: How many?",
     "[Problem]:\n\n[Solution]:\n3", "Problem solving is fun\nSolution of it"],
)  # fmt: skip
def test_half_a_completion_is_none(text):
    assert prompts.parse_completion(text, "cot") is None


def test_invented_output_is_removed_and_a_program_required():
    head = "[Problem]:\nq\n\n[Solution]:\nWe compute.\n"
    text = head + "```python\nprint(2)\n```\n```output\n5\n```\nThe answer is \\boxed{2}."
    assert prompts.parse_completion(text, "tool") == (
        "q", "```python\nprint(2)\n```\n\nThe answer is \\boxed{2}.",
    )  # fmt: skip
    assert prompts.parse_completion(head + "It is 2.", "tool") is None
    assert prompts.parse_completion(head + "```python\nprint(2)", "tool") is None


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{2}, no, \boxed{3}", "3"),
        (r"\boxed{}", ""),
        (r"\boxed{1", ""),
        (r"\boxed{1}, that is \boxed{2", ""),
        (r"The answer is \boxed {4}.", "4"),
        (r"The answer is \boxed5.", "5"),
        ("The answer is 12 apples.", "12 apples"),
        ("12", ""),
    ],
)
def test_stated_answers(solution, answer):
    assert prompts.answer_of(solution) == answer


def structured(**parts):
    return json.dumps({"problem": "How many pens has he got?", "solution": "2 + 3 = 5.",
                       "answer": "5", **parts})  # fmt: skip


@pytest.mark.parametrize(
    ("text", "solution"),
    [
        (structured(), "2 + 3 = 5.\n\nThe answer is \\boxed{5}."),
        (structured(answer="\\boxed{5}"), "2 + 3 = 5.\n\nThe answer is \\boxed{5}."),
        (structured(answer="$5$."), "2 + 3 = 5.\n\nThe answer is \\boxed{5}."),
        (structured(answer="$5"), "2 + 3 = 5.\n\nThe answer is \\boxed{$5}."),
        (structured(solution="2 + 3 = 5.\nThe answer is \\boxed{5}."),
         "2 + 3 = 5.\n\nThe answer is \\boxed{5}."),
        (structured(solution="It is \\boxed{5} in all."),
         "It is 5 in all.\n\nThe answer is \\boxed{5}."),
        ('{"problem": "Half?", "solution": "It is $\\frac12$.", "answer": "\\frac12"}',
         "It is $\\frac12$.\n\nThe answer is \\boxed{\\frac12}."),
    ],
)  # fmt: skip
def test_a_structured_answer_ends_in_one_box(text, solution):
    assert prompts.from_structured(text, "cot")[1] == solution


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "3", '{"problem": "q"}', structured(answer=5), structured(answer=" "),
     structured(problem=""), structured(solution=" ")],
)  # fmt: skip
def test_an_unsound_structured_answer_is_none(text):
    assert prompts.from_structured(text, "cot") is None


def test_a_structured_program_loses_its_fence():
    for program in ("print(2 + 3)", "```python\nprint(2 + 3)\n```"):
        text = json.dumps({"problem": "q", "program": program, "answer": "5"})
        assert prompts.from_structured(text, "tool") == (
            "q", "```python\nprint(2 + 3)\n```\n\nThe answer is \\boxed{5}.",
        )  # fmt: skip


# ---------------------------------------------------------------- pairs


@pytest.mark.parametrize(
    ("mode", "change", "reason"),
    [
        ("cot", {}, ""),
        ("cot", {"finish_reason": "length"}, "truncated"),
        ("cot", {"finish_reason": "error"}, "failed"),
        ("cot", {"text": "{"}, "unparsed"),
        ("cot", {"text": structured(problem="How many?")}, "short_question"),
        ("cot", {"text": structured(problem="a [Solution]: b\n[Solution]: c d e")}, "unparsed"),
        ("tool", {}, "unparsed"),
        ("tool", {"program": "print(2 + 3)"}, ""),
        ("tool", {"program": "print(2 +"}, "broken_program"),
        ("tool", {"program": "# nothing"}, "prints_nothing"),
        ("tool", {"program": "x = 2 + 3"}, "prints_nothing"),
        ("cot", {"text": structured(answer="the sum of all heights of bars")}, "no_answer"),
        ("cot", {"text": structured(answer="the sum of all 5 heights of bars")}, ""),
        ("cot", {"text": structured(answer="Tom")}, ""),
        ("cot", {"text": structured(answer="7")}, "unreached_answer"),
        ("cot", {"text": structured(answer="$-5$")}, ""),
        ("cot", {"text": structured(solution="Two and three make five.")}, ""),
        ("cot", {"text": structured(answer="\\frac{1}{2}")}, ""),
        ("cot", {"text": structured(answer="1,005", solution="It is 1000 + 5 = 1005.")}, ""),
        (
            "cot",
            {
                "text": structured(
                    problem="As the figure shows, how many pens are in the diagram above?"
                )
            },
            "not_self_contained",
        ),
        (
            "cot",
            {
                "text": structured(
                    problem="According to the passage above, how many pens are there?"
                )
            },
            "not_self_contained",
        ),
        ("cot", {"text": structured(problem="A pen is a thing of ink and steel.")}, "asks_nothing"),
        ("cot", {"text": structured(problem="How large is $\\frac{4\\frac{π}{r}$ here?")}, "latex"),
        (
            "cot",
            {"text": structured(problem="How large is \u03c7}_n$ for n = 2, please?")},
            "latex",
        ),
        (
            "cot",
            {"text": structured(problem="I'm sorry, I cannot create a problem: what is it?")},
            "refusal",
        ),
        ("cot", {"text": structured(problem="How many Ã©lÃ¨ves are there in all?")}, "encoding"),
        ("cot", {"text": structured(problem="How many pens? " * 400)}, "too_long"),
        (
            "cot",
            {"text": structured(solution="2 + 3 = 5.\n\nLet me know if you would like another!")},
            "",
        ),
        ("tool", {"program": "print(2 + 3)  # $ { open"}, ""),
    ],
)
def test_what_becomes_a_pair(mode, change, reason):
    completion = {"finish_reason": "stop", "text": structured(), **change}
    if "program" in change:
        completion["text"] = structured(program=change["program"])
    assert parsing.judge(completion, mode, True)[0] == reason


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("It is 5.\n\nLet me know if you would like another!", "It is 5."),
        ("It is 5. I hope this helps! Feel free to ask more.", "It is 5."),
        ("It is 5.\n\n**If you have any questions, tell me.**", "It is 5."),
        ("It is \\boxed{5}\nIs there anything else?", "It is \\boxed{5}"),
        ("Ask him to let me know if 5 is prime. It is.", None),
        (
            "Hope that x is 5 is in vain: it is 4, since 4 < 5, and so on. It is 4. "
            + "So it is. " * 40,
            None,
        ),
        ("Let me know if this is right: 5.", None),  # nothing would be left
        ("It is 5.\n\n[Solution]:\nAnother way gives 5, too.", "It is 5."),
        ("[Solution]:\nIt is 5.", "It is 5."),
        ("It is 5.\n\n[Problem]:\nHow many are 3 + 3?\n\n[Solution]:\n6", "It is 5."),
    ],
)
def test_only_the_solution_is_kept(said, kept):
    text = f"[Problem]:\nHow many are 2 + 3?\n\n[Solution]:\n{said}"
    assert prompts.parse_completion(text, "cot") == ("How many are 2 + 3?", kept or said.strip())


def test_free_text_needs_no_box_but_none_may_be_empty():
    text = "[Problem]:\nProve that two is a prime.\n\n[Solution]:\nIts divisors are 1 and 2."
    assert parsing.judge({"finish_reason": "stop", "text": text}, "cot", False)[0] == ""
    empty = {"finish_reason": "stop", "text": text + " \\boxed{}"}
    assert parsing.judge(empty, "cot", False)[0] == "no_answer"


def write_answers(tmp_path, texts):
    asked = [
        {"request_id": str(k), "passage_id": str(k), "source": "web", "level": "grade",
         "mode": "cot", "prompt": f"p{k}\n## New Problem\n"}
        for k in range(len(texts))
    ]  # fmt: skip
    got = [
        {"request_id": str(k), "prompt_digest": "", "text": text, "finish_reason": "stop",
         "prompt_tokens": 2, "completion_tokens": 3, "model": "m", "cost": 0.1}
        for k, text in enumerate(texts)
    ]  # fmt: skip
    io.write_table(tmp_path / "prompts", asked, records.PROMPTS, {})
    io.write_table(tmp_path / "completions", got, records.COMPLETIONS, {})
    return ["--prompts", tmp_path / "prompts", "--completions", tmp_path / "completions",
            "--output", tmp_path / "pairs", "--report", tmp_path / "report.json"]  # fmt: skip


def test_parse_pairs_counts_and_lists_rejects(tmp_path):
    places = write_answers(tmp_path, [structured(), "rubbish", structured(problem="Hm?")])
    done = run("parse_pairs.py", *places, recipe={"mode": "cot", "structured": True})
    assert done.returncode == 0, done.stderr
    (pair,) = io.read_rows(tmp_path / "pairs", records.PAIRS)
    assert pair["prompt"] + pair["completion"] == (
        "p0\n## New Problem\n[Problem]:\nHow many pens has he got?\n\n[Solution]:\n2 + 3 = 5.\n\n"
        "The answer is \\boxed{5}."
    )
    report = io.read_json(tmp_path / "report.json")
    assert report["rejected"] == {"unparsed": 1, "short_question": 1}
    assert [row["request_id"] for row in report["rejects"]] == ["1", "2"]
    assert (report["asked"], report["completion_tokens"], report["cost"]) == (3, 9, 0.3)


def test_no_pair_at_all_names_the_report(tmp_path):
    places = write_answers(tmp_path, ["rubbish"])
    done = run("parse_pairs.py", *places, recipe={"mode": "cot", "structured": True})
    assert done.returncode == 1
    assert str(tmp_path / "report.json") in done.stderr.splitlines()[-1]
    assert not (tmp_path / "pairs").exists()


@given(st.text(max_size=30))
@settings(max_examples=50)
def test_the_test_teacher_writes_sound_problems(prompt):
    for mode in prompts.MODES:
        schema = {"type": "json_schema", "json_schema": {"schema": prompts.structured_schema(mode)}}
        body = {"messages": [{"content": prompt}], "response_format": schema}
        text = teacher_server.answer_text(body)
        completion = {"finish_reason": "stop", "text": text}
        reason, (_, solution) = parsing.judge(completion, mode, True)
        assert reason == ""
        if mode == "tool":
            printed = []
            exec(prompts.program_of(solution), {"print": printed.append})
            assert str(printed[0]) == prompts.answer_of(solution)
        free = prompt + (" Python" if mode == "tool" else "")
        if mode == "tool" or "python" not in prompt.lower():
            text = teacher_server.answer_text({"messages": [{"content": free}]})
            assert parsing.judge({**completion, "text": text}, mode, False)[0] == ""


SOUND = '{"problem": "How many are 2 and 3?", "solution": "2 + 3 = 5.", "answer": "5"}'


@pytest.mark.parametrize(
    "text",
    [
        SOUND,
        f"```json\n{SOUND}\n```",
        f"<think>Something with 3 {{apples}}?</think>\n{SOUND}",
        f"Here it is:\n{SOUND}\nLet me know if you would like another!",
    ],
)
def test_a_structured_answer_is_found_behind_thoughts_and_in_fences(text):
    assert prompts.from_structured(text, "cot") == prompts.from_structured(SOUND, "cot")


@pytest.mark.parametrize(
    "text",
    [
        SOUND.replace("How many", "\\ud83d"), "{" * 100_000, "[" * 200_000, "<think>" + SOUND,
        "", "{}", SOUND.replace('"5"', "5"), SOUND.replace('"5"', "null"),
    ],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_what_is_no_structured_answer_is_none_and_breaks_nothing(text):
    assert prompts.from_structured(text, "cot") is None


def test_a_thought_is_no_problem():
    draft = "[Problem]:\nA draft\n\n[Solution]:\nnothing"
    text = f"<think>{draft}</think>\n[Problem]:\nHow many?\n\n[Solution]:\nThree."
    assert prompts.parse_completion(text, "cot") == ("How many?", "Three.")
    assert prompts.parse_completion(f"<think>{draft}", "cot") is None
