"""The engines that there are, by name."""

from pathlib import Path

from .. import io, models
from . import Engine, Settings

NAMES = ("transformers", "vllm", "llamacpp")


def open_engine(model_dir: str | Path, settings: Settings) -> Engine:
    """Load the checkpoint in `model_dir`, onto the GPUs that are visible.

    A quantised model runs in llama.cpp, whatever engine runs the others. Raises UserError where the
    engine or the checkpoint is missing.
    """
    models.require(model_dir)
    name = settings["engine"]
    if (Path(model_dir) / models.QUANTISED).is_file():
        from .llamacpp import LlamaCppEngine

        return LlamaCppEngine(model_dir, settings)
    if name == "llamacpp":
        raise io.UserError(
            f'{model_dir}: compute/generation is "llamacpp", which runs quantised checkpoints (kind'
            " gguf, quantised: true) only. Choose transformers or vllm for the others."
        )
    if name == "transformers":
        from .transformers import TransformersEngine

        return TransformersEngine(model_dir, settings)
    if name == "vllm":
        from .vllm import VllmEngine

        return VllmEngine(model_dir, settings)
    hint = io.did_you_mean(str(name), NAMES)
    raise io.UserError(f'generation engine "{name}" is unknown ({" | ".join(NAMES)}).{hint}')
