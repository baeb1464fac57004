"""What a server of a job leaves behind, however the job ends: nothing, and the GPUs free."""

import contextlib
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from leases import is_free
from tiny_model import make_model

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the keeper is Linux only")

# A server like vLLM's: its engine has a process group of its own, outlives the server and takes
# no notice of SIGTERM.
STUBBORN = """
import os, signal, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer
engine = ("import signal, time, os; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
          "print(os.getpid(), flush=True); time.sleep(600)")
started = subprocess.Popen([sys.executable, "-c", engine], start_new_session=True,
                           stdout=open(sys.argv[2], "w"))
class Yes(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Yes).serve_forever()
"""

OWNER = """
import os, signal, sys, time
from pathlib import Path
from jz3.distillation import local_server
signal.signal(signal.SIGTERM, signal.default_int_handler)
command, log, lock = sys.argv[1:4]
with local_server.local_server(command, sys.argv[4], 1, 300, Path(log)) as url:
    print(url, flush=True)
    sys.stdin.readline()
"""


def start(tmp_path, command, model=""):
    """A job with a leased GPU and a server, which ends well once it is told a line."""
    folder = tmp_path / "jz3-gpus-0"
    folder.mkdir(exist_ok=True)
    lock = os.open(folder / "0.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.set_inheritable(lock, True)
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, command, tmp_path / "log", folder / "0.lock", model],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, close_fds=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
    )  # fmt: skip
    os.close(lock)
    return owner


def lives(process):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@LINUX
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None])
def test_what_a_server_started_ends_with_the_job_and_then_the_gpu_is_free(tmp_path, number):
    (tmp_path / "server.py").write_text(STUBBORN)
    command = f"python {tmp_path}/server.py {{port}} {tmp_path}/engine"
    owner = start(tmp_path, command)
    owner.stdout.readline()
    assert wait_for(lambda: (tmp_path / "engine").read_text(), 60)
    engine = int((tmp_path / "engine").read_text())
    assert not is_free(tmp_path)
    if number:
        owner.send_signal(number)
    else:
        owner.communicate("\n", 40)
    owner.wait(40)
    # Never is the lock free while the engine lives.
    deadline = time.monotonic() + 40
    while not is_free(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert is_free(tmp_path)
    assert not lives(engine)


@LINUX
def test_a_server_killed_at_any_moment_of_its_start_leaves_nothing(tmp_path):
    (tmp_path / "server.py").write_text(STUBBORN)
    chance = random.Random(13)
    for turn in range(6):
        engine = tmp_path / f"engine-{turn}"
        owner = start(tmp_path, f"python {tmp_path}/server.py {{port}} {engine}")
        time.sleep(chance.uniform(0.05, 0.6))
        owner.kill()
        owner.wait()
        assert wait_for(lambda: is_free(tmp_path), 40)
        if engine.exists() and (text := engine.read_text()):
            assert not lives(int(text))


@LINUX
@pytest.mark.skipif(
    "JZ3_VLLM_PYTHON" not in os.environ, reason="JZ3_VLLM_PYTHON names no Python with vLLM"
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_vllms_server_answers_and_leaves_nothing(tmp_path, number):
    model = make_model(tmp_path / "model", hidden_size=128, num_attention_heads=2)
    command = (
        f"{os.environ['JZ3_VLLM_PYTHON']} {ROOT}/scripts/serve_vllm.py --model {{model}}"
        " --port {port} --name tiny --context 128 --together 4 --dtype float32 --eager"
    )
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    owner = start(tmp_path, command, str(model))
    url = owner.stdout.readline().strip()
    body = {"model": "tiny", "prompt": "1 + 1 =", "max_tokens": 4, "temperature": 0}
    request = urllib.request.Request(
        f"{url}/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert json.load(answer)["usage"]["prompt_tokens"] == 7
    owner.send_signal(number)
    owner.wait(60)
    assert wait_for(lambda: is_free(tmp_path), 60)
    rest = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(tmp_path) not in rest
