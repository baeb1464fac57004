"""Calls per second to a teacher: ours, the plain openai SDK, and bespokelabs-curator.

    python tests/performance/teacher.py [--requests 3000] [--rounds 3] [--tools ours sdk curator]

A server of its own process (aiohttp) answers each call after 50 ms; 256 calls are in flight. Ours is
the product itself: durable journal (each change on the disk before the next step), budget, claims.
The SDK asks and keeps nothing. The tools take turns, each in a process of its own; seconds are
from the first call to the last answer (curator: of its whole call, since it starts and writes
inside). Curator pins its SDK, so it needs an environment of
its own: pip install bespokelabs-curator aiohttp pyarrow pydantic tqdm. Ends
with one line of JSON: the median, lowest and highest calls per second by tool.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LATENCY, IN_FLIGHT = 0.05, 256
TEXT = "[Problem]:\n" + "How many pens does Ann have? " * 20 + "\n\n[Solution]:\n" + "work " * 150


def serve() -> None:
    """Answer chat completions, each after the latency."""
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(LATENCY)
        choice = {"index": 0, "finish_reason": "stop",
                  "message": {"role": "assistant", "content": TEXT}}  # fmt: skip
        usage = {"prompt_tokens": 40, "completion_tokens": 300, "total_tokens": 340}
        return web.json_response({"id": "x", "object": "chat.completion", "created": 0,
                                  "model": body["model"], "choices": [choice], "usage": usage})  # fmt: skip

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(run())


def prompt(number: int) -> str:
    """A prompt of the length of a passage's."""
    return f"Passage {number}. " + "Some words of a text with formulas. " * 40


def ours(base_url: str, count: int, folder: str) -> float:
    """The product."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from jz3.distillation import teacher
    from jz3.distillation.journal import TeacherJournal

    asked = teacher.Teacher(
        base_url=base_url, model="gpt-4o-mini", api_key="none", temperature=0.7, max_tokens=1000,
        input_price=1.0, output_price=1.0, budget=1e6, concurrency=IN_FLIGHT,
    )  # fmt: skip
    requests = [(f"r{k}", asked.body(f"r{k}", prompt(k), [])) for k in range(count)]
    began = time.perf_counter()
    with TeacherJournal(Path(folder, "journal")) as journal:
        found = teacher.ask(asked, requests, journal)
    seconds = time.perf_counter() - began
    assert all(row["text"] == TEXT for row in found.values())
    return seconds


def sdk(base_url: str, count: int, folder: str) -> float:
    """The openai SDK as its documentation shows it."""
    import openai

    async def run() -> float:
        gate = asyncio.Semaphore(IN_FLIGHT)
        async with openai.AsyncOpenAI(base_url=base_url, api_key="none") as client:

            async def one(number: int) -> str:
                async with gate:
                    done = await client.chat.completions.create(
                        model="gpt-4o-mini", temperature=0.7, max_tokens=1000,
                        messages=[{"role": "user", "content": prompt(number)}],
                    )  # fmt: skip
                    return done.choices[0].message.content or ""

            began = time.perf_counter()
            found = await asyncio.gather(*(one(k) for k in range(count)))
            seconds = time.perf_counter() - began
        assert all(text == TEXT for text in found)
        return seconds

    return asyncio.run(run())


def curator(base_url: str, count: int, folder: str) -> float:
    """bespokelabs-curator with its own journal, its limits set out of the way.

    Its token counter would fetch a table from the network: words are counted instead, which is
    faster.
    """
    from types import SimpleNamespace

    import tiktoken

    words = SimpleNamespace(encode=lambda text, **_: text.split())
    tiktoken.get_encoding = tiktoken.encoding_for_model = lambda _: words
    os.environ |= {
        "CURATOR_CACHE_DIR": folder, "TELEMETRY_ENABLED": "false", "OPENAI_API_KEY": "none",
        "CURATOR_DISABLE_RICH_DISPLAY": "1", "CURATOR_VIEWER": "0",
    }  # fmt: skip
    from bespokelabs import curator as tool

    model = tool.LLM(
        model_name="gpt-4o-mini", backend="openai",
        generation_params={"temperature": 0.7, "max_tokens": 1000},
        backend_params={
            "base_url": base_url, "max_concurrent_requests": IN_FLIGHT,
            "max_requests_per_minute": 10**7, "max_tokens_per_minute": 10**10,
        },
    )  # fmt: skip
    began = time.perf_counter()
    found = model([prompt(k) for k in range(count)])
    seconds = time.perf_counter() - began
    rows = found.dataset if hasattr(found, "dataset") else found
    assert len(rows) == count
    return seconds


TOOLS = {"ours": ours, "sdk": sdk, "curator": curator}


def main() -> None:
    """Let the tools take turns."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve()
    if options.one:
        name, base_url = options.one
        with tempfile.TemporaryDirectory() as folder:
            print("seconds", TOOLS[name](base_url, options.requests, folder), flush=True)
        return None
    this = [sys.executable, __file__]
    server = subprocess.Popen([*this, "--serve"], stdout=subprocess.PIPE, text=True)
    rates: dict[str, list[float]] = {name: [] for name in options.tools}
    try:
        port = server.stdout.readline().strip()
        for _ in range(options.rounds):
            for name in options.tools:
                words = ["--requests", str(options.requests), "--one", name]
                done = subprocess.run(
                    [*this, *words, f"http://127.0.0.1:{port}/v1"], capture_output=True, text=True
                )
                line = [x for x in done.stdout.splitlines() if x.startswith("seconds ")]
                if not line:
                    sys.exit(f"{name}: {done.stderr[-2000:]}")
                rates[name].append(options.requests / float(line[-1].split()[1]))
                print(f"{name}: {rates[name][-1]:,.0f} calls/s", flush=True)
    finally:
        server.kill()
    print(json.dumps({
        name: {"median": round(statistics.median(x)), "low": round(min(x)), "high": round(max(x))}
        for name, x in rates.items()
    }))  # fmt: skip
    return None


if __name__ == "__main__":
    main()
