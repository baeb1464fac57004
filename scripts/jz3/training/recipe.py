"""What a training is told: the hyper-parameters of one recipe, typed and checked."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Self

from ..io import UserError, did_you_mean

SCHEDULES = ("cosine", "linear", "wsd")
DTYPES = ("float32", "bfloat16")
OPTIMIZERS = ("adamw", "adafactor")

_POSITIVE: tuple[str, Callable[[Any], bool]] = "more than 0", lambda value: value > 0
_NOT_NEGATIVE: tuple[str, Callable[[Any], bool]] = "0 or more", lambda value: value >= 0
_SHARE: tuple[str, Callable[[Any], bool]] = "from 0 to 1", lambda value: 0 <= value <= 1
_RANGES = {
    "learning_rate": _POSITIVE,
    "warmup_ratio": _SHARE,
    "stable_ratio": _SHARE,
    "minimum_ratio": _SHARE,
    "epochs": _POSITIVE,
    "global_batch": _POSITIVE,
    "micro_batch": _POSITIVE,
    "length": _POSITIVE,
    "weight_decay": _NOT_NEGATIVE,
    "gradient_clip": _NOT_NEGATIVE,
    "save_steps": _POSITIVE,
}
_CHOICES = {"schedule": SCHEDULES, "dtype": DTYPES, "optimizer": OPTIMIZERS}
_KINDS = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}


@dataclasses.dataclass(frozen=True)
class TrainingRecipe:
    """A recipe of the configuration, and `dtype`.

    schedule: cosine | linear | wsd, with the ratios of `schedules.factor`. epochs: passes over
    the data. Batches count packs: `global_batch` per update whatever the number of processes,
    `micro_batch` per forward pass of one. length: tokens of a pack. gradient_clip: largest norm,
    0 for none. save_steps: updates between checkpoints. dtype: of the arithmetic and of the saved
    weights. optimizer: adamw | adafactor, which keeps less. Raises UserError for a value of another
    type or out of its range.
    """

    learning_rate: float
    schedule: str
    warmup_ratio: float
    stable_ratio: float
    minimum_ratio: float
    epochs: int
    global_batch: int
    micro_batch: int
    length: int
    weight_decay: float
    gradient_clip: float
    gradient_checkpointing: bool
    save_steps: int
    dtype: str
    optimizer: str = "adamw"

    @classmethod
    def read(cls, recipe: Mapping[str, Any]) -> Self:
        """The recipe in a program's JSON; settings of other parts of the program are left out.

        Raises UserError, one line, for a key that is missing or misspelt or has no such value.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in names:
            if name not in recipe and name != "optimizer":
                others = [key for key in recipe if key not in names]
                raise UserError(f"recipe: {name} is missing.{did_you_mean(name, others)}")
        return cls(**{name: recipe[name] for name in names if name in recipe})

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            # JSON writes 1.0 as 1, and true is no number.
            right = type(value) in ((int, float) if field.type is float else (field.type,))
            if not right or (isinstance(value, float) and not math.isfinite(value)):
                kind = _KINDS[field.type]  # type: ignore[index]  # annotations are types here
                raise UserError(f"recipe: {field.name} must be {kind}, found {value!r}.")
        for name, (range_, holds) in _RANGES.items():
            if not holds(value := getattr(self, name)):
                raise UserError(f"recipe: {name} must be {range_}, found {value!r}.")
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                hint = did_you_mean(value, known)
                raise UserError(f'recipe: unknown {name} "{value}" ({" | ".join(known)}).{hint}')
        if self.schedule == "wsd" and self.warmup_ratio > self.stable_ratio:
            raise UserError(
                "recipe: a wsd schedule needs 0 <= warmup_ratio <= stable_ratio <= 1, found"
                f" {self.warmup_ratio} and {self.stable_ratio}."
            )
