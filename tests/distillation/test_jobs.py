"""Two jobs that share half of their requests, killed again and again: nothing is asked twice.

The jobs are forks of one small process, each with a journal connection of its own.
"""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from jz3 import io, records
from jz3.distillation import teacher
from jz3.distillation.journal import NANO, TeacherJournal, request_key

ROOT = Path(__file__).resolve().parents[2]
IN_FLIGHT = 16
KILLS = 20
HALVES = {"first": range(1000), "second": range(500, 1500)}  # 2,000 requests, 500 of them shared
FORK = multiprocessing.get_context("forkserver")  # forks of a process without threads
FORK.set_forkserver_preload(["jz3.distillation.teacher", "jz3.records"])


def made(base_url):
    return teacher.Teacher(
        base_url=base_url, model="test", api_key="none", temperature=0.6, max_tokens=100,
        input_price=1.0, output_price=1.0, budget=100.0, concurrency=IN_FLIGHT, timeout=20.0,
    )  # fmt: skip


def silenced(log_file):
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)


def job(name, base_url, folder):
    """Ask, and write the table, as ask_teacher does."""
    silenced(folder / f"{name}.log")
    asked = made(base_url)
    requests = [(f"r{k}", asked.body(f"r{k}", f"prompt {k}", [])) for k in HALVES[name]]
    with TeacherJournal(folder / "journal") as journal:
        found = teacher.ask(asked, requests, journal)
    rows = [{"request_id": k, "prompt_digest": "", **found[k]} for k, _ in requests]
    io.write_table(folder / f"{name}.parquet", rows, records.COMPLETIONS, {})


@pytest.fixture
def server(tmp_path, request):
    """(base URL, file with a line per request) of a server in a process of its own.

    A parameter of the test names the faults that the first requests meet.
    """
    hits = tmp_path / "hits"
    hits.touch()
    (tmp_path / "faults").write_text(json.dumps(getattr(request, "param", [])))
    process = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "teacher_server.py", "--port", "0", "--hits", hits,
         "--delay", "0.01", "--faults", tmp_path / "faults"], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process.stdout.readline().split()[1], hits
    process.kill()
    process.wait()


def start(name, base_url, folder):
    process = FORK.Process(target=job, args=(name, base_url, folder))
    process.start()
    return process


def test_kill_9_at_random_moments_of_two_jobs_on_one_journal(tmp_path, server):
    base_url, hits = server
    killed, unbroken = tmp_path / "killed", tmp_path / "unbroken"
    killed.mkdir()
    unbroken.mkdir()
    asked = made(base_url)
    keys = {request_key(asked.body(f"r{k}", f"prompt {k}", [])): f"prompt {k}" for k in range(1500)}
    jobs = {name: start(name, base_url, killed) for name in HALVES}
    chance = random.Random(14)
    answered_at = []  # (lines in `hits` by then, what was answered by then)
    lines = 0
    for _ in range(KILLS):
        target, deadline = lines + chance.randint(1, 60), time.monotonic() + 20
        while lines < target and time.monotonic() < deadline:
            time.sleep(chance.uniform(0, 0.02))
            lines = len(hits.read_text().splitlines())
        for process in jobs.values():
            os.kill(process.pid, signal.SIGKILL)
        for process in jobs.values():
            process.join()
        with TeacherJournal(killed / "journal") as journal:
            answered = {keys[key] for key, _ in journal.records()}
        lines = len(hits.read_text().splitlines())
        answered_at.append((lines, answered))
        jobs = {name: start(name, base_url, killed) for name in HALVES}
    for process in jobs.values():
        process.join(60)
        assert process.exitcode == 0
    calls = [json.loads(line) for line in hits.read_text().splitlines()]
    assert len(set(calls)) == 1500
    assert 1500 < len(calls) <= 1500 + 2 * IN_FLIGHT * KILLS
    for before, answered in answered_at:
        assert not answered & set(calls[before:])
    with TeacherJournal(killed / "journal") as journal:
        spent, open_ = journal.totals()
        lost = journal.charges()
        assert len(lost) >= len(calls) - 1500  # killed between claim and call: no call
        paid = sum(row["nano_dollars"] for _, row in journal.records())
        assert spent - open_ == paid
    for name in HALVES:
        process = start(name, base_url, unbroken)
        process.join(60)
        assert process.exitcode == 0
        table = (unbroken / f"{name}.parquet").read_bytes()
        assert (killed / f"{name}.parquet").read_bytes() == table
    assert len(hits.read_text().splitlines()) == len(calls) + 1500


# ---------------------------------------------------------------- the cap

# Worst case 100 tokens, real price 40, a dollar per million: 100,000 and 40,000 nano-dollars.
CAP = 30_000_000  # nano-dollars: 750 answers, or 300 worst cases; 1,000 are wanted
MIXED = ["server_error", "drop", "truncated", "no_usage", "refusal", "garbage", "lies", "empty",
         "rate_limit", "length", "context", *[""] * 20] * 8  # fmt: skip


def spender(base_url, folder, numbers):
    silenced(folder / f"{numbers.start}.log")
    asked = replace(
        made(base_url), input_price=0.0, budget=CAP / NANO, concurrency=128, backoff=0.02
    )
    requests = [(f"r{k}", asked.body(f"r{k}", f"prompt {k}", [])) for k in numbers]
    with TeacherJournal(folder / "journal") as journal:
        try:
            teacher.ask(asked, requests, journal)
        except io.UserError as error:
            (folder / f"{numbers.start}.end").write_text(str(error))


@pytest.mark.parametrize("server", [MIXED], indirect=True)
def test_the_cap_holds_for_256_in_flight_from_two_processes(tmp_path, server):
    base_url, hits = server
    parts = (range(0, 600), range(400, 1000))
    jobs = [FORK.Process(target=spender, args=(base_url, tmp_path, part)) for part in parts]
    for process in jobs:
        process.start()
    most = 0
    while any(process.is_alive() for process in jobs):
        if (tmp_path / "journal").exists():
            with TeacherJournal(tmp_path / "journal") as journal:
                most = max(most, journal.totals()[0])
        time.sleep(0.02)
    assert [process.exitcode for process in jobs] == [0, 0]
    with TeacherJournal(tmp_path / "journal") as journal:
        spent, _ = journal.totals()
        assert not any(journal.under_way(charge) for charge in journal.charges())
    assert most <= CAP
    assert CAP - 100_000 < spent <= CAP
    calls = len(hits.read_text().splitlines())
    unbilled = MIXED.count("rate_limit") + MIXED.count("context")
    assert 40_000 * (calls - unbilled) <= spent
    ends = [tmp_path / f"{part.start}.end" for part in parts]  # one may have been done before
    assert any(end.exists() for end in ends)
    assert all("the budget of" in end.read_text() for end in ends if end.exists())
