"""The Batch API against a server that keeps files and batches as the providers do."""

import json
import multiprocessing
import os
import re
import signal
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from jz3 import io
from jz3.distillation import batches, teacher
from jz3.distillation.endpoint import Teacher
from jz3.distillation.journal import TeacherJournal
from teacher_server import answer_text

TEACHER = Teacher(
    base_url="", model="test", api_key="sk-secret-0123", temperature=0.6, max_tokens=100,
    input_price=0.0, output_price=1.0, budget=1.0, timeout=10.0, attempts=2, backoff=0.02,
    discount=0.5,
)  # fmt: skip


class BatchServer(ThreadingHTTPServer):
    """Batches are over at the second look.

    fates: per batch completed | expired (half of it) | failed | waits; odd: what the results hold
    for a request, in place of an answer, by its number in the batch.
    """

    daemon_threads = True

    def __init__(self, fates=(), odd=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fates, self.odd = list(fates), odd or {}
        self.files, self.made, self.looks = {}, {}, {}
        self.refuse = 0  # so many POSTs of a batch are answered 500, though it is made

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def results(self, batch):
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        lines = lines[: len(lines) // 2] if batch["fate"] == "expired" else lines
        for number, line in reversed(list(enumerate(lines))):  # in any order
            choice = {"index": 0, "finish_reason": "stop",
                      "message": {"role": "assistant", "content": answer_text(line["body"])}}  # fmt: skip
            usage = {"prompt_tokens": 20, "completion_tokens": 40}
            body = {"model": "test", "choices": [choice], "usage": usage}
            status, body = self.odd.get(number, (200, body))
            response = {"status_code": status, "body": body}
            yield json.dumps({"custom_id": line["custom_id"], "response": response, "error": None})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, value, status=200):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        server = self.server
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/files":
            content = re.search(rb"filename=.*?\r\n\r\n(.*?)\r\n--", data, re.S)[1]
            number = f"file-{len(server.files)}"
            server.files[number] = content
            return self.reply({"id": number})
        number = f"batch-{len(server.made)}"
        fate = server.fates.pop(0) if server.fates else "completed"
        server.made[number] = json.loads(data) | {"id": number, "fate": fate}
        if server.refuse:
            server.refuse -= 1
            return self.reply({}, 500)
        return self.reply(server.made[number])

    def do_GET(self):
        server = self.server
        if match := re.fullmatch(r"/v1/files/out-(.*)/content", self.path):
            lines = list(server.results(server.made[match[1]]))
            return self.reply("\n".join([*lines, "not JSON"]).encode())
        if self.path.startswith("/v1/batches?"):
            return self.reply({"data": list(server.made.values()), "has_more": False})
        number = self.path.rsplit("/", 1)[1]
        batch = server.made[number]
        server.looks[number] = server.looks.get(number, 0) + 1
        if batch["fate"] == "waits" or server.looks[number] < 2:
            return self.reply(batch | {"status": "in_progress"})
        if batch["fate"] == "failed":
            errors = {"data": [{"message": "line 1 is not to our liking"}]}
            return self.reply(batch | {"status": "failed", "errors": errors})
        return self.reply(batch | {"status": batch["fate"], "output_file_id": f"out-{number}"})


def ask(server, path, count, **change):
    return ask_at(server.base_url, path, count, **change)


def ask_at(base_url, path, count, **change):
    asked = replace(TEACHER, base_url=base_url, **change)
    requests = [(f"r{k}", asked.body(f"r{k}", f"prompt {k}", [])) for k in range(count)]
    with TeacherJournal(path) as journal:
        return batches.ask(asked, requests, journal, poll=0.02)


def totals(path):
    with TeacherJournal(path) as journal:
        assert not journal.batches()
        return journal.totals()


def test_a_batch_is_asked_once_for_half_the_price(tmp_path):
    with BatchServer() as server:
        found = ask(server, tmp_path / "j", 10)
        assert len(server.made) == 1
        assert {row["finish_reason"] for row in found.values()} == {"stop"}
        assert totals(tmp_path / "j") == (10 * 20_000, 0)
        assert ask(server, tmp_path / "j", 10) == found
        assert len(server.made) == 1
        ask(server, tmp_path / "j", 11)
        assert server.files["file-1"].count(b"custom_id") == 1


def test_what_an_expired_batch_lacks_is_sent_again(tmp_path):
    with BatchServer(["expired"]) as server:
        assert len(ask(server, tmp_path / "j", 10)) == 10
        assert [content.count(b"custom_id") for content in server.files.values()] == [10, 5]
        assert totals(tmp_path / "j") == (10 * 20_000, 0)


def test_each_result_of_a_batch_is_sorted_by_itself(tmp_path):
    odd = {
        1: (400, {"error": {"code": "content_filter", "message": "no"}}),
        2: (200, {"model": "test", "choices": "nonsense"}),
        3: (200, {"model": "other", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}),
    }  # fmt: skip
    with BatchServer(odd=odd) as server:
        found = ask(server, tmp_path / "j", 6)
        assert [content.count(b"custom_id") for content in server.files.values()] == [6, 1]
    ends = [row["finish_reason"] for row in found.values()]
    assert ends.count("error") == 2


def test_a_refused_batch_is_one_line_and_costs_nothing(tmp_path):
    with BatchServer(["failed"]) as server:
        with pytest.raises(io.UserError, match="refuses batch batch-0: line 1"):
            ask(server, tmp_path / "j", 4)
        assert totals(tmp_path / "j") == (0, 0)


def test_a_batch_that_was_made_without_our_knowing_is_found_again(tmp_path):
    with BatchServer() as server:
        server.refuse = 1
        with pytest.raises(io.UserError, match="run again to go on"):
            ask(server, tmp_path / "j", 4)
        assert len(ask(server, tmp_path / "j", 4)) == 4
        assert len(server.made) == 1


def test_the_budget_holds_for_batches(tmp_path):
    with BatchServer() as server:
        with pytest.raises(io.UserError, match="the budget of"):
            ask(server, tmp_path / "j", 50, budget=0.0002)  # a worst case is 0.00005
        assert totals(tmp_path / "j")[0] <= 200_000
        assert server.files["file-0"].count(b"custom_id") == 4


def test_after_a_kill_the_batch_goes_on_by_its_number(tmp_path):
    with BatchServer(["waits"]) as server:
        context = multiprocessing.get_context("forkserver")
        job = context.Process(target=ask_at, args=(server.base_url, tmp_path / "j", 8))
        job.start()
        deadline = time.monotonic() + 20
        while not server.looks and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(job.pid, signal.SIGKILL)
        job.join()
        with TeacherJournal(tmp_path / "j") as journal:  # nobody else asks what is under way
            asked = replace(TEACHER, base_url=server.base_url)
            row = [("r0", asked.body("r0", "prompt 0", []))]
            with pytest.raises(io.UserError, match="a batch under way"):
                teacher.ask(asked, row, journal)
        server.made["batch-0"]["fate"] = "completed"
        assert len(ask(server, tmp_path / "j", 8)) == 8
        assert len(server.made) == 1
        assert totals(tmp_path / "j") == (8 * 20_000, 0)
