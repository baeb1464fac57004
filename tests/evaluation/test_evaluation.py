"""Evaluation: prompts, the tool loop, and both programs from end to end on a tiny random model."""

import csv
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import answer_benchmark
import pytest
from jz3 import io, records
from jz3.evaluation.prompts import prompt_text, read_shots, stop_strings, with_choices
from jz3.evaluation.tool_loop import answer_with_programs, requested_program, with_earlier
from jz3.execution.programs import missing_protections
from jz3.generation import Generated, Request, Sampling
from jz3.grading.strict import extract_answer, grade

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
REAL = Path(__file__).parents[1] / "real" / "benchmarks"
EXECUTION = {"seconds": 1, "memory_mb": 512, "output_characters": 400, "workers": 1}
SAMPLING = Sampling(0.0, 1.0, 64, ("```output",))
confined = pytest.mark.skipif(
    bool(missing_protections()), reason="programs cannot be confined on this machine"
)


# ---------------------------------------------------------------- prompts


def problem(**changes):
    row = {
        "problem_id": "p1", "benchmark": "b", "split": "test", "subject": "", "question": "2+3?",
        "answer": "5", "solution": "", "program": "", "choices": [],
    }  # fmt: skip
    return {**row, **changes}


class ChatTokenizer:
    chat_template = "yes"

    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        assert not tokenize
        assert add_generation_prompt
        return "".join(f"<{m['role']}>{m['content']}" for m in messages) + "<assistant>"


def test_prompts_of_both_templates():
    assert prompt_text(problem(), "jiuzhang", "cot", None) == "## Question\n2+3?\n\n## Solution\n"
    tool = prompt_text(problem(), "jiuzhang", "tool", None)
    assert tool == "## Question\n2+3?\n\n## Code Solution\n"
    chat = prompt_text(problem(), "chat", "cot", ChatTokenizer())
    assert chat.startswith("<user>")
    assert chat.endswith("2+3?<assistant>")
    assert "\\boxed{}" in chat
    assert "```python" in prompt_text(problem(), "chat", "tool", ChatTokenizer())


SHOTS = [
    {"question": "1+1?", "solution": "It is 2.\nThe answer is $\\boxed{2}$."},
    {"question": "Odd?", "choices": ["2", "3"], "solution": "The answer is (B)."},
]


def test_worked_examples_stand_under_the_same_headings():
    assert prompt_text(problem(), "jiuzhang", "cot", None, SHOTS) == (
        "## Question\n1+1?\n\n## Solution\nIt is 2.\nThe answer is $\\boxed{2}$.\n\n\n"
        "## Question\nOdd?\nAnswer Choices: (A) 2 (B) 3\n\n## Solution\nThe answer is (B).\n\n\n"
        "## Question\n2+3?\n\n## Solution\n"
    )
    assert prompt_text(problem(), "plain", "cot", None, SHOTS[:1]) == (
        "Question: 1+1?\nAnswer: It is 2.\nThe answer is $\\boxed{2}$.\n\n\nQuestion: 2+3?\nAnswer:"
    )
    assert prompt_text(problem(), "plain", "cot", None) == "Question: 2+3?\nAnswer:"


def test_worked_examples_are_earlier_turns_of_a_chat():
    chat = prompt_text(problem(), "chat", "cot", ChatTokenizer(), SHOTS)
    roles = re.findall("<(user|assistant)>", chat)
    assert roles == ["user", "assistant", "user", "assistant", "user", "assistant"]
    assert chat.endswith("2+3?<assistant>")
    assert "<assistant>The answer is (B).<user>" in chat
    assert chat.count("step by step") == 3


def test_a_model_that_goes_on_after_an_example_is_stopped():
    """Every separator of the prompt holds the stop string of its template."""
    for template in ("jiuzhang", "plain"):
        prompt = prompt_text(problem(), template, "cot", None, SHOTS)
        (stop,) = stop_strings(template, "cot")
        assert prompt.count(stop) == len(SHOTS)


def test_missing_examples_are_an_error(tmp_path):
    path = tmp_path / "shots.jsonl"
    path.write_text("".join(json.dumps(shot) + "\n" for shot in SHOTS))
    assert read_shots(path, 1) == SHOTS[:1]
    with pytest.raises(io.UserError, match="3 worked examples asked for, 2 found"):
        read_shots(path, 3)
    path.write_text('{"question": "1+1?"}\n')
    with pytest.raises(io.UserError, match="line 1: no solution"):
        read_shots(path, 1)


def test_plain_has_no_tool_mode():
    with pytest.raises(io.UserError, match="template plain has no tool mode"):
        prompt_text(problem(), "plain", "tool", None)


def shipped_shots():
    return [
        pytest.param(path, number, shot, id=f"{path.stem}{number}")
        for path in sorted((SCRIPTS.parent / "resources/shots").glob("*.jsonl"))
        for number, shot in enumerate(io.read_json_lines(path))
    ]


@pytest.mark.parametrize(("path", "number", "shot"), shipped_shots())
def test_shipped_examples_are_sound(path, number, shot):
    """What a solution states is its answer, and its LaTeX is whole.

    (The release's examples lost backslashes to Python: form feeds for \\frac.)
    """
    choices = shot.get("choices", [])
    assert extract_answer(shot["solution"], choices) == shot["answer"]
    texts = [shot["question"], shot["solution"], *choices]
    for text in texts:
        assert text == text.strip()
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)
        assert text.count("{") == text.count("}")
        assert not re.search(r"(?<!\\)\b(?:frac|sqrt|boxed|binom|cdot|circ|pi)\b", text)
    for equation in re.findall(r"([\d./ +*-]+) = ([\d.]+)", shot["solution"]):
        left, right = equation
        if re.fullmatch(r"\s*[\d.]+(?: [-+*/] [\d.]+)+", left):
            assert eval(left) == pytest.approx(float(right))


@pytest.mark.skipif(not REAL.is_dir(), reason="tests/real/benchmarks is not on this machine")
def test_shipped_examples_are_no_test_problems():
    def grams(text):
        words = re.findall(r"\w+", text.lower())
        return {" ".join(words[i : i + 10]) for i in range(len(words) - 9)}

    ours = {gram: p.id for p in shipped_shots() for gram in grams(p.values[2]["question"])}
    for path in sorted(REAL.glob("*/*.jsonl")):
        for row in io.read_json_lines(path):
            text = " ".join(str(value) for value in row.values())
            assert not ours.keys() & grams(text), path


def test_choices_are_lettered_once():
    asked = with_choices("Which? ", ["A)1", "B) 2", "seven"])
    assert asked == "Which?\nAnswer Choices: (A) 1 (B) 2 (C) seven"
    chat = prompt_text(problem(choices=["1", "2"]), "chat", "cot", ChatTokenizer())
    assert "(B) 2" in chat
    assert "letter" in chat


def test_wrong_templates_are_named():
    with pytest.raises(io.UserError, match=r'"jiuzang" is unknown.*Did you mean "jiuzhang"'):
        prompt_text(problem(), "jiuzang", "cot", None)
    bare = ChatTokenizer()
    bare.chat_template = None
    with pytest.raises(io.UserError, match="no chat template"):
        prompt_text(problem(), "chat", "cot", bare)


def test_stop_strings():
    assert stop_strings("jiuzhang", "cot") == ("\n\n## Question",)
    assert "```output" in stop_strings("jiuzhang", "tool")
    assert "```output" in stop_strings("chat", "tool")


# ---------------------------------------------------------------- which turns ask for a program

BLOCK = "```python\nx = 2\nprint(x)\n```"


@pytest.mark.parametrize(
    ("turn", "asked"),
    [
        (f"Let us compute.\n{BLOCK}\n", "x = 2\nprint(x)\n"),
        (BLOCK, "x = 2\nprint(x)\n"),
        (f"{BLOCK}\nmore\n```python\nprint(3)\n```\n\n", "x = 2\nprint(x)\n\nprint(3)\n"),
        (f"{BLOCK}\nThe answer is 2.", None),
        (f"It is \\boxed{{2}}.\n{BLOCK}", None),
        ("```python\nprint('\\\\boxed{2}')\n```", "print('\\\\boxed{2}')\n"),
        ("```python\nprint(2)", None),
        ("```\nprint(2)\n```", None),
        ("no program", None),
        ("", None),
    ],
)
def test_requested_program(turn, asked):
    found = requested_program(turn)
    assert (found and found[0]) == asked


def test_cut_keeps_the_first_program_only():
    turn = f"Here:\n{BLOCK}\nIt prints 7, so \\boxed{{7}}.\n```python\nprint(9)\n```"
    assert requested_program(turn, cut=True) == ("x = 2\nprint(x)\n", f"Here:\n{BLOCK}")


# ---------------------------------------------------------------- the loop


class Script:
    """An engine that says, for each request and round, what the test wrote for it."""

    class Tokenizer:
        def __call__(self, text):
            return {"input_ids": text.split()}

    tokenizer = Tokenizer()

    def __init__(self, turns, die_in_round=0):
        self.turns, self.die, self.prompts = turns, die_in_round, []

    def batches(self, requests):
        return [sorted(requests, key=lambda request: request.request_id)]

    def generate(self, requests, sampling, seed):
        for request in reversed(list(requests)):
            name, number = request.request_id.rsplit("/", 1)
            if int(number) == self.die:
                raise KeyboardInterrupt
            self.prompts.append((request.request_id, request.prompt))
            turn = self.turns[name][int(number) - 1]
            yield Generated(request.request_id, turn, "stop", 3, len(turn.split()))


def loop(turns, rounds=4, context=10_000, die_in_round=0, state=None, **options):
    engine = Script(turns, die_in_round)
    requests = [Request(name, f"Q {name}\n") for name in turns]
    done = answer_with_programs(
        engine, requests, SAMPLING, 0,
        rounds=rounds, execution=EXECUTION, context=context, state=state, **options,
    )  # fmt: skip
    return {attempt.request_id: attempt for attempt in done}, engine


def block(code):
    return f"```python\n{code}\n```\n"


@confined
def test_outputs_go_back_and_names_live_on():
    turns = {
        "a": [block("x = 20\nprint('first', x)"), "Then\n" + block("x + 1"), "So \\boxed{21}."],
        "b": ["No program: \\boxed{4}."],
        "c": [block("def f():\n    '''one\n    two'''\n    return 6\nprint(f())"),
              block("print(f() * 7)"), "done"],
    }  # fmt: skip
    done, engine = loop(turns)
    assert done["a"].text == (
        block("x = 20\nprint('first', x)") + "```output\nfirst 20\n```\n"
        "Then\n" + block("x + 1") + "```output\n21\n```\nSo \\boxed{21}."
    )
    assert done["a"].rounds == 3
    assert done["a"].finish_reason == "stop"
    assert done["a"].prompt_tokens == 3
    assert done["a"].completion_tokens == sum(len(turn.split()) for turn in turns["a"])
    assert done["b"].text == turns["b"][0]
    assert done["b"].rounds == 1
    assert extract_answer(done["c"].text) == "42"
    # All problems of a round are one batch; the second round continues the first one's text.
    assert sorted(name for name, _ in engine.prompts) == [
        "a/1",
        "a/2",
        "a/3",
        "b/1",
        "c/1",
        "c/2",
        "c/3",
    ]
    assert dict(engine.prompts)["a/2"] == "Q a\n" + done["a"].text.split("Then")[0]


@confined
def test_errors_timeouts_and_the_limit_of_rounds():
    turns = {
        "error": [
            block("y = 1\nprint(y)\nraise ValueError('no luck')"),
            block("print(y)"),
            "\\boxed{1}",
        ],
        "slow": [block("while True: pass"), "It took too long: 8"],
        "fence": [block("print('```')"), "ok"],
        "endless": [block("print(1)")] * 2,
        "silent": [block("z = 5"), block("print(z)")],
        "escape": [block("import socket; socket.socket()"), "\\boxed{0}"],
    }
    done, _ = loop(turns, rounds=2)
    assert "```output\n1\nValueError: no luck\n```" in done["error"].text
    assert "NameError" in done["error"].text  # a failed program leaves no names behind
    assert "TimeoutError" in done["slow"].text
    assert extract_answer(done["slow"].text) == "8"
    assert "```output\n'''\n```" in done["fence"].text
    assert done["endless"].finish_reason == "rounds"
    assert done["endless"].text.endswith("```output\n1\n```\n")
    assert done["endless"].rounds == 2
    assert extract_answer(done["silent"].text) == "5"
    assert "Error" in done["escape"].text


@confined
def test_full_context_ends_an_answer():
    turns = {"a": [block("print(' '.join(['w'] * 90))"), "never asked"]}
    done, engine = loop(turns, context=60)
    assert done["a"].finish_reason == "length"
    assert [name for name, _ in engine.prompts] == ["a/1"]
    assert done["a"].text.endswith("```\n")


@confined
def test_interrupted_loop_repeats_nothing(tmp_path, monkeypatch):
    turns = {"a": [block("print(3)"), "so \\boxed{3}"], "b": ["\\boxed{1}"]}
    with pytest.raises(KeyboardInterrupt):
        loop(turns, state=tmp_path, die_in_round=2)
    assert len(io.Journal(tmp_path / "executions.jsonl", "key").records) == 1
    monkeypatch.setattr(
        "jz3.evaluation.tool_loop.run_programs", lambda programs, _: [1 / 0 for _ in programs]
    )
    done, engine = loop(turns, state=tmp_path)
    assert [name for name, _ in engine.prompts] == ["a/2"]
    monkeypatch.undo()
    undisturbed, _ = loop(turns)
    assert {k: dataclasses.asdict(v) for k, v in done.items()} == {
        k: dataclasses.asdict(v) for k, v in undisturbed.items()
    }


def test_earlier_programs_are_quoted_whole():
    source = with_earlier("print(t)\n", ["t = '''a\nb'''\nprint('hidden')\n"])
    shown = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert shown.stdout == "a\nb\n"
    assert with_earlier("print(1)", []) == "print(1)"


# ---------------------------------------------------------------- programs, end to end


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random Llama of two layers with a byte-level tokenizer of its own."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny") / "model"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(["## Question\n\n## Solution\nThe answer is 5."], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>",
        chat_template="{% for m in messages %}{{ m['content'] }}\n{% endfor %}",
    )  # fmt: skip
    fast.save_pretrained(folder)
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=512, eos_token_id=0, pad_token_id=0,
        bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


RECIPE = {
    "temperature": 0.0, "top_p": 1.0, "samples": 1, "max_new_tokens": 12, "tool_rounds": 2,
    "shots": 0, "template": "jiuzhang", "engine": "transformers", "batch": 2,
    "dtype": "float32", "threads": 1, "execution": EXECUTION,
}  # fmt: skip


def command(name, *options):
    return [sys.executable, str(SCRIPTS / name), *map(str, options)]


def options(folder, model, mode="cot", recipe=RECIPE):
    """The command line of answer_benchmark for a table of five problems in `folder`."""
    rows = [
        problem(problem_id=f"p{n}", question=f"What is {n}+{n}?", answer=str(2 * n))
        for n in range(5)
    ]
    io.write_table(folder / "test.parquet", rows, records.BENCHMARK, {})
    return [
        "--benchmark", folder / "test.parquet", "--model", model, "--mode", mode,
        "--output", folder / f"{mode}.parquet", "--state", folder / "state",
        "--recipe", json.dumps(recipe), "--seed", "3",
    ]  # fmt: skip


def run_program(*arguments):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command("answer_benchmark.py", *arguments), env=environment, capture_output=True, text=True
    )


def run_here(*arguments):
    """The program in this process, which has torch loaded already."""
    parser = answer_benchmark.parser()
    answer_benchmark.main(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture(scope="module")
def answered(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("answered")
    done = run_program(*options(folder, tiny))
    assert done.returncode == 0, done.stderr
    return folder


def test_answers_follow_the_benchmark(answered):
    rows = io.read_rows(answered / "cot.parquet", records.ANSWERS)
    assert [row["problem_id"] for row in rows] == [f"p{n}" for n in range(5)]
    assert [row["gold"] for row in rows] == ["0", "2", "4", "6", "8"]
    assert {row["rounds"] for row in rows} == {1}
    assert all(row["prompt"].endswith("## Solution\n") for row in rows)
    assert all(0 < row["completion_tokens"] <= 12 for row in rows)
    origin = io.table_origin(answered / "cot.parquet")
    assert {Path(name).name for name in origin["inputs"]} == {"test.parquet", "model"}


def test_killed_run_continues_with_the_same_bytes(answered, tiny, tmp_path):
    """What a kill leaves is whole batches and a torn line; the rest is generated again."""
    finished = (answered / "state" / "completions.jsonl").read_bytes().splitlines(keepends=True)
    assert len(finished) == 5
    shutil.copytree(answered / "state", tmp_path / "state")
    journal = tmp_path / "state" / "completions.jsonl"
    journal.write_bytes(b"".join(finished[:2]) + finished[2][:40])
    run_here(*options(tmp_path, tiny))
    assert journal.read_bytes().splitlines(keepends=True)[:2] == finished[:2]
    assert len(journal.read_bytes().splitlines()) == 5
    assert (tmp_path / "cot.parquet").read_bytes() == (answered / "cot.parquet").read_bytes()


def test_state_of_another_recipe_is_discarded(answered, tiny, tmp_path):
    shutil.copytree(answered / "state", tmp_path / "state")
    run_here(*options(tmp_path, tiny, recipe={**RECIPE, "max_new_tokens": 3}))
    rows = io.read_rows(tmp_path / "cot.parquet", records.ANSWERS)
    assert max(row["completion_tokens"] for row in rows) <= 3


@confined
def test_tool_mode_with_several_samples(tiny, tmp_path):
    recipe = {**RECIPE, "samples": 2, "temperature": 0.9, "template": "chat"}
    run_here(*options(tmp_path, tiny, "tool", recipe))
    rows = io.read_rows(tmp_path / "tool.parquet", records.ANSWERS)
    found = [(row["problem_id"], row["sample"]) for row in rows]
    assert found == [(f"p{n}", sample) for n in range(5) for sample in range(2)]
    assert rows[0]["text"] != rows[1]["text"]


def test_examples_reach_the_model_and_the_provenance(tiny, tmp_path):
    path = tmp_path / "shots.jsonl"
    path.write_text("".join(json.dumps(shot) + "\n" for shot in SHOTS))
    recipe = {**RECIPE, "shots": 1, "template": "plain"}
    run_here(*options(tmp_path, tiny, recipe=recipe), "--shots", path)
    rows = io.read_rows(tmp_path / "cot.parquet", records.ANSWERS)
    assert {row["prompt"].count("Question:") for row in rows} == {2}
    origin = io.table_origin(tmp_path / "cot.parquet")
    assert "shots.jsonl" in {Path(name).name for name in origin["inputs"]}


def test_equal_samples_are_refused(tiny, tmp_path):
    done = run_program(*options(tmp_path, tiny, recipe={**RECIPE, "samples": 3}))
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert "samples is 3 at temperature 0" in done.stderr


def made_answer(**changes):
    row = {
        "problem_id": "p", "benchmark": "b", "sample": 0, "question": "?", "gold": "5",
        "choices": [], "prompt": "?", "text": "\\boxed{5}", "finish_reason": "stop",
        "prompt_tokens": 1, "completion_tokens": 1, "rounds": 1,
    }  # fmt: skip
    return {**row, **changes}


def test_grades_and_disagreements(tmp_path):
    rows = [
        made_answer(problem_id="right"),
        made_answer(problem_id="wrong", text="\\boxed{6}"),
        made_answer(problem_id="lenient", text='so, "it" is\n\\boxed{500}'),
        made_answer(problem_id="harsh", text="x = -3/4", gold="-\\frac{3}{4}"),
        made_answer(problem_id="none", text=""),
        made_answer(problem_id="choice", text="\\boxed{B}", gold="B", choices=["1", "2"]),
        made_answer(problem_id="units", benchmark="minerva_math", text="\\boxed{a+1}", gold="m+1"),
    ]
    io.write_table(tmp_path / "answers.parquet", rows, records.ANSWERS, {})
    for place in ("one", "two"):
        line = command(
            "grade_answers.py", "--answers", tmp_path / "answers.parquet",
            "--output", tmp_path / place / "grades.parquet",
            "--disagreements", tmp_path / place / "list.csv",
        )  # fmt: skip
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "2 different verdicts" in done.stderr
    grades = io.read_rows(tmp_path / "one" / "grades.parquet", records.GRADES)
    assert [(g["problem_id"], g["strict"], g["released"]) for g in grades] == [
        ("right", True, True), ("wrong", False, False), ("lenient", False, True),
        ("harsh", True, False), ("none", False, False), ("choice", True, True),
        ("units", False, False),
    ]  # fmt: skip
    assert [g["predicted"] for g in grades] == ["5", "6", "500", "-3/4", "", "B", "a+1"]
    with (tmp_path / "one" / "list.csv").open(encoding="utf-8", newline="") as stream:
        listed = list(csv.DictReader(stream))
    assert [row["problem_id"] for row in listed] == ["lenient", "harsh"]
    assert listed[0]["text_end"] == rows[2]["text"]
    assert listed[0]["question"] == rows[2]["question"]
    assert listed[1]["predicted_released"] == "4"
    for name in ("grades.parquet", "list.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_one_list_of_all_disagreements(tmp_path):
    for model, benchmark, rows in (("base", "svamp", 2), ("base", "math", 0), ("jz", "svamp", 1)):
        path = tmp_path / model / "cot" / benchmark / "disagreements.csv"
        path.parent.mkdir(parents=True)
        lines = ["problem_id,question,strict,released"]
        path.write_text("\n".join([*lines, *['p,"a, b",True,False'] * rows]) + "\n")
    files = sorted(tmp_path.rglob("disagreements.csv"))
    for place, inputs in (("all.csv", files), ("none.csv", [])):
        line = command(
            "list_disagreements.py", "--disagreements", *inputs, "--output", tmp_path / place
        )
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    with (tmp_path / "all.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["model"], row["mode"], row["question"]) for row in rows] == [
        ("base", "cot", "a, b"), ("base", "cot", "a, b"), ("jz", "cot", "a, b"),
    ]  # fmt: skip
    assert (tmp_path / "none.csv").read_text() == "model,mode\n"


def test_grading_asks_once_per_distinct_answer(monkeypatch):
    asked = []
    monkeypatch.setattr("jz3.grading.strict.strict", lambda p, g: asked.append((p, g)) or True)
    rows = [made_answer(), made_answer(sample=1), made_answer(gold="6")]
    assert [row["strict"] for row, _ in grade(rows)] == [True, True, True]
    assert asked == [("5", "5"), ("5", "6")]
