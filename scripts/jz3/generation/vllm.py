"""Generation with vLLM's engine (vllm 0.32), for GPUs; its CPU build runs the same code.

The engine's core runs in this process, so that it ends with it, however that is; only tensor
parallelism starts others (vllm_worker.py). vLLM batches by itself: which requests run together
varies, and in bfloat16 results may differ in a last bit between two runs; what the journal holds is
never made again.
"""

import contextlib
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import io, models, program
from . import (
    Generated,
    Request,
    Sampling,
    Settings,
    VllmSettings,
    check_distinct,
    check_room,
    decoded,
    encode_prompt,
)

if TYPE_CHECKING:
    import vllm
    from transformers import PreTrainedTokenizerBase

_QUEUED = 4  # requests handed over, in multiples of those computed together: none waits for us
_CPU_CACHE = 2**30  # bytes of keys and values on a processor
_ON_CPU = "VLLM_CPU_KVCACHE_SPACE"  # vLLM's own variable for them, in GB
_LOOKED_UP = 4  # words of the text that are looked up to guess the next ones

# Folders within `caches`, by the variable of the environment that names them.
CACHES = {
    "VLLM_CACHE_ROOT": "vllm",
    "VLLM_CONFIG_ROOT": "vllm-config",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    "TRITON_CACHE_DIR": "triton",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "CUDA_CACHE_PATH": "cuda",
}


class _Prompts:
    """What there is to a model without its weights."""

    def __init__(self, model_dir: str | Path, own: VllmSettings):
        from transformers import AutoConfig

        self.tokenizer: PreTrainedTokenizerBase = models.open_tokenizer(model_dir)
        configuration = AutoConfig.from_pretrained(model_dir).get_text_config()
        longest = getattr(configuration, "max_position_embeddings", None) or 2**31
        self.context = min(longest, own["context"] or longest)

    def batches(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Each request alone, those of a common beginning one after another."""
        return [[r] for r in sorted(requests, key=lambda r: (r.prompt, r.request_id))]


class Journalled(_Prompts):
    """The engine once its work is done: it starts nothing, and needs no GPU.

    Raises UserError for a request that is in no journal. mark: what says that all are.
    """

    def __init__(self, model_dir: str | Path, own: VllmSettings, mark: str | Path):
        super().__init__(model_dir, own)
        self._mark = mark

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int
    ) -> Generator[Generated]:
        """Refuse: nothing should be left to generate."""
        raise io.UserError(
            f"{len(requests)} completions are not in the journals, though {self._mark} says so."
            " Delete that file and run again: a job with the engine will make them."
        )
        yield  # a generator, as engines are

    def close(self) -> None:
        """Nothing is held."""


class VllmEngine(_Prompts):
    """See `Engine`. vLLM starts with the first request, after all prompts were looked at."""

    def __init__(self, model_dir: str | Path, settings: Settings):
        surround(settings.get("caches"), settings["threads"])
        try:
            import vllm
        except ImportError:
            raise io.UserError(
                'compute.generation is "vllm", which is not installed here: `make environments`'
                ' installs it (docs/cluster.md), or choose "transformers".'
            ) from None
        super().__init__(model_dir, settings["vllm"])
        self._vllm = vllm
        self._folder, self._settings = str(model_dir), settings
        self._own: VllmSettings = settings["vllm"]
        self._engine: Any = None

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int
    ) -> Generator[Generated]:
        """See `Engine.generate`. vLLM itself adds the end tokens of generation_config.json."""
        check_distinct(requests)
        prompts = self.check(requests)
        engine = self._started()
        waiting = iter(zip(requests, prompts, strict=True))
        flying: dict[str, int] = {}  # tokens of the prompt, by request
        try:
            while True:
                while len(flying) < _QUEUED * self._own["sequences"]:
                    if (following := next(waiting, None)) is None:
                        break
                    request, prompt = following
                    parameters = self._sampling(request, len(prompt), sampling, seed)
                    engine.add_request(request.request_id, {"prompt_token_ids": prompt}, parameters)
                    flying[request.request_id] = len(prompt)
                if not flying:
                    break
                for output in engine.step():
                    if output.finished:
                        yield self._generated(output, flying.pop(output.request_id))
        finally:
            if flying:  # whoever asked has had enough
                with contextlib.suppress(Exception):
                    engine.abort_request(list(flying))

    def check(self, requests: Sequence[Request]) -> list[list[int]]:
        """The tokens of the prompts; raises UserError where one leaves no room for an answer."""
        prompts = [encode_prompt(self.tokenizer, request.prompt) for request in requests]
        for request, prompt in zip(requests, prompts, strict=True):
            check_room(request, len(prompt), self.context)
        return prompts

    def close(self) -> None:
        """Give memory, and processes if there are any, back."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.engine_core.shutdown()

    def _sampling(
        self, request: Request, tokens: int, sampling: Sampling, seed: int
    ) -> "vllm.SamplingParams":
        own_seed = int(io.digest([seed, "generation", request.request_id], 13), 16)
        return self._vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=min(sampling.max_new_tokens, self.context - tokens),
            stop=list(sampling.stop) or None,
            detokenize=bool(sampling.stop),  # text as it grows is of use to the stops alone
            seed=own_seed if sampling.temperature else None,
            output_kind=self._vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )

    def _generated(self, output: Any, prompt_tokens: int) -> Generated:
        completion = output.outputs[0]
        if completion.finish_reason not in ("stop", "length"):
            raise RuntimeError(
                f"vLLM gave up request {output.request_id}: {completion.finish_reason}"
            )
        tokens = list(completion.token_ids)
        at_a_string = isinstance(completion.stop_reason, str)  # which vLLM has cut off
        return Generated(
            output.request_id,
            completion.text if at_a_string else decoded(self.tokenizer, tokens),
            completion.finish_reason,
            prompt_tokens,
            len(tokens),
        )

    def _started(self) -> Any:
        if self._engine is None:
            options = self._options()
            program.say("vLLM starts")
            try:
                arguments = self._vllm.EngineArgs(**options)
                self._engine = self._vllm.LLMEngine.from_engine_args(arguments)
            except (ValueError, MemoryError) as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise io.UserError(
                    f"vLLM does not start with {self._folder}: {reason} Its settings are"
                    " compute/vllm in the configuration (context, gpu_memory, sequences)."
                ) from error
        return self._engine

    def _options(self) -> dict[str, Any]:
        """What the engine is told."""
        import torch
        from vllm.platforms import current_platform

        own = self._own
        on_cpu = current_platform.is_cpu()
        devices = torch.cuda.device_count()
        together = own["tensor_parallel"] or max(1, devices)
        options: dict[str, Any] = {
            "model": self._folder,
            "tokenizer": self._folder,
            "dtype": self._settings["dtype"],
            "seed": 0,  # of the engine; every request carries its own
            "max_model_len": self.context if self.context < 2**31 else None,
            "max_num_seqs": own["sequences"],
            "tensor_parallel_size": together,
            "enable_prefix_caching": own["prefix_caching"],
            "disable_log_stats": True,
        }
        if together > 1:
            options["worker_extension_cls"] = "jz3.generation.vllm_worker.Attached"
        if own["quantization"] != "none":
            options["quantization"] = own["quantization"]
        if own["speculative_tokens"]:
            options["speculative_config"] = {
                "method": "ngram",
                "num_speculative_tokens": own["speculative_tokens"],
                "prompt_lookup_max": _LOOKED_UP,
            }
        if not on_cpu:
            return options | {"gpu_memory_utilization": own["gpu_memory"]}
        # A prompt read in parts takes back a draw of its random numbers, which those of a processor
        # cannot (vLLM ends with "CPU Generator does not use offset"): here prompts are read whole.
        options |= {
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(2048, self.context),
            # compiling takes a minute and gains nothing on two cores
            "enforce_eager": True,
        }
        if _ON_CPU not in os.environ:
            options["kv_cache_memory_bytes"] = _CPU_CACHE
        return options


def surround(caches: str | None, threads: int) -> None:
    """Set what vLLM reads at its import: it works in this process, and tells nobody of it.

    caches: folder for what it compiles, shared by jobs; None: where it likes.
    """
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")  # forked threads may be stuck
    for word in ("VLLM_NO_USAGE_STATS", "VLLM_DO_NOT_TRACK", "DO_NOT_TRACK"):
        os.environ[word] = "1"
    # On processors: as many threads as torch has elsewhere, on whichever core is free.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    if caches:
        folder = Path(caches).absolute()
        for word, name in CACHES.items():
            os.environ[word] = str(folder / name)
