"""transformers' Trainer, bent to packed sequences: loss, order, schedule, history, resume.

Internal to `train`, which is the way in.
"""

import inspect
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import transformers
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.utils.data import Sampler

from .. import io
from ..program import Progress
from . import saved_states, schedules
from .packing import IGNORED
from .recipe import TrainingRecipe

_OPTIMIZERS = {"adamw": "adamw_torch_fused", "adafactor": "adafactor"}  # as transformers has them
_SHARDED = {
    "version": 2,
    "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "state_dict_type": "SHARDED_STATE_DICT",
    "cpu_ram_efficient_loading": True,  # see train.load_model
}
_EMPTY = {"input_ids": [0], "labels": [IGNORED], "positions": [0]}  # fills up the last update


def is_sharded(gpu: bool, world: int) -> bool:
    """Whether the processes share weights, gradients and moments (FSDP): on GPUs."""
    return gpu and world > 1


class PackTrainer(transformers.Trainer):
    """transformers' Trainer with packed sequences, our schedules, order, history and resume."""

    def __init__(
        self,
        model: Any,
        packs: Sequence[dict[str, Any]],
        recipe: TrainingRecipe,
        seed: int,
        state: Path,
        on_epoch_end: Callable[[int, "PackTrainer"], None] | None,
        what: str,
        gpu: bool,
        world: int,
    ) -> None:
        self.packs, self.recipe, self.folder, self.what = packs, recipe, state, what
        self.epoch_end, self.stop_requested = on_epoch_end, False
        self.bar: Progress | None = None
        self.stages = getattr(packs, "stages", None) or [p.get("stage", "") for p in packs]
        self.order = lru_cache(1)(partial(schedules.order, recipe, self.stages, seed))
        length = len(self.order(0))  # of one pass
        self.steps_per_epoch = math.ceil(length / recipe.global_batch)
        # Rows of a pass, filled up with empty ones so that no process repeats a pack.
        share = recipe.micro_batch * world
        self.rows = math.ceil(length / share) * share
        once = getattr(packs, "tokens", None) or sum(len(p["input_ids"]) for p in packs)
        self.total_tokens = once * recipe.epochs
        self._open_history()
        core = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.vocabulary: int = core.get_input_embeddings().num_embeddings
        parameters = inspect.signature(core.forward).parameters
        self.head_on_labels = "logits_to_keep" in parameters
        self.router_loss = getattr(core.config, "router_aux_loss_coef", 0.0) or 0.0
        self.router_loss *= "output_router_logits" in parameters
        shards = is_sharded(gpu, world)
        settings = transformers.TrainingArguments(
            output_dir=str(state),
            seed=seed,
            use_cpu=not gpu,
            bf16=recipe.dtype == "bfloat16",
            tf32=True if gpu else None,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            max_grad_norm=recipe.gradient_clip,
            num_train_epochs=schedules.passes(recipe),
            per_device_train_batch_size=recipe.micro_batch,
            gradient_accumulation_steps=recipe.global_batch // share,
            optim=_OPTIMIZERS[recipe.optimizer],
            adam_beta1=0.9,
            adam_beta2=0.999,
            adam_epsilon=1e-8,
            fsdp=shards,  # type: ignore[arg-type]  # True is taken: full shards
            fsdp_config=_SHARDED | {"activation_checkpointing": recipe.gradient_checkpointing}
            if shards
            else None,
            # Else every GPU holds the gradient of the whole model until the last micro batch.
            accelerator_config={"gradient_accumulation_kwargs": {"sync_each_batch": True}}
            if shards
            else None,
            # The name that transformers 5.17 to 5.23 all know.
            gradient_checkpointing=recipe.gradient_checkpointing and not shards,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",  # our callback decides, so as not to save what is finished
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=gpu,
        )
        if shards:  # accelerate's own policy adds gradients up in bfloat16
            settings.fsdp_plugin_args["mixed_precision_policy"] = MixedPrecisionPolicy(
                param_dtype=getattr(torch, recipe.dtype), reduce_dtype=torch.float32
            )
        super().__init__(
            model=model,
            train_dataset=_Rows(packs),
            data_collator=self._collate,
            args=settings,
            callbacks=[_Callbacks(self)],
        )
        self.remove_callback(transformers.trainer_callback.PrinterCallback)
        self.loss_is_scaled_for_ga = True

    # ------------------------------------------------------------ data

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return _Order(self)

    def _collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        # One row, not padded rows: attention is kept inside documents anyway, and neither time
        # nor a router's balance is spent on padding.
        row = {
            key: torch.tensor([list(chain.from_iterable(r[key] for r in rows))])
            for key in ("input_ids", "labels", "positions")
        }
        if int(row["input_ids"].max()) >= self.vocabulary:  # on a GPU a crash without a cause
            raise io.UserError(
                f"{self.what}: a pack holds token {int(row['input_ids'].max())}, the model knows"
                f" {self.vocabulary}. It was packed for another tokenizer: delete it, run again."
            )
        # What a token predicts is the label of the next one; a document's first label is none.
        targets = torch.nn.functional.pad(row["labels"][0, 1:], (0, 1), value=IGNORED)
        return {
            "input_ids": row["input_ids"],
            "position_ids": row["positions"],
            "keep": (targets != IGNORED).nonzero().flatten(),
            "targets": targets[targets != IGNORED],
            "tokens": torch.tensor(sum(len(r["input_ids"]) for r in rows if r is not _EMPTY)),
        }

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: Any
    ) -> tuple[list[Any], int]:
        """The micro batches of one update, and the number of labelled tokens in all processes."""
        batches = list(islice(epoch_iterator, num_batches))
        tokens = sum(batch.pop("tokens").item() for batch in batches)
        counts = torch.tensor([[sum(len(b["targets"]) for b in batches), tokens]], device=device)
        if self.args.world_size > 1:
            counts = self.accelerator.gather(counts)
        labelled, self.step_tokens = counts.sum(0).tolist()
        return batches, max(labelled, 1)

    # ------------------------------------------------------------ loss, rate

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Cross-entropy of the labelled tokens in float32, over their number in the update.

        The output layer runs on labelled positions only. A mixture of experts adds its
        load-balancing loss, averaged over the micro batches.
        """
        options = {"logits_to_keep": inputs["keep"]} if self.head_on_labels else {}
        if self.router_loss:
            options["output_router_logits"] = True
        outputs = model(
            input_ids=inputs["input_ids"],
            position_ids=inputs["position_ids"],
            use_cache=False,  # with a cache the model would not look for document boundaries
            **options,
        )
        logits = outputs.logits[0] if self.head_on_labels else outputs.logits[0, inputs["keep"]]
        loss = torch.nn.functional.cross_entropy(logits.float(), inputs["targets"], reduction="sum")
        # Processes are averaged by the gradient reduction: undo the mean for a sum over tokens.
        loss = loss * (self.accelerator.num_processes / num_items_in_batch)
        if self.router_loss:
            loss = (
                loss
                + self.router_loss * outputs.aux_loss / self.current_gradient_accumulation_steps
            )
        return (loss, outputs) if return_outputs else loss

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: tokens are."""
        return 0

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The recipe's schedule (see `schedules.factor`)."""
        if self.lr_scheduler is None:
            rate = partial(schedules.factor, self.recipe, total=num_training_steps)
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer,  # type: ignore[arg-type]  # the Trainer has made it
                lambda step: rate(step=step),
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    # ------------------------------------------------------------ history, checkpoints

    def _open_history(self) -> None:
        """Find the state to go on from, and cut the history to it: `checkpoint`, `lines`."""
        path = self.folder / "history.jsonl"
        main = int(os.environ.get("RANK", "0")) == 0
        found: list[Any] = [None, []]  # the state, the lines up to it
        if main:
            self.folder.mkdir(parents=True, exist_ok=True)
            lines = saved_states.read_history(path)
            if checkpoint := saved_states.last_whole(self.folder, len(lines)):
                done = int(checkpoint.name.rpartition("-")[2])
                found = [str(checkpoint), lines[:done]]
            io.write_text(path, "".join(json.dumps(line) + "\n" for line in found[1]))
        if torch.distributed.is_initialized():  # one process looks at the files, the others follow
            torch.distributed.broadcast_object_list(found)
        self.checkpoint: str | None = found[0]
        self.lines: dict[int, dict[str, Any]] = {line["step"]: line for line in found[1]}
        self.tokens: int = found[1][-1]["tokens"] if found[1] else 0
        self.history = io.Journal(path, "step", durable=False) if main else None

    def close_history(self) -> None:
        """Close `history.jsonl` of the state folder."""
        if self.history:
            self.history.close()

    @property
    def epoch_learning_rates(self) -> list[float]:
        """Mean learning rate of each finished pass."""
        rates = [line["learning_rate"] for line in self.lines.values()]
        size = self.steps_per_epoch
        whole = range(0, len(rates) // size * size, size)
        return [sum(rates[first : first + size]) / size for first in whole]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add one update to the history; a loss that is no number ends the training."""
        if "loss" not in logs:
            return
        step = self.state.global_step
        if not math.isfinite(logs["loss"]) or not math.isfinite(logs["grad_norm"]):
            bad = "loss" if not math.isfinite(logs["loss"]) else "gradient"
            raise io.UserError(
                f"{self.what}: the {bad} is not finite at step {step}. Lower learning_rate"
                f" ({self.recipe.learning_rate:g}), or use dtype float32."
            )
        epoch, update = divmod(step - 1, self.steps_per_epoch)
        first = self.order(epoch)[update * self.recipe.global_batch]
        self.tokens += self.step_tokens
        self.lines[step] = {
            "step": step,
            "tokens": self.tokens,
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "grad_norm": logs["grad_norm"],
            "stage": self.stages[first],
        }
        if self.history:
            self.history.append(self.lines[step])
        if self.bar:
            self.bar.update(self.step_tokens)

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        # Under the module's own names: save_pretrained renames (experts of a mixture), and the
        # Trainer would then resume without noticing that names do not match.
        if hasattr(self.model, "peft_config"):
            super()._save(output_dir, state_dict)
        else:
            folder = Path(output_dir or self.folder)
            folder.mkdir(parents=True, exist_ok=True)
            model: Any = self.model
            safetensors.torch.save_model(model, str(folder / "model.safetensors"))


class _Callbacks(transformers.TrainerCallback):
    """Saving, stopping and the end of a pass."""

    def __init__(self, trainer: PackTrainer):
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        _check_isolation(self.trainer)
        self._end_of_epoch(state)  # killed between the last update of a pass and its callback

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer = self.trainer
        stop = trainer.stop_requested
        if args.world_size > 1:  # all processes must save the same step
            stop = bool(trainer.accelerator.gather(torch.tensor([stop], device=args.device)).any())
        if stop and state.global_step < state.max_steps:
            control.should_training_stop = control.should_save = True
        elif state.global_step % trainer.recipe.save_steps == 0:
            control.should_save = state.global_step < state.max_steps

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.trainer.accelerator.wait_for_everyone()
        if self.trainer.is_world_process_zero():
            saved_states.keep(self.trainer.folder / f"checkpoint-{state.global_step}")

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._end_of_epoch(state)

    def _end_of_epoch(self, state: Any) -> None:
        trainer = self.trainer
        if (
            trainer.epoch_end
            and state.global_step
            and not state.global_step % trainer.steps_per_epoch
        ):
            trainer.epoch_end(state.global_step // trainer.steps_per_epoch - 1, trainer)


class _Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Packs by index; beyond the last, rows without a label, which change nothing."""

    def __init__(self, packs: Sequence[dict[str, Any]]):
        self.packs = packs

    def __len__(self) -> int:
        return len(self.packs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.packs[index] if index < len(self.packs) else _EMPTY


class _Order(Sampler[int]):
    """The order of the pass that the trainer is in, told by its step."""

    def __init__(self, trainer: PackTrainer):
        self.trainer = trainer

    def __len__(self) -> int:
        return self.trainer.rows

    def __iter__(self) -> Iterator[int]:
        trainer = self.trainer
        order = trainer.order(trainer.state.global_step // trainer.steps_per_epoch)
        empty = trainer.rows - len(order)
        return iter(order + [len(trainer.packs)] * empty)


@torch.no_grad()
def _check_isolation(trainer: PackTrainer) -> None:
    """Raise UserError if, with the installed versions, a document sees the one packed before it."""
    model, device = trainer.model_wrapped, trainer.args.device
    model.eval()
    ids = torch.arange(1, 17, device=device)[None]
    other = torch.cat([ids[:, :8].flip(1), ids[:, 8:]], 1)
    positions = torch.arange(8, device=device).repeat(2)[None]
    with trainer.compute_loss_context_manager():
        one, two = (
            model(input_ids=i, position_ids=positions, use_cache=False).logits[:, 8:].float()
            for i in (ids, other)
        )
    model.train()
    if (one - two).abs().max() > 1e-3 * one.abs().max():
        raise io.UserError(
            f"{trainer.what}: with transformers {transformers.__version__} this model's attention"
            " crosses packed documents. Install the version in envs/main.lock."
        )
