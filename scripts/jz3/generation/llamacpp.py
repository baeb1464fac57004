"""Generation with llama.cpp (package xllamacpp) from a quantised GGUF file.

For a laptop or a small GPU: a 7B model of four bits takes 4 GB. The model is served on the loopback
interface by a process of its own for as long as the engine lives (serve_gguf.py, as for a local
teacher): native code that crashes or hangs is then one line, and ends with the job. llama.cpp cuts
prompts into tokens by itself, as the file says; the tokenizer beside it is for chat templates.

On a processor requests run one after the other: arithmetic, not memory, is the limit there, and
each is journalled as it is done. On GPUs that the package was built for, `batch` run together.
"""

import contextlib
import json
import tempfile
import urllib.error
import urllib.request
import weakref
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import io, models
from ..distillation.local_server import local_server
from . import Generated, Request, Sampling, Settings, check_distinct, check_room

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LONGEST = 8192  # tokens of prompt and completion: keys and values of 7B take 1 to 4 GB
_TOGETHER = 16  # requests on a GPU at most, each with a context of its own
_READY_SECONDS = 900
_COMMAND = (
    "python scripts/serve_gguf.py --model {{model}} --port {{port}} --threads {{threads}}"
    " --slots {slots} --context {context}"
)


class LlamaCppEngine:
    """See `Engine`."""

    def __init__(self, model_dir: str | Path, settings: Settings):
        try:
            import xllamacpp
        except ImportError:
            raise io.UserError(
                f"{model_dir}: a quantised model needs xllamacpp, which is not installed here."
            ) from None
        self.tokenizer: PreTrainedTokenizerBase = models.open_tokenizer(model_dir)
        self.context = min(_context_of(model_dir), _LONGEST)
        gpu = any(device["name"] != "CPU" for device in xllamacpp.get_device_info())
        self.slots = min(settings["batch"], _TOGETHER) if gpu else 1
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="jz3-llamacpp-"))
            self.address = stack.enter_context(
                local_server(
                    _COMMAND.format(slots=self.slots, context=self.context),
                    str(Path(model_dir) / models.QUANTISED),
                    settings["threads"],
                    _READY_SECONDS,
                    Path(folder) / "log",
                )
            )
            # never through a proxy
            self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            # Whether it puts a beginning before prompts itself, as the file says: asked once.
            counted = self._ask({"prompt": "1", "max_tokens": 1})["usage"]["prompt_tokens"]
            plain = self.tokenizer("1", add_special_tokens=False)["input_ids"]
            self.begins = counted > len(plain)
            self._stop = weakref.finalize(self, stack.pop_all().close)

    def batches(self, requests: Sequence[Request]) -> list[list[Request]]:
        """As many as run together, ordered by identity."""
        ordered = sorted(requests, key=lambda request: request.request_id)
        return [ordered[i : i + self.slots] for i in range(0, len(ordered), self.slots)]

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int
    ) -> Generator[Generated]:
        """See `Engine.generate`; a completion is yielded as soon as it is done."""
        check_distinct(requests)
        with ThreadPoolExecutor(self.slots) as pool:
            asked = [pool.submit(self._one, request, sampling, seed) for request in requests]
            try:
                for done in as_completed(asked):
                    yield done.result()
            finally:
                for waiting in asked:
                    waiting.cancel()

    def close(self) -> None:
        """Stop the server."""
        self._stop()

    def _one(self, request: Request, sampling: Sampling, seed: int) -> Generated:
        if not request.prompt:
            check_room(request, 0, self.context)
        body: dict[str, Any] = {
            "prompt": self._prompt(request.prompt),
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            # as the other engines draw: nothing but these two, in this order
            "samplers": ["temperature", "top_p"],
            "seed": int(io.digest([seed, "generation", request.request_id], 7), 16),
            "stop": list(sampling.stop),
            "cache_prompt": False,  # what was read before must not decide a last bit
        }
        answer = self._ask(body)
        if error := answer.get("error"):
            if error.get("type") == "exceed_context_size_error":
                check_room(request, error["n_prompt_tokens"], self.context)
            raise io.UserError(f"request {request.request_id}: llama.cpp: {error.get('message')}")
        [choice], usage = answer["choices"], answer["usage"]
        return Generated(
            request.request_id,
            choice["text"],
            choice["finish_reason"],
            usage["prompt_tokens"],
            usage["completion_tokens"],
        )

    def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        asked = urllib.request.Request(
            f"{self.address}/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with self.opener.open(asked) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        except OSError as error:
            raise io.UserError(
                f"llama.cpp's server is gone ({error}): out of memory? Run again; answers so far"
                " are kept."
            ) from None
        found: dict[str, Any] = json.loads(text)
        return found

    def _prompt(self, prompt: str) -> str:
        """The prompt without the beginning that llama.cpp puts there itself."""
        begin = self.tokenizer.bos_token
        if self.begins and isinstance(begin, str) and begin:
            return prompt.removeprefix(begin)
        return prompt


def _context_of(model_dir: str | Path) -> int:
    config = io.read_json(Path(model_dir) / "config.json")
    return int(config.get("max_position_embeddings") or _LONGEST)
