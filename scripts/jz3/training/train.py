"""Training of a causal language model on packs, with transformers' Trainer underneath.

Loss is taken on labelled tokens only and divided by their number in the whole global batch,
whatever the packing, the accumulation and the number of processes. Weights stay in float32;
the arithmetic is autocast to `dtype`. Unfinished work resumes with the identical loss curve.
"""

import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import transformers
from accelerate import PartialState

from .. import io, models, processor
from ..program import Progress, say, work_key
from . import attention
from .pack_trainer import PackTrainer
from .recipe import TrainingRecipe

LONGEST_WAIT = timedelta(hours=3)  # for another process; the state of 8x7B has 560 GB
ONE_REQUEST_SECONDS = 5  # signals closer together than this are one request to stop


def load_model(folder: str | Path) -> Any:
    """Load a checkpoint for training, with float32 weights.

    Of several processes on GPUs the first reads the weights; the others get their shards from it.
    """
    if torch.cuda.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        os.environ.update(ACCELERATE_USE_FSDP="true", FSDP_CPU_RAM_EFFICIENT_LOADING="true")
    with quiet():
        return models.open_model(folder, "float32")


def _processes() -> PartialState:
    """The processes of a distributed run; they wait for each other while one writes a state."""
    return PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_WAIT)


def open_state(
    path: Path | None, *, recipe: object, inputs: Iterable[str | Path], code: str, seed: int
) -> Path | None:
    """The folder of one `program.work_key`, for every process of a distributed run."""
    if path is None:
        return None
    key = work_key(recipe=recipe, inputs=inputs, code=code, seed=seed)
    with _processes().main_process_first():
        return io.resume_directory(path, key)


def close_state(path: Path | None) -> None:
    """Remove the unfinished work, once the product is in place."""
    if path is not None and PartialState().is_main_process:
        shutil.rmtree(path, ignore_errors=True)


def train(
    model: Any,
    packs: Sequence[dict[str, Any]],
    recipe: Mapping[str, Any],
    *,
    seed: int,
    state: Path | None = None,
    history: Path | None = None,
    what: str = "training",
    on_epoch_end: Callable[[int, PackTrainer], None] | None = None,
) -> PackTrainer:
    """Train `model` (an AutoModelForCausalLM or a PeftModel, float32 weights) in place.

    packs: sequences of {"input_ids", "labels", "positions"[, "stage"]}; `global_batch` of them
    make one update. recipe: the values of a `TrainingRecipe`, others are ignored. Runs on the
    visible GPU, on all processes of torchrun (FSDP on GPUs), or on the CPU if there is none.

    state: folder for checkpoints and `history.jsonl` (see `io.resume_directory`); what is there
    is continued. history: where to copy the history at the end, a JSON line per update: step,
    tokens (so far), loss (nats per labelled token), learning_rate, grad_norm, stage.
    on_epoch_end(epoch, trainer), epoch from 0: after each pass over `packs`. After an
    interruption it may be called again for an epoch, with the same weights and optimizer, so it
    should overwrite what it wrote. A wsd schedule makes one pass (see `schedules.passes`).

    Returns the Trainer; `.optimizer` holds the Adam moments, `.epoch_learning_rates` the mean
    rate of each pass. Raises UserError for a recipe that cannot be met and for a loss that is
    not finite; KeyboardInterrupt, after saving, on SIGTERM or SIGINT.
    """
    settings = TrainingRecipe.read(recipe)
    processor.check(settings.dtype)
    if not len(packs):
        raise io.UserError(f"{what}: there is nothing to train on.")
    gpu = torch.cuda.is_available()
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if gpu and world == 1 and torch.cuda.device_count() > 1:
        raise io.UserError(
            f"{what}: {torch.cuda.device_count()} GPUs are visible to one process. Start it with"
            " torchrun, or name one GPU in CUDA_VISIBLE_DEVICES."
        )
    share = settings.micro_batch * world
    if settings.global_batch % share:
        raise io.UserError(
            f"{what}: global_batch {settings.global_batch} is not a multiple of micro_batch"
            f" {settings.micro_batch} x {world} processes. Change one of them."
        )
    with contextlib.ExitStack() as stack:
        if state is None:
            state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(quiet())
        core = model.get_base_model() if hasattr(model, "get_base_model") else model
        stack.enter_context(attention.per_document(core, settings.length))
        trainer = PackTrainer(model, packs, settings, seed, state, on_epoch_end, what, gpu, world)
        if gpu and trainer.is_world_process_zero():
            computed = attention.kernel(trainer.args.device, getattr(torch, settings.dtype))
            say(f"{what}: {world} GPUs; attention by {computed}.")
        stopping = stack.enter_context(_signals(trainer))
        if trainer.is_world_process_zero():
            bar = Progress(trainer.total_tokens, what, "token", done=trainer.tokens)
            trainer.bar = stack.enter_context(bar)
        trainer.train(resume_from_checkpoint=trainer.checkpoint)
        trainer.close_history()
        if stopping and trainer.state.global_step < trainer.state.max_steps:
            say(f"{what}: stopped after step {trainer.state.global_step}; a checkpoint is saved.")
            raise KeyboardInterrupt
        if history is not None and trainer.is_world_process_zero():
            io.write_text(history, (state / "history.jsonl").read_text())
    return trainer


def train_checkpoint(
    base: Path,
    packs: Sequence[dict[str, Any]],
    recipe: Mapping[str, Any],
    output: Path,
    *,
    seed: int,
    state: Path | None,
    history: Path,
    what: str,
) -> None:
    """Train the checkpoint in folder `base` on `packs` and write the trained one to `output`.

    See `train` for the arguments. The state is removed once the checkpoint is in place.
    """
    dtype = TrainingRecipe.read(recipe).dtype  # checked before a large model is read
    trainer = train(
        load_model(base), packs, recipe, seed=seed, state=state, history=history, what=what
    )
    tokenizer = models.open_tokenizer(base)
    save_checkpoint(trainer, tokenizer, dtype, output)
    close_state(state)


def save_checkpoint(
    trainer: PackTrainer,
    tokenizer: transformers.PreTrainedTokenizerBase,
    dtype: str,
    output: Path,
) -> None:
    """Write the trained model as a plain Hugging Face checkpoint, whole or not at all.

    dtype: of the stored weights (float32 | bfloat16). All processes of a run must call it.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.is_world_process_zero():
        kind = getattr(torch, dtype)
        cast: dict[tuple[int, torch.Size], torch.Tensor] = {}  # tied weights stay one tensor
        for name, value in weights.items():
            if value.is_floating_point():
                same = (value.data_ptr(), value.shape)
                if same not in cast:
                    cast[same] = value.to(kind)
                weights[name] = cast[same]
        with quiet(), io.atomic(output) as temporary:
            model.save_pretrained(temporary, state_dict=weights)
            tokenizer.save_pretrained(temporary)
            # save_pretrained writes the dtype of the model in memory
            configuration = io.read_json(temporary / "config.json") | {"dtype": dtype}
            io.write_json(temporary / "config.json", configuration)
    trainer.accelerator.wait_for_everyone()


@contextlib.contextmanager
def _signals(trainer: PackTrainer) -> Iterator[list[float]]:
    """Make the first SIGTERM or SIGINT a request to save and stop; a later one interrupts.

    A scheduler and torchrun both pass the same request on: what comes at once is one request.
    """
    received: list[float] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            if time.monotonic() - received[0] > ONE_REQUEST_SECONDS:
                raise KeyboardInterrupt
            return
        received.append(time.monotonic())
        trainer.stop_requested = True
        say(f"{trainer.what}: asked to stop; saving at the end of this step.")

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {s: signal.signal(s, handle) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Only errors from transformers: no progress bars or warnings of its own."""
    logs: Any = transformers.logging  # its functions have no annotations
    level = logs.get_verbosity()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logs.set_verbosity(level)
            logs.enable_progress_bar()
