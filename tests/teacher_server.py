"""A teacher for tests: an OpenAI-compatible server on the loopback interface, standard library only.

    python tests/teacher_server.py --port 8000 [--faults FILE] [--hits FILE] [--delay SECONDS]

For each request it writes a sound and very regular word problem whose numbers derive from a hash
of the last message: as JSON where the request brings a JSON schema, else as text with markers; in
tool form where the schema wants a program or the message speaks of Python. So regular that a model
of 0.2 million parameters learns to write such problems from thirty of them.

Faults come from a JSON list (in --faults, or set through `faults` where the server runs inside a
test): the first entry is used up by the first request, and so on; a request without one is
answered. An entry (status, bytes, headers) is sent as it stands. Known faults: rate_limit, quota, server_error, drop, garbage, truncated, empty, length,
refusal, no_usage, lies, context, unauthorized, not_found, no_schema.
"""

import argparse
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAMES = ("Tom", "Ann", "Ben", "Eva")
THINGS = ("pens", "eggs", "nuts", "cups")


def word_problem(prompt: str) -> dict[str, str]:
    """problem, solution, program and answer; the numbers derive from a hash of the prompt."""
    draw = hashlib.sha256(prompt.encode()).digest()
    name, things = NAMES[draw[0] % 4], THINGS[draw[1] % 4]
    first, second = 1 + draw[2] % 5, 1 + draw[3] % 4  # all numbers have one digit
    total = first + second
    return {
        "problem": f"{name} has {first} {things} and gets {second} more. How many {things}"
        f" does {name} have now?",
        "solution": f"{name} has {first} + {second} = {total} {things}.",
        "program": f"first = {first}\nsecond = {second}\nprint(first + second)",
        "answer": str(total),
    }


def answer_text(body: dict) -> str:
    """The text of the answer to a chat completion request."""
    prompt = body["messages"][-1]["content"]
    parts = word_problem(prompt)
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        keys = form["json_schema"]["schema"]["required"]
        return json.dumps({key: parts[key] for key in keys})
    work = parts["solution"]
    if "python" in prompt.lower():
        work = f"```python\n{parts['program']}\n```"
    end = f"The answer is \\boxed{{{parts['answer']}}}."
    return f"[Problem]:\n{parts['problem']}\n\n[Solution]:\n{work}\n\n{end}"


class TeacherServer(ThreadingHTTPServer):
    """The server; `hits` counts chat requests, `bodies` keeps them, `keys` their bearer keys."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0, faults: list | None = None, delay: float = 0.0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.faults, self.delay = list(faults or []), delay
        self.hits, self.most_at_once, self.at_once = 0, 0, 0
        self.bodies: list[dict] = []
        self.keys: list[str] = []
        self.times: list[float] = []
        self.hits_file: Path | None = None
        self.lock = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> "TeacherServer":
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TeacherServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def reply(self, status: int, payload: bytes | dict, headers: dict | None = None) -> None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def error(self, status: int, message: str, code: str = "", **headers: str) -> None:
        fault = {"error": {"message": message, "code": code, "type": code}}
        self.reply(status, fault, {k.replace("_", "-"): v for k, v in headers.items()})

    def do_GET(self) -> None:
        if self.path in ("/health", "/v1/models"):
            self.reply(200, {"object": "list", "data": [{"id": "test", "object": "model"}]})
        else:
            self.error(404, "no such page")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.hits += 1
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            server.bodies.append(body)
            server.times.append(time.monotonic())
            server.keys.append(self.headers.get("Authorization", ""))
            if server.hits_file:
                with server.hits_file.open("a") as stream:
                    stream.write(json.dumps(body["messages"][-1]["content"]) + "\n")
            fault = server.faults.pop(0) if server.faults else ""
        try:
            if server.delay:
                time.sleep(server.delay)
            self.answer(body, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with server.lock:
                server.at_once -= 1

    def answer(self, body: dict, fault: str | tuple) -> None:
        text, reason = answer_text(body), "stop"
        tokens = {"prompt_tokens": len(str(body["messages"])) // 4, "completion_tokens": 40}
        message: dict = {"role": "assistant", "content": text}
        if isinstance(fault, tuple):
            return self.reply(*fault)
        if fault == "rate_limit":
            return self.error(429, "slow down", "rate_limit_exceeded", Retry_After="0.3")
        if fault == "quota":
            return self.error(429, "You exceeded your current quota", "insufficient_quota")
        if fault == "server_error":
            return self.error(500, "internal error")
        if fault == "context":
            return self.error(400, "too many tokens", "context_length_exceeded")
        if fault == "unauthorized":
            return self.error(401, f"Incorrect API key: {self.headers['Authorization']}")
        if fault == "not_found":
            return self.error(404, "The model does not exist", "model_not_found")
        if fault == "no_schema":
            return self.error(400, "response_format json_schema is not supported")
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
            return None
        if fault == "garbage":
            return self.reply(200, b"<html>bad gateway</html>")
        if fault == "empty":
            message["content"] = ""
        if fault == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I can not do that."}
        if fault == "length":
            message["content"], reason = text[: len(text) // 2], "length"
        if fault == "lies":
            tokens = {"prompt_tokens": -50, "completion_tokens": 3 * 10**9}
        if fault == "no_usage":
            tokens = {}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        reply = {"id": "x", "model": body["model"], "choices": [choice], "usage": tokens}
        if fault == "truncated":  # promises more bytes than it sends
            data = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return None
        return self.reply(200, reply)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--faults", type=Path, help="JSON list of faults, one per request")
    parser.add_argument("--hits", type=Path, help="file that gets one line per chat request")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    args = parser.parse_args()
    faults = json.loads(args.faults.read_text()) if args.faults else []
    with TeacherServer(args.port, faults, args.delay) as server:
        server.hits_file = args.hits
        print(f"teacher_server: {server.base_url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
