"""When requests are sent: limits, a pause for all, and the end of a job that is told to stop."""

import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from jz3 import io
from jz3.distillation import teacher
from jz3.distillation.journal import TeacherJournal
from teacher_server import TeacherServer

ROOT = Path(__file__).resolve().parents[2]
TEACHER = teacher.Teacher(
    base_url="", model="test", api_key="none", temperature=0.6, max_tokens=100, input_price=0.0,
    output_price=1.0, budget=1.0, concurrency=4, timeout=10.0, attempts=2, backoff=0.02, seed=7,
)  # fmt: skip
SLOW_DOWN = b'{"error": {"message": "slow down"}}'


def ask(server, path, count, **change):
    asked = replace(TEACHER, base_url=server.base_url, **change)
    requests = [(f"r{k}", asked.body(f"r{k}", f"prompt {k}", [])) for k in range(count)]
    with TeacherJournal(path) as journal:
        return teacher.ask(asked, requests, journal)


def ends(found):
    return {row["finish_reason"] for row in found.values()}


def test_one_429_lets_all_requests_wait(tmp_path):
    with TeacherServer(faults=[(429, SLOW_DOWN, {"Retry-After-Ms": "700"})]) as server:
        assert ends(ask(server, tmp_path / "j", 30)) == {"stop"}
        times = sorted(server.times)
        assert server.hits == 31
        gaps = [b - a for a, b in itertools.pairwise(times)]
        late = max(range(30), key=gaps.__getitem__)
        assert gaps[late] >= 0.5
        assert late < 12  # those under way end, and the other 20 wait


def test_another_job_waits_as_well(tmp_path):
    with TeacherJournal(tmp_path / "j") as journal:
        journal.pause(0.6)
        assert 0.3 < journal.paused() <= 0.6
    began = time.monotonic()
    with TeacherServer() as server:
        ask(server, tmp_path / "j", 1)
        assert server.times[0] - began >= 0.3


def test_a_429_uses_up_no_try(tmp_path):
    with TeacherServer(faults=[(429, SLOW_DOWN, {})] * 9) as server:
        assert ends(ask(server, tmp_path / "j", 1)) == {"stop"}
        assert server.hits == 10


def test_a_teacher_that_only_says_429_is_left_in_the_end(tmp_path):
    with TeacherServer(faults=[(429, SLOW_DOWN, {})] * 999) as server:
        with pytest.raises(io.UserError, match="slow down"):
            ask(server, tmp_path / "j", 3, attempts=1, backoff=0.001)
        assert server.hits <= 18


def test_limits_that_are_used_up_are_heeded(tmp_path):
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "600ms"}
    with TeacherServer() as server:
        sound = ask(server, tmp_path / "sound", 1)["r0"]
        assert sound["finish_reason"] == "stop"
    body = (
        b'{"model": "test", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}],'
        b' "usage": {"prompt_tokens": 1, "completion_tokens": 1}}'
    )
    with TeacherServer(faults=[(200, body, headers)]) as server:
        ask(server, tmp_path / "j", 3, concurrency=1)
        assert server.times[1] - server.times[0] >= 0.4


def test_tokens_per_minute_space_requests(tmp_path):
    with TeacherServer() as server:
        asked = replace(TEACHER, base_url=server.base_url)
        tokens = asked.sent(asked.body("r0", "prompt 0", [])).sent / 4 + 100
        ask(server, tmp_path / "j", 4, tokens_per_minute=int(tokens * 60 / 0.2))
        assert server.times[-1] - server.times[0] >= 0.4  # three gaps of 0.2 s


def test_a_job_told_to_stop_lets_what_is_paid_for_come_in(tmp_path):
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "import test_pace, types\n"
        "server = types.SimpleNamespace(base_url=sys.argv[1])\n"
        "test_pace.ask(server, sys.argv[2] + '/j', 40)"
    )
    paths = [tmp_path, ROOT / "scripts", ROOT / "tests", ROOT / "tests" / "distillation"]
    with TeacherServer(delay=0.5) as server:
        job = subprocess.Popen(
            [sys.executable, "-c", code, server.base_url, *map(str, paths)],
            stderr=subprocess.PIPE, text=True, env=os.environ,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while server.hits < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
        job.send_signal(signal.SIGTERM)
        said = job.communicate(timeout=30)[1]
        assert "come to their end" in said
        assert "KeyboardInterrupt" in said
        assert server.hits < 40
        with TeacherJournal(tmp_path / "j") as journal:
            assert len(list(journal.records())) == server.hits
            assert journal.totals() == (server.hits * 40_000, 0)
