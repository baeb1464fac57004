"""The journal: claims, account, damage, and what its program does."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from jz3 import io
from jz3.distillation import journal_files, teacher
from jz3.distillation.journal import NANO, Busy, OverBudget, TeacherJournal, request_key
from teacher_server import TeacherServer

ROOT = Path(__file__).resolve().parents[2]
TEACHER = teacher.Teacher(
    base_url="", model="test", api_key="none", temperature=0.6, max_tokens=100, input_price=0.0,
    output_price=1.0, budget=1.0, concurrency=4, timeout=10.0, attempts=3, backoff=0.02, seed=7,
)  # fmt: skip


def requests(asked, numbers):
    return [(f"r{k}", asked.body(f"r{k}", f"prompt {k}", [])) for k in numbers]


def ask(server, path, numbers, **change):
    asked = replace(TEACHER, base_url=server.base_url, **change)
    with TeacherJournal(path) as journal:
        return teacher.ask(asked, requests(asked, numbers), journal)


def record(**change):
    return {
        "body": "{}", "response": "", "text": "text", "finish_reason": "stop", "failure": "",
        "length": 100, "prompt_tokens": 1, "completion_tokens": 1, "model": "m", "nano_dollars": 5,
    } | change  # fmt: skip


def program(*words):
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "journal.py", *map(str, words)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


# ---------------------------------------------------------------- claims


def test_two_jobs_at_once_ask_what_they_share_once(tmp_path):
    found = {}
    with TeacherServer(delay=0.02) as server:

        def job(name, numbers):
            found[name] = ask(server, tmp_path / "j", numbers, concurrency=8)

        jobs = [
            threading.Thread(target=job, args=("first", range(60))),
            threading.Thread(target=job, args=("all", range(90))),
        ]
        for thread in jobs:
            thread.start()
        for thread in jobs:
            thread.join()
        assert server.hits == 90
    assert {k: found["all"][k] for k in found["first"]} == found["first"]


def test_a_claim_ends_with_its_job_however_that_ends(tmp_path):
    with TeacherJournal(tmp_path / "j") as first, TeacherJournal(tmp_path / "j") as second:
        first.begin("key", 5, 100)
        with pytest.raises(Busy):
            second.begin("key", 5, 100)
        second.begin("other", 5, 100)
    code = (
        "import os, sys; from jz3.distillation.journal import TeacherJournal\n"
        f"journal = TeacherJournal({str(tmp_path / 'j')!r}); journal.begin('third', 7, 100)\n"
        "print('claimed', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    assert child.stdout.readline() == b"claimed\n"
    with TeacherJournal(tmp_path / "j") as journal:
        with pytest.raises(Busy):
            journal.begin("third", 7, 100)
        child.kill()
        child.wait()
        assert isinstance(journal.begin("third", 7, 100), int)
        assert journal.totals() == (24, 24)  # what was claimed stays charged
        assert isinstance(journal.begin("key", 5, 100), int)


def test_a_budget_held_by_another_living_job_is_not_used_up(tmp_path):
    with TeacherJournal(tmp_path / "j") as first, TeacherJournal(tmp_path / "j") as second:
        charge = first.begin("a", 80, 100)
        with pytest.raises(OverBudget) as raised:
            second.begin("b", 30, 100)
        assert raised.value.shared
        first.lose(charge)
        with pytest.raises(OverBudget) as raised:
            second.begin("b", 30, 100)
        assert not raised.value.shared


# ---------------------------------------------------------------- identity


def test_what_was_cut_off_is_asked_again_alone_with_a_larger_length(tmp_path):
    with TeacherServer(faults=["", "length", "", "length"]) as server:
        first = ask(server, tmp_path / "j", range(4), concurrency=1)
        assert [row["finish_reason"] for row in first.values()] == ["stop", "length"] * 2
        assert ask(server, tmp_path / "j", range(4)) == first
        assert server.hits == 4
        longer = ask(server, tmp_path / "j", range(4), max_tokens=101)
        assert server.hits == 6
        assert {row["finish_reason"] for row in longer.values()} == {"stop"}
        assert [longer[k] for k in ("r0", "r2")] == [first[k] for k in ("r0", "r2")]
        ask(server, tmp_path / "j", range(4), length_parameter="max_completion_tokens")
        ask(server, tmp_path / "j", range(4), api_key="sk-another-key", concurrency=1, budget=2.0)
        assert server.hits == 6


def test_another_address_asks_nothing_and_a_row_more_one(tmp_path):
    with TeacherServer() as server:
        ask(server, tmp_path / "j", range(3))
    with TeacherServer() as server:
        ask(server, tmp_path / "j", range(3))
        assert server.hits == 0
        ask(server, tmp_path / "j", range(4))
        assert server.hits == 1


def test_what_is_sent_follows_the_settings():
    body = replace(
        TEACHER, send=("seed",), length_parameter="max_completion_tokens", system="be short",
        extra_body={"reasoning_effort": "low"},
    ).body("r", "p", [])  # fmt: skip
    assert body.keys() == {
        "model", "messages", "max_completion_tokens", "seed", "reasoning_effort",
    }  # fmt: skip
    assert body["messages"][0] == {"role": "system", "content": "be short"}
    assert "seed" not in replace(TEACHER, send=()).body("r", "p", [])


# ---------------------------------------------------------------- failures


def test_a_rerun_after_a_kill_gets_past_what_is_refused(tmp_path):
    refused = (400, b'{"error": {"code": "content_filter", "message": "no"}}', {})
    with TeacherServer(faults=[refused] * 999) as server:
        with pytest.raises(io.UserError, match="22 requests of 100 failed, 0 were answered"):
            ask(server, tmp_path / "j", range(100), concurrency=1)
        server.faults.clear()
        found = ask(server, tmp_path / "j", range(100))
        assert server.hits == 100
        assert sum(row["finish_reason"] == "error" for row in found.values()) == 22
        assert ask(server, tmp_path / "j", range(100)) == found
        assert server.hits == 100


def test_a_paid_refusal_is_paid_once(tmp_path):
    with TeacherServer(faults=["refusal"]) as server:
        for _ in range(3):
            ask(server, tmp_path / "j", range(3), concurrency=1)
        assert server.hits == 3
    with TeacherJournal(tmp_path / "j") as journal:
        assert journal.totals() == (3 * 40_000, 0)
        kinds = [row["failure"] for _, row in journal.records()]
        assert sorted(kinds) == ["", "", "refusal"]


# ---------------------------------------------------------------- damage


def filled(path, count=60):
    with TeacherJournal(path) as journal:
        for k in range(count):
            charge = journal.begin(f"key {k:03}", 100, NANO)
            journal.keep_record(f"key {k:03}", record(text=f"text {k} " * 900), charge)
        journal.begin("open", 70, NANO)
    return path


def test_a_journal_cut_to_nothing_is_not_a_new_one(tmp_path):
    path = filled(tmp_path / "j")
    path.write_bytes(b"")
    with pytest.raises(io.UserError, match=r"it is empty.*salvage"):
        TeacherJournal(path)
    path.unlink()
    Path(f"{path}-wal").write_bytes(b"x")
    with pytest.raises(io.UserError, match="the file is gone"):
        TeacherJournal(path)


def test_a_journal_cut_short_is_one_line(tmp_path):
    path = filled(tmp_path / "j")
    os.truncate(path, path.stat().st_size // 2 + 100)
    line = "not a usable teacher journal"
    with pytest.raises(io.UserError, match=line) as raised, TeacherJournal(path) as journal:
        for k in range(60):
            journal.record(f"key {k:03}")
    assert "\n" not in str(raised.value)
    with pytest.raises(io.UserError, match=line), TeacherJournal(path) as journal:
        list(journal.records())
    records, _ = journal_files.salvage(path, tmp_path / "new")
    assert 15 <= records < 60
    with TeacherJournal(tmp_path / "new") as journal:
        for _, row in journal.records():
            assert row["text"].count("text") == 900


@pytest.mark.parametrize("pages", [1, 3])
def test_damaged_pages_cost_what_is_on_them(tmp_path, pages):
    path = filled(tmp_path / "j")
    data = bytearray(path.read_bytes())
    middle = len(data) // 4096 // 2
    for page in range(middle, middle + pages):
        data[page * 4096 : (page + 1) * 4096] = os.urandom(4096)
    path.write_bytes(data)
    records, charges = journal_files.salvage(path, tmp_path / "new")
    assert 60 - 2 * pages <= records < 60
    assert charges >= 50


def test_a_flipped_bit_is_no_answer(tmp_path):
    path = filled(tmp_path / "j", 5)
    data = bytearray(path.read_bytes())
    data[data.index(b"text 3 text 3") + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(io.UserError, match="another checksum"), TeacherJournal(path) as journal:
        journal.answer("key 003")
    assert journal_files.salvage(path, tmp_path / "new") == (4, 6)
    with TeacherJournal(tmp_path / "new") as journal:
        assert journal.answer("key 002")["text"] == "text 2 " * 900
        assert journal.answer("key 003") is None
        assert journal.totals() == (5 * 5 + 70, 70)


def test_a_changed_charge_is_noticed(tmp_path):
    path = filled(tmp_path / "j", 3)
    db = sqlite3.connect(path)
    db.execute("DROP TRIGGER charge_changed")
    db.execute("UPDATE charges SET nano_dollars = 1 WHERE state = 'sent'")
    db.commit()
    db.close()
    with pytest.raises(io.UserError, match="its balance says"):
        TeacherJournal(path)


def test_what_is_only_in_the_log_is_salvaged_too(tmp_path):
    with TeacherJournal(tmp_path / "j") as journal:
        charge = journal.begin("key", 100, NANO)
        journal.keep_record("key", record(), charge)
        shutil.copy(tmp_path / "j", tmp_path / "copy")
        shutil.copy(tmp_path / "j-wal", tmp_path / "copy-wal")
    os.truncate(tmp_path / "copy", 0)
    assert journal_files.salvage(tmp_path / "copy", tmp_path / "new") == (1, 1)


def test_a_foreign_database_is_named(tmp_path):
    db = sqlite3.connect(tmp_path / "j")
    db.execute("CREATE TABLE x (y)")
    db.close()
    with pytest.raises(io.UserError, match="not a usable teacher journal"):
        TeacherJournal(tmp_path / "j")


def test_a_journal_of_the_first_layout_is_taken_over(tmp_path):
    body = {"model": "m", "max_tokens": 100, "messages": []}
    db = sqlite3.connect(tmp_path / "j")
    db.executescript(
        "CREATE TABLE answers (key TEXT PRIMARY KEY, body TEXT NOT NULL, response TEXT NOT NULL,"
        " text TEXT NOT NULL, finish_reason TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,"
        " completion_tokens INTEGER NOT NULL, model TEXT NOT NULL, nano_dollars INTEGER NOT NULL)"
        " WITHOUT ROWID; CREATE TABLE charges (id INTEGER PRIMARY KEY, key TEXT NOT NULL,"
        " nano_dollars INTEGER NOT NULL, answered INTEGER NOT NULL DEFAULT 0);"
        "CREATE TABLE pace (one INTEGER PRIMARY KEY CHECK (one = 1), next REAL NOT NULL);"
    )
    row = (io.digest(body, 64), json.dumps(body), "{}", "hello", "stop", 3, 4, "m", 50)
    db.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    db.execute("INSERT INTO charges (key, nano_dollars, answered) VALUES ('x', 50, 1), ('y', 7, 0)")
    db.commit()
    db.close()
    for _ in range(2):
        with TeacherJournal(tmp_path / "j") as journal:
            assert journal.answer(request_key(body))["text"] == "hello"
            assert journal.totals() == (57, 7)


# ---------------------------------------------------------------- a journal that takes nothing


def test_a_locked_journal_is_waited_for(tmp_path):
    with TeacherServer(delay=0.3) as server:
        asked = replace(TEACHER, base_url=server.base_url)
        with TeacherJournal(tmp_path / "j", patience=0.1) as journal:
            lock = sqlite3.connect(tmp_path / "j", isolation_level=None, check_same_thread=False)
            locking = threading.Timer(0.15, lambda: lock.execute("BEGIN IMMEDIATE"))
            leaving = threading.Timer(1.5, lambda: lock.execute("ROLLBACK"))
            locking.start()
            leaving.start()
            found = teacher.ask(asked, requests(asked, range(8)), journal)
            leaving.join()
            lock.close()
        assert {row["finish_reason"] for row in found.values()} == {"stop"}
        assert server.hits == 8


def test_paid_answers_are_kept_even_where_the_journal_takes_none(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    with TeacherServer(delay=0.3) as server:
        asked = replace(TEACHER, base_url=server.base_url, patience=0.5)
        with TeacherJournal(tmp_path / "j", patience=0.1) as journal:
            lock = sqlite3.connect(tmp_path / "j", isolation_level=None, check_same_thread=False)
            threading.Timer(0.15, lambda: lock.execute("BEGIN IMMEDIATE")).start()
            with pytest.raises(io.UserError, match="can not be written"):
                teacher.ask(asked, requests(asked, range(8)), journal)
            lock.close()
        paid = server.hits
        (rescued,) = tmp_path.rglob("jz3-answers-*.jsonl")
        with TeacherJournal(tmp_path / "j") as journal:
            assert journal_files.bring_in(journal, rescued) == (paid, 0)
            found = teacher.ask(asked, requests(asked, range(8)), journal)
        assert server.hits == 8
        assert {row["finish_reason"] for row in found.values()} == {"stop"}


def test_a_full_disk_ends_in_one_line_and_loses_no_paid_answer(tmp_path):
    with TeacherServer(delay=0.05) as server:
        asked = replace(TEACHER, base_url=server.base_url, patience=0.5)
        with TeacherJournal(tmp_path / "j") as journal:
            pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
            journal._db.execute(f"PRAGMA max_page_count={pages + 4}")
            with pytest.raises(io.UserError, match="full"):
                teacher.ask(asked, requests(asked, range(40)), journal)
            journal._db.execute("PRAGMA max_page_count=1000000")
            for rescued in tmp_path.rglob("jz3-answers-*.jsonl"):
                journal_files.bring_in(journal, rescued)
            before = server.hits
            teacher.ask(asked, requests(asked, range(40)), journal)
            assert server.hits == 40
            assert before < 40


# ---------------------------------------------------------------- the program


def test_the_program_lists_settles_and_has_failures_asked_again(tmp_path):
    path = tmp_path / "j"
    with TeacherServer(faults=["", "refusal", "length", "server_error"]) as server:
        ask(server, path, range(4), concurrency=1)
        done = program("list", path)
        assert done.returncode == 0, done.stderr
        for line in ("spent or reserved  $0.000260", "of it open       $0.000100", "answered"):
            assert line in done.stdout
        assert "refusal            1 ($0.000040)" in done.stdout
        assert "cut off" in done.stdout
        assert "open, $0.000100 at most" in done.stdout
        assert program("settle", path, "0.00002").stdout.startswith("1 charges settled")
        with TeacherJournal(path) as journal:
            assert journal.totals() == (180_000, 0)
        assert program("settle", path, "0", "99").stderr.startswith("journal: charge 99: none")
        assert "0 failures" in program("again", path, "context").stdout
        assert "1 failures" in program("again", path, "refusal").stdout
        ask(server, path, range(4))
        assert server.hits == 6


def test_export_and_import_carry_everything_once(tmp_path):
    filled(tmp_path / "j", 4)
    assert program("export", tmp_path / "j", tmp_path / "out.jsonl").returncode == 0
    for wanted in ("4 new records and 5 new charges", "0 new records and 0 new charges"):
        done = program("import", tmp_path / "other", tmp_path / "out.jsonl")
        assert wanted in done.stdout, done.stderr
    with TeacherJournal(tmp_path / "j") as one, TeacherJournal(tmp_path / "other") as two:
        assert list(one.records()) == list(two.records())
        assert one.totals() == two.totals()
    with (tmp_path / "out.jsonl").open("a") as stream:
        stream.write('{"key": "x", "record": {"text": 5}}\n')
    done = program("import", tmp_path / "third", tmp_path / "out.jsonl")
    assert done.returncode == 1
    assert "line 10: not a line of an exported journal" in done.stderr
    with TeacherJournal(tmp_path / "third") as journal:
        assert list(journal.records()) == []


def test_the_program_salvages(tmp_path):
    path = filled(tmp_path / "j", 5)
    data = bytearray(path.read_bytes())
    data[:100] = bytes(100)
    path.write_bytes(data)
    assert "salvage" in program("list", path).stderr
    done = program("salvage", path, "--output", tmp_path / "new")
    assert "5 records and 6 charges were whole" in done.stdout, done.stderr
    assert "is there already" in program("salvage", path, "--output", tmp_path / "new").stderr
    assert program("list", tmp_path / "nowhere").stderr.endswith("no such journal.\n")
