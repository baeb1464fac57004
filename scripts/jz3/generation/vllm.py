"""Generation with vLLM's offline engine (vllm 0.32), for GPUs.

vLLM batches by itself, so which requests run together varies and bfloat16 results may differ
in a last bit between two runs; what the journal holds is never made again.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import io
from . import Generated, Request, Sampling, Settings, check_distinct, check_room, encode_prompt

if TYPE_CHECKING:
    import vllm

_TOGETHER = 4096  # requests handed over, and journalled, at once


class VllmEngine:
    """See `Engine`. All visible GPUs share the tensors; `batch` is left to vLLM."""

    def __init__(self, model_dir: str | Path, settings: Settings):
        try:
            import vllm
        except ImportError:
            raise io.UserError(
                'compute.generation is "vllm", which is not installed here: `make environments`'
                ' installs it (docs/cluster.md), or choose "transformers".'
            ) from None
        import torch
        from transformers import AutoConfig

        self._parameters = vllm.SamplingParams
        self.model = vllm.LLM(
            model=str(model_dir),
            dtype=settings["dtype"],
            tensor_parallel_size=max(1, torch.cuda.device_count()),
            seed=0,  # of the engine; every request carries its own
        )
        self.tokenizer = self.model.get_tokenizer()
        configuration = AutoConfig.from_pretrained(model_dir).get_text_config()
        self.context = getattr(configuration, "max_position_embeddings", None) or 2**31

    def batches(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Slices of some thousand requests, ordered by identity."""
        ordered = sorted(requests, key=lambda request: request.request_id)
        return [ordered[i : i + _TOGETHER] for i in range(0, len(ordered), _TOGETHER)]

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int
    ) -> Iterator[Generated]:
        """See `Engine.generate`. vLLM itself adds the end tokens of generation_config.json."""
        check_distinct(requests)
        for batch in self.batches(requests):
            prompts, parameters = [], []
            for request in batch:
                ids = encode_prompt(self.tokenizer, request.prompt)
                check_room(request, len(ids), self.context)
                prompts.append({"prompt_token_ids": ids})
                parameters.append(self._sampling(request, len(ids), sampling, seed))
            outputs = self.model.generate(prompts, parameters, use_tqdm=False)
            for request, prompt, output in zip(batch, prompts, outputs, strict=True):
                completion = output.outputs[0]
                if completion.finish_reason not in ("stop", "length"):
                    raise RuntimeError(
                        f"vLLM gave up request {request.request_id}: {completion.finish_reason}"
                    )
                yield Generated(
                    request.request_id,
                    completion.text,
                    completion.finish_reason,
                    len(prompt["prompt_token_ids"]),
                    len(completion.token_ids),
                )

    def _sampling(
        self, request: Request, tokens: int, sampling: Sampling, seed: int
    ) -> "vllm.SamplingParams":
        own_seed = int(io.digest([seed, "generation", request.request_id], 13), 16)
        return self._parameters(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=min(sampling.max_new_tokens, self.context - tokens),
            stop=list(sampling.stop) or None,
            seed=own_seed if sampling.temperature else None,
        )
