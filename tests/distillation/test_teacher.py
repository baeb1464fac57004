"""The teacher's client, journal and budget, and the server that is started for a job."""

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from jz3 import io, prompts, records
from jz3.distillation import teacher
from jz3.distillation.journal import NANO, OverBudget, TeacherJournal, request_key
from jz3.distillation.local_server import local_server, server_command

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import ask_teacher  # noqa: E402
from teacher_server import TeacherServer  # noqa: E402

TEACHER = teacher.Teacher(
    base_url="", model="test", api_key="sk-secret", temperature=0.6, max_tokens=100,
    input_price=0.0, output_price=0.0, budget=0.0, schema=prompts.structured_schema("cot"),
    concurrency=4, timeout=10.0, attempts=4, backoff=0.02, seed=7,
)  # fmt: skip
SERVE = f"python {ROOT}/tests/teacher_server.py --port {{port}}"


def ask(server, journal, count=3, **change):
    asked = replace(TEACHER, base_url=server.base_url, **change)
    requests = [(f"r{k}", asked.body(f"r{k}", f"prompt {k}", [])) for k in range(count)]
    return teacher.ask(asked, requests, journal)


@pytest.fixture
def journal(tmp_path):
    with TeacherJournal(tmp_path / "journal.sqlite") as made:
        yield made


# ---------------------------------------------------------------- asking


def test_the_request_holds_examples_as_turns_and_a_stable_seed():
    body = TEACHER.body("r1", "now", [("a", "b")])
    assert [(m["role"], m["content"]) for m in body["messages"]] == [
        ("user", "a"), ("assistant", "b"), ("user", "now"),
    ]  # fmt: skip
    assert body["response_format"]["json_schema"]["schema"] == prompts.structured_schema("cot")
    assert body["seed"] == TEACHER.body("r1", "other", [])["seed"]
    assert body["seed"] != TEACHER.body("r2", "now", [])["seed"]
    assert "response_format" not in replace(TEACHER, schema=None).body("r1", "now", [])


def test_what_was_answered_is_never_asked_again(tmp_path):
    with TeacherServer() as server:
        with TeacherJournal(tmp_path / "j") as journal:
            first = ask(server, journal, 3)
        with TeacherJournal(tmp_path / "j") as journal:
            assert ask(server, journal, 3) == first
            assert server.hits == 3
            longer = ask(server, journal, 5)  # two rows added
            assert server.hits == 5
            assert {k: longer[k] for k in first} == first
            ask(server, journal, 5, temperature=0.7)  # other requests
            assert server.hits == 10
    assert json.loads(first["r0"]["text"])["answer"]
    assert first["r0"]["finish_reason"] == "stop"
    assert first["r0"]["completion_tokens"] == 40


def test_equal_requests_are_asked_once(journal):
    with TeacherServer() as server:
        asked = replace(TEACHER, base_url=server.base_url)
        body = asked.body("same", "prompt", [])
        found = teacher.ask(asked, [("a", body), ("b", body)], journal)
        assert found["a"] == found["b"]
        assert server.hits == 1


def test_concurrency_is_used_and_bounded(journal):
    with TeacherServer(delay=0.15) as server:
        ask(server, journal, 8, concurrency=4)
        assert server.most_at_once == 4


def test_requests_per_minute_space_all_requests(journal):
    with TeacherServer() as server:
        ask(server, journal, 4, requests_per_minute=300)
        gaps = [b - a for a, b in zip(server.times, server.times[1:], strict=False)]
        assert sum(gaps) >= 0.4  # three gaps of 0.2 s, less the first one's way
    assert 0 <= journal.turn(300) <= 0.2


@pytest.mark.parametrize(
    "fault", ["rate_limit", "server_error", "drop", "garbage", "truncated"]
)  # fmt: skip
def test_a_passing_fault_is_retried(journal, fault):
    with TeacherServer(faults=[fault] * 2) as server:
        started = time.monotonic()
        found = ask(server, journal, 1)
        assert found["r0"]["finish_reason"] == "stop"
        assert server.hits == 3
        if fault == "rate_limit":  # Retry-After: 0.3, twice, though our own backoff is shorter
            assert time.monotonic() - started >= 0.6


def test_a_timeout_is_retried_and_counted_as_spent(journal):
    with TeacherServer() as server:
        server.delay = 0.6
        threading.Timer(0.5, lambda: setattr(server, "delay", 0.0)).start()
        found = ask(server, journal, 1, timeout=0.3, backoff=0.4, output_price=1.0, budget=1.0)
        assert found["r0"]["finish_reason"] == "stop"
        spent, open_ = journal.totals()
        assert open_ == (server.hits - 1) * 100_000  # 100 tokens at $1 per million, not answered
        assert spent == open_ + 40_000


@pytest.mark.parametrize("fault", ["context", "refusal", "empty"])
def test_one_bad_answer_is_kept_apart_and_asked_again_on_request_only(journal, fault):
    with TeacherServer(faults=[fault]) as server:
        found = ask(server, journal, 4, concurrency=1)
        assert [found[f"r{k}"]["finish_reason"] for k in range(4)] == ["error", *["stop"] * 3]
        assert ask(server, journal, 4) == found
        assert server.hits == 4
        assert journal.forget(["other"]) == 0
        assert journal.forget() == 1
        found = ask(server, journal, 4)
        assert server.hits == 5
        assert found["r0"]["finish_reason"] == "stop"


def test_a_truncated_answer_is_an_answer(journal):
    with TeacherServer(faults=["length"]) as server:
        assert ask(server, journal, 1)["r0"]["finish_reason"] == "length"
        ask(server, journal, 1)
        assert server.hits == 1


def test_when_most_requests_fail_the_answers_are_kept(journal):
    with TeacherServer(faults=["", *["context"] * 3]) as server:
        with pytest.raises(io.UserError, match="3 requests of 4 failed, 1 were answered"):
            ask(server, journal, 4, concurrency=1)
        with pytest.raises(io.UserError, match=r"3 of 4 .*journal\.py again"):
            ask(server, journal, 4)
        assert server.hits == 4
        journal.forget()
        ask(server, journal, 4)
        assert server.hits == 7


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("unauthorized", "OPENAI_API_KEY is refused"),
        ("not_found", 'no model "test"'),
        ("no_schema", "set teacher.structured to false"),
        ("quota", "quota is used up"),
    ],
)
def test_a_mistake_stops_at_once_and_shows_no_key(journal, capfd, fault, text):
    with TeacherServer(faults=[fault] * 50) as server:
        with pytest.raises(io.UserError, match=text) as raised:
            ask(server, journal, 20, concurrency=2)
        assert server.hits <= 2
        assert server.keys[0] == "Bearer sk-secret"
    printed = "".join(capfd.readouterr())
    assert "sk-secret" not in str(raised.value) + printed + repr(TEACHER)
    assert "\n" not in str(raised.value)


def test_no_teacher_at_all_is_one_line(journal):
    with TeacherServer() as server:
        pass
    with pytest.raises(io.UserError, match="nothing answers at http://127") as raised:
        ask(server, journal, 9)
    assert "\n" not in str(raised.value)
    assert journal.totals() == (0, 0)


def test_a_wrong_key_uses_up_no_budget(journal):
    with TeacherServer(faults=["unauthorized"] * 50, delay=0.05) as server:
        with pytest.raises(io.UserError, match="refused"):
            ask(server, journal, 20, concurrency=8, output_price=1.0, budget=1.0)
        assert server.hits <= 8
    assert journal.totals() == (0, 0)


def test_a_teacher_that_always_fails_is_left_early(journal):
    with TeacherServer(faults=["server_error"] * 999) as server:
        with pytest.raises(io.UserError, match="internal error"):
            ask(server, journal, 200, concurrency=2, attempts=2)
        assert server.hits <= 12


# ---------------------------------------------------------------- money


def test_the_price_is_exact_and_the_worst_case_an_upper_bound(journal):
    with TeacherServer() as server:
        found = ask(server, journal, 1, input_price=2.5, output_price=10.0, budget=1.0)["r0"]
    exact = (found["prompt_tokens"] * 2.5 + 40 * 10.0) / 1e6
    assert found["cost"] == pytest.approx(exact, abs=1e-9)
    assert journal.totals() == (round(exact * NANO), 0)
    asked = replace(TEACHER, input_price=2.5, output_price=10.0)
    body = asked.body("r", "prompt", [])
    assert asked.worst_case(body) >= len("prompt") * 2500 + 100 * 10_000


def test_without_a_token_count_the_worst_case_is_paid(journal):
    with TeacherServer(faults=["no_usage"]) as server:
        found = ask(server, journal, 1, output_price=1.0, budget=1.0)
    assert found["r0"]["cost"] == pytest.approx(100 / 1e6)


def test_the_budget_can_not_be_passed(journal):
    # The worst case is $100e-6 per request, the real price $40e-6: after five requests $200e-6
    # are spent, and with a budget of $250e-6 the sixth could pass it.
    with TeacherServer(delay=0.02) as server:
        with pytest.raises(io.UserError, match="budget of"):
            ask(server, journal, 50, output_price=1.0, budget=250e-6, concurrency=8)
        assert 3 <= server.hits <= 5
        spent, open_ = journal.totals()
        assert (spent, open_) == (server.hits * 40_000, 0)
        hits = server.hits
        with pytest.raises(io.UserError, match="budget of"):
            ask(server, journal, 50, output_price=1.0, budget=250e-6)
        assert server.hits <= max(hits, 5)
        ask(server, journal, 50, output_price=1.0, budget=1.0)  # raised: goes on
        assert server.hits == 50


def test_jobs_share_one_budget(tmp_path):
    with TeacherServer(delay=0.05) as server:

        def job(name):
            with TeacherJournal(tmp_path / "j") as journal:
                asked = replace(TEACHER, base_url=server.base_url, output_price=1.0, budget=450e-6)
                rows = [(f"{name}{k}", asked.body(f"{name}{k}", name, [])) for k in range(20)]
                with contextlib.suppress(io.UserError):
                    teacher.ask(asked, rows, journal)

        jobs = [threading.Thread(target=job, args=(name,)) for name in "abc"]
        for thread in jobs:
            thread.start()
        for thread in jobs:
            thread.join()
        with TeacherJournal(tmp_path / "j") as journal:
            assert journal.totals()[0] == server.hits * 40_000 <= 450_000
        assert server.hits >= 8


def test_a_paid_model_needs_a_budget_and_a_price(journal):
    with TeacherServer() as server:
        with pytest.raises(io.UserError, match="budget of"):
            ask(server, journal, 1, output_price=1.0, budget=0.0)
        assert server.hits == 0
    with pytest.raises(io.UserError, match='Did you mean "gpt-4o"'):
        teacher.price_of("gpt-4", {"gpt-4o": {"input": 2.5, "output": 10, "date": "2024-05-13"}})


def test_an_unanswered_reservation_stays_spent(tmp_path):
    with TeacherJournal(tmp_path / "j") as journal:
        journal.reserve("killed", 60, 100)
    with TeacherJournal(tmp_path / "j") as journal:
        with pytest.raises(OverBudget):
            journal.reserve("next", 41, 100)
        charge = journal.reserve("next", 40, 100)
        journal.release(charge)
        assert journal.totals() == (60, 60)


def test_a_file_that_is_no_journal_is_named(tmp_path):
    (tmp_path / "j").write_text("this is not a database, and long enough to be read as one" * 50)
    with pytest.raises(io.UserError, match="not a usable teacher journal"):
        TeacherJournal(tmp_path / "j")


def test_the_key_is_not_needed_on_this_machine_only(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert teacher.api_key("http://127.0.0.1:80/v1") == "none"
    with pytest.raises(io.UserError, match="no OPENAI_API_KEY"):
        teacher.api_key("https://example.com/v1")
    monkeypatch.setenv("OPENAI_API_KEY", " sk-1\n")
    assert teacher.api_key("https://example.com/v1") == "sk-1"


# ---------------------------------------------------------------- the program, and kill -9

RECIPE = {
    "length_parameter": "max_tokens", "system": "", "extra_body": {}, "batch": False,
    "send": ["temperature", "seed"], "api_key_env": "OPENAI_API_KEY", "journal": "",
    "model": "test", "base_url": "", "temperature": 0.6, "max_tokens": 100, "structured": True,
    "concurrency": 2, "requests_per_minute": 0, "tokens_per_minute": 0, "timeout_seconds": 10, "attempts": 2,
    "budget_dollars": 0.0, "prices": {"test": {"input": 0, "output": 0, "date": "2026-01-01"}},
    "mode": "cot", "threads": 1,
    "serve": {"command": SERVE, "source": "", "ready_seconds": 20},
}  # fmt: skip


def job(tmp_path, count, **change):
    """Options of ask_teacher for `count` prompts, with one worked example."""
    rows = [
        {"request_id": f"r{k}", "passage_id": "p", "source": "web", "level": "grade",
         "mode": "cot", "prompt": f"prompt {k}\n## New Problem\n"}
        for k in range(count)
    ]  # fmt: skip
    io.write_table(tmp_path / "prompts", rows, records.PROMPTS, {})
    (tmp_path / "grade.md").write_text("{passage}\n## New Problem")
    example = {"level": "grade", "passage": "p", "problem": "q", "solution": "s", "answer": "1"}
    (tmp_path / "examples.jsonl").write_text(json.dumps(example))
    return argparse.Namespace(
        prompts=tmp_path / "prompts", examples=tmp_path / "examples.jsonl", code="", seed=0,
        journal=tmp_path / "journal", output=tmp_path / "out", log=tmp_path / "ask.log",
        model=None, recipe={**RECIPE, **change},
    )  # fmt: skip


def command_line(options):
    words = [sys.executable, str(ROOT / "scripts" / "ask_teacher.py")]
    for name in ("prompts", "examples", "journal", "output", "log"):
        words += [f"--{name}", str(getattr(options, name))]
    return [*words, "--recipe", json.dumps(options.recipe)]


def test_kill_9_loses_nothing_and_asks_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with TeacherServer(delay=0.1) as server:
        options = job(tmp_path, 12, base_url=server.base_url)
        process = subprocess.Popen(command_line(options))
        deadline = time.monotonic() + 30
        while server.hits < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert 5 <= server.hits < 12
        assert not options.output.exists()
        time.sleep(0.2)
        with contextlib.closing(sqlite3.connect(options.journal)) as database:
            (answered,) = database.execute("SELECT COUNT(*) FROM answers").fetchone()
        assert answered >= server.hits - 2  # two were under way
        before = server.hits
        ask_teacher.main(options)
        assert server.hits == before + 12 - answered
        first = options.output.read_bytes()
        rows = io.read_rows(options.output, records.COMPLETIONS)
        assert [row["request_id"] for row in rows] == [f"r{k}" for k in range(12)]
        sent = [b["messages"][-1]["content"] for b in server.bodies]
        assert sum(sent.count(text) - 1 for text in set(sent)) == before - answered
    # The teacher is gone: with all answers kept, a rerun needs it no more.
    ask_teacher.main(options)
    assert options.output.read_bytes() == first


def test_a_mistake_is_one_line_of_the_program(tmp_path):
    options = job(tmp_path, 1, prices={})
    done = subprocess.run(command_line(options), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith('ask_teacher: teacher: the model "test" has no entry in')
    assert len(done.stderr.splitlines()) == 1


def test_an_endpoint_with_ways_of_its_own_is_asked_in_them(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ways = {"length_parameter": "max_completion_tokens", "send": [], "system": "be short",
            "extra_body": {"reasoning_effort": "low"}}  # fmt: skip
    with TeacherServer() as server:
        ask_teacher.main(job(tmp_path, 1, base_url=server.base_url, **ways))
        (body,) = server.bodies
    assert body.keys() == {
        "model", "messages", "max_completion_tokens", "response_format", "reasoning_effort",
    }  # fmt: skip
    assert body["messages"][0] == {"role": "system", "content": "be short"}


def test_the_program_starts_and_stops_its_own_server(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    hits = tmp_path / "hits"
    serve = {**RECIPE["serve"], "command": f"{SERVE} --hits {hits}"}
    ask_teacher.main(job(tmp_path, 3, serve=serve))
    assert len(hits.read_text().splitlines()) == 3
    log = (tmp_path / "ask.server.log").read_text()
    assert not answers(log.split("teacher_server: ")[1].split()[0])
    ask_teacher.main(job(tmp_path, 3, serve={**serve, "command": "false"}))  # nothing to ask


# ---------------------------------------------------------------- the server of a job


def answers(base_url):
    try:
        urllib.request.urlopen(base_url + "/models", timeout=2).close()
        return True
    except OSError:
        return False


def test_a_server_lives_as_long_as_its_block(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        local_server(SERVE, "", 1, 20, tmp_path / "log") as base_url,
    ):
        assert answers(base_url)
        raise ZeroDivisionError
    assert not answers(base_url)


def test_a_server_that_dies_early_shows_its_last_words(tmp_path):
    command = "python -c \"print('a'); print('no such model'); raise SystemExit(4)\""
    with (
        pytest.raises(io.UserError, match=r"status 4 .*a \| no such model"),
        local_server(command, "", 1, 20, tmp_path / "log"),
    ):
        raise AssertionError


def test_a_server_that_is_never_ready_is_stopped(tmp_path):
    pid = tmp_path / "pid"
    command = f"sh -c 'echo $$ > {pid}; sleep 60 & wait'"
    with (
        pytest.raises(io.UserError, match=r"not ready within 0\.5 s"),
        local_server(command, "", 1, 0.5, tmp_path / "log"),
    ):
        raise AssertionError
    assert not group_lives(int(pid.read_text()))


def group_lives(group):
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, process_group = stat.read_text().rsplit(")", 1)[1].split()[:3]
            if int(process_group) == group and state != "Z":
                return True
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux only")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_orphan_is_left(tmp_path, number):
    code = (
        "import sys, signal, time; from pathlib import Path;"
        "from jz3.distillation.local_server import local_server;"
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        f"with local_server({SERVE!r}, '', 1, 20, Path({str(tmp_path / 'log')!r})) as url:\n"
        "    print(url, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
    )  # fmt: skip
    base_url = owner.stdout.readline().strip()
    assert answers(base_url)
    owner.send_signal(number)
    owner.wait(15)
    deadline = time.monotonic() + 5
    while answers(base_url) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(base_url)


def test_the_command_is_split_before_it_is_filled(tmp_path):
    words = server_command(
        "python scripts/serve_gguf.py --model {model} -p {port}", "a b.gguf", 8, 2
    )
    assert words[0] == sys.executable
    assert words[-3:] == ["a b.gguf", "-p", "8"]
    with pytest.raises(io.UserError, match="the slots are"):
        server_command("serve {modle}", "", 1, 1)
    with pytest.raises(io.UserError, match="is empty"):
        server_command(" ", "", 1, 1)
    with (
        pytest.raises(io.UserError, match="does not start"),
        local_server("no-such-server-here", "", 1, 1, tmp_path / "log"),
    ):
        raise AssertionError


def test_the_key_of_a_request_is_its_body_without_the_length():
    assert request_key({"a": 1, "b": [2]}) == request_key({"b": [2], "a": 1})
    assert request_key({"a": 1}) != request_key({"a": 1.5})
    assert request_key({"a": 1, "max_tokens": 5}) == request_key({"a": 1})
    assert request_key({"a": 1, "max_completion_tokens": 5}) == request_key({"a": 1})
    assert len(request_key({})) == 64
