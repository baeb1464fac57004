"""Gradients of LoRA weights for single samples, a whole batch at a time.

One forward and one backward pass give every sample's own gradient: with x the input of a LoRA
matrix and d the loss's derivative by its output, the gradient of sample s is the sum over its
tokens t of d[s, t] x[s, t]. Hooks keep x, receive d, and hand the product over one matrix at a
time, so the gradients of all matrices need never lie in memory together. The loss of a sample is
the mean over its output tokens (prompt masked), as in LESS (Xia et al. 2024).
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import torch
from torch.nn import functional

from .. import io, models
from ..training import packing

if TYPE_CHECKING:
    from peft import PeftModel
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ADAPTER = "default"  # the name peft gives to a model's only adapter
# Tokens computed together, padding included; no result depends on it beyond rounding. A GPU's
# number keeps a 7B model's activations at 30 GB (docs/influence.md).
BATCH_TOKENS = {"cpu": 1024, "cuda": 4096}


Text = tuple[str, str, str]  # identity, prompt, output
Shapes = list[tuple[str, list[int]]]  # LoRA matrices, [rows, columns], in a gradient's order
Take = Callable[[str, torch.Tensor], object]  # told a weight's name, and what belongs to it


class Lora(TypedDict):
    """Settings of LoRA; targets: names of linear layers."""

    rank: int
    alpha: int
    dropout: float
    targets: list[str]


@dataclass(frozen=True)
class Sample:
    """A tokenised problem: `labels` is -100 on the prompt; `identity` names it in messages."""

    identity: str
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]


def encode(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[Text], length: int
) -> list[Sample | None]:
    """Tokenise texts to at most `length` tokens, in their order.

    None stands for a text whose output lies wholly beyond `length`: no loss, hence no gradient.
    """
    documents = packing.encode_all(
        tokenizer, ((prompt, output) for _, prompt, output in texts), length
    )
    return [
        Sample(identity, tuple(document.input_ids), tuple(document.labels))
        if document.supervised
        else None
        for (identity, _, _), document in zip(texts, documents, strict=True)
    ]


def encode_scorable(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[Text], length: int
) -> list[Sample]:
    """`encode`, without the texts whose output lies wholly beyond `length`."""
    return [sample for sample in encode(tokenizer, texts, length) if sample is not None]


def batches(samples: Iterable[Sample], tokens: int) -> list[list[Sample]]:
    """Sort by length and cut into batches of at most `tokens` tokens with padding (at least one
    sample each). Depends on the samples only, not on their order."""
    made: list[list[Sample]] = []
    for sample in sorted(samples, key=lambda s: (len(s.input_ids), s.identity, s.input_ids)):
        if made and (len(made[-1]) + 1) * len(sample.input_ids) <= tokens:
            made[-1].append(sample)
        else:
            made.append([sample])
    return made


# ---------------------------------------------------------------- models with LoRA


def load_model(base: str | Path, dtype: str) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The causal language model and tokenizer in the folder `base`, weights in `dtype`.

    The model is on the visible GPU, or on the CPU if there is none. On a GPU torch is told to
    compute the same bits every time, so that a continued run agrees with one in one go.

    Raises UserError where the folder is missing or holds no model.
    """
    model = models.open_model(base, dtype)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before cuBLAS is started
        torch.use_deterministic_algorithms(True, warn_only=True)
        # transformers wraps `to`, and its type takes the model as an argument
        model.to("cuda")  # type: ignore[arg-type]
    return model, models.open_tokenizer(base)


def add_lora(model: "PreTrainedModel", lora: Lora, seed: int) -> "PeftModel":
    """Wrap `model` with fresh LoRA weights: A random by `seed`, B zero, both float32.

    Raises UserError where a target names no layer of the model.
    """
    from peft import LoraConfig, get_peft_model

    ends = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    for target in lora["targets"]:
        if target not in ends:
            hint = io.did_you_mean(target, ends)
            raise io.UserError(f'lora.targets: the model has no layer "{target}".{hint}')
    torch.manual_seed(io.rng(seed, "lora").getrandbits(63))
    return get_peft_model(
        model,
        LoraConfig(
            r=lora["rank"],
            lora_alpha=lora["alpha"],
            lora_dropout=lora["dropout"],
            target_modules=sorted(lora["targets"]),
            task_type="CAUSAL_LM",
        ),
    )


def plain_name(name: str) -> str:
    """The name of a LoRA weight as it stands in files: without the adapter's name."""
    return name.replace(f".{ADAPTER}.", ".")


def lora_weights(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The LoRA matrices A (rank, inputs) and B (outputs, rank) by plain name, in model order."""
    return {
        plain_name(name): weight
        for name, weight in model.named_parameters()
        if ".lora_A." in name or ".lora_B." in name
    }


def weight_shapes(model: torch.nn.Module) -> Shapes:
    """Name and shape of each LoRA matrix, in the order of a flattened gradient."""
    return [(name, list(weight.shape)) for name, weight in lora_weights(model).items()]


def size(shapes: Shapes) -> int:
    """Number of LoRA weights: the length of a flattened gradient."""
    return sum(rows * columns for _, (rows, columns) in shapes)


# ---------------------------------------------------------------- per-sample gradients

Inputs = tuple[torch.Tensor, ...]  # of a module
_ROWS = 64  # of logits, treated together: in float32 they stay in a processor's cache


@torch.no_grad()
def _cross_entropy(
    logits: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Losses (tokens,) float32; overwrites `logits` with the weighted losses' derivative by them.

    logits: (tokens, vocabulary); wanted, weights: (tokens,). Torch's own pair of log-softmax and
    its derivative holds three more float32 copies of the logits and took a sixth of the time.
    """
    losses = torch.empty(len(wanted), device=logits.device)
    for start in range(0, len(wanted), _ROWS):
        part = slice(start, start + _ROWS)
        values, places = logits[part].float(), wanted[part, None]
        whole = values.logsumexp(1, keepdim=True)
        losses[part] = (whole - values.gather(1, places))[:, 0]
        values.sub_(whole).exp_()
        values.scatter_add_(1, places, values.new_full(places.shape, -1.0))
        logits[part] = values.mul_(weights[part, None])
    return losses


class SampleGradients:
    """Hooks on a LoRA model that give each sample of a batch its own gradient.

    Puts `model` into evaluation mode (no dropout) and freezes all of its weights. The results do
    not depend on which samples share a batch, up to rounding.
    """

    def __init__(self, model: "PeftModel"):
        self.model = model.eval().requires_grad_(False)
        self.device = next(model.parameters()).device
        self.batch_tokens = BATCH_TOKENS[self.device.type]
        if self.device.type == "cpu":
            # The fused attention's backward pass in bfloat16 is slow there: 0.97 against 1.20
            # samples of 150 tokens per CPU-second (SmolLM2-135M, torch 2.13).
            plain = cast("PreTrainedModel", model.get_base_model())  # peft says: any module
            plain.set_attn_implementation("eager")
        self._take: Take | None = None
        self._chosen: torch.Tensor | None = None
        self._handles: list[RemovableHandle] = [
            # No weight requires a gradient, so the backward pass starts from the embeddings and
            # computes no sum over the batch that nobody wants.
            model.get_input_embeddings().register_forward_hook(self._from_embeddings),
            model.get_output_embeddings().register_forward_pre_hook(self._output_positions),
        ]
        for name, module in model.named_modules():
            if name.endswith((f".lora_A.{ADAPTER}", f".lora_B.{ADAPTER}")):
                weight = plain_name(f"{name}.weight")
                self._handles.append(module.register_forward_hook(self._keep_input(weight)))

    def close(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> "SampleGradients":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _from_embeddings(
        _module: torch.nn.Module, _inputs: Inputs, output: torch.Tensor
    ) -> torch.Tensor:
        return output.requires_grad_()

    def _output_positions(self, _module: torch.nn.Module, inputs: Inputs) -> Inputs:
        # The vocabulary dominates small models: logits only where a loss is taken.
        return (inputs[0][self._chosen].unsqueeze(0),)

    def _keep_input(self, weight: str) -> Callable[[torch.nn.Module, Inputs, torch.Tensor], None]:
        def forward_hook(_module: torch.nn.Module, inputs: Inputs, output: torch.Tensor) -> None:
            kept = inputs[0].detach()
            if kept.dim() != 3:
                raise io.UserError(
                    f"lora.targets: {weight} sees tokens without their sample (an expert layer?);"
                    " gradients of single samples need attention layers."
                )

            def backward_hook(derivative: torch.Tensor) -> None:
                # (samples, tokens, outputs) and (samples, tokens, inputs)
                by_output, by_input = derivative.float(), kept.float()
                assert self._take is not None  # set while a batch runs
                self._take(weight, by_output.transpose(1, 2) @ by_input)

            output.register_hook(backward_hook)  # type: ignore[no-untyped-call] # of torch

        return forward_hook

    def __call__(self, batch: list[Sample], take: Take) -> torch.Tensor:
        """Call `take(weight name, gradients (samples, rows, columns))` for each LoRA matrix.

        The gradients are float32. Returns the samples' losses (nats per output token). Raises
        UserError naming the sample whose loss is not finite.
        """
        length = max(len(sample.input_ids) for sample in batch)
        ids = torch.zeros(len(batch), length, dtype=torch.long)
        labels = torch.full((len(batch), length), packing.IGNORED)
        mask = torch.zeros(len(batch), length, dtype=torch.long)
        for row, sample in enumerate(batch):
            count = len(sample.input_ids)
            ids[row, :count] = torch.tensor(sample.input_ids)
            labels[row, :count] = torch.tensor(sample.labels)
            mask[row, :count] = 1
        following = functional.pad(labels[:, 1:], (0, 1), value=packing.IGNORED)
        chosen = following != packing.IGNORED
        wanted = following[chosen].to(self.device)
        self._chosen, self._take = chosen.to(self.device), take
        try:
            with torch.enable_grad():
                logits = self.model(
                    input_ids=ids.to(self.device),
                    attention_mask=mask.to(self.device),
                    use_cache=False,
                ).logits
            counts = chosen.sum(1).to(self.device)
            every = _cross_entropy(logits[0], wanted, (1 / counts).repeat_interleave(counts))
            parts = torch.split(every, counts.tolist())
            losses = torch.stack([part.mean() for part in parts])
            for sample, loss in zip(batch, losses.tolist(), strict=True):
                if loss != loss or loss in (float("inf"), float("-inf")):
                    raise io.UserError(
                        f"problem {sample.identity}: its loss is {loss}. The reference model has"
                        " diverged, or the text is broken; lower its learning rate or drop it."
                    )
            # `logits` now holds the derivative of the sum of the samples' losses.
            logits.backward(logits.detach())
        finally:
            self._chosen = self._take = None
        return losses
