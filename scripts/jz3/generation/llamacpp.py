"""Generation with llama.cpp, in this process, from a quantised GGUF file (package xllamacpp).

For a laptop or a small GPU: a 7B model of four bits takes 4 GB. llama.cpp cuts prompts into tokens
by itself, as the file says; the tokenizer beside it is for chat templates. On a processor requests
run one after the other: arithmetic, not memory, is the limit there, and each is journalled as it is
done. On GPUs that the package was built for, `batch` of them run together.
"""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import io, models
from . import Generated, Request, Sampling, Settings, check_distinct, check_room

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LONGEST = 8192  # tokens of prompt and completion: keys and values of 7B take 1 to 4 GB
_TOGETHER = 16  # requests on a GPU at most, each with a context of its own


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
        devices = [device["name"] for device in xllamacpp.get_device_info()]
        gpu = any(name != "CPU" for name in devices)
        self.slots = min(settings["batch"], _TOGETHER) if gpu else 1
        params = xllamacpp.CommonParams()
        params.model.path = str(Path(model_dir) / models.QUANTISED)
        params.n_parallel = self.slots
        params.n_ctx = self.context * self.slots
        params.n_gpu_layers = 999 if gpu else 0
        params.cpuparams.n_threads = settings["threads"]
        params.cpuparams_batch.n_threads = settings["threads"]
        params.cache_idle_slots = False
        params.cache_ram_mib = 0
        params.fit_params = False  # it would shrink the context to the memory free just now
        params.ui = False
        params.verbosity = 1  # errors, in the job's log
        try:
            self.model: Any = xllamacpp.Server(params)
        except (RuntimeError, OSError):
            raise io.UserError(
                f"{params.model.path}: llama.cpp does not load it; the lines above say why."
            ) from None
        # A server that is closed before its loop runs waits for ever: see it run.
        self.model.handle_completions({"prompt": "1", "max_tokens": 1})

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
        """Stop llama.cpp's threads and give its memory back."""
        self.model = None

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
        answer = self.model.handle_completions(body)
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

    def _prompt(self, prompt: str) -> str:
        """The prompt without the beginning that llama.cpp puts there itself."""
        begin = self.tokenizer.bos_token
        return prompt.removeprefix(begin) if isinstance(begin, str) and begin else prompt


def _context_of(model_dir: str | Path) -> int:
    config = io.read_json(Path(model_dir) / "config.json")
    return int(config.get("max_position_embeddings") or _LONGEST)
