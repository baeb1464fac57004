"""Learning rate and order of training sequences, as functions of the step and the seed alone."""

import math
from collections.abc import Sequence

from ..io import digest
from .recipe import TrainingRecipe


def factor(recipe: TrainingRecipe, step: int, total: int) -> float:
    """Share of the learning rate at update `step` (from 0) of `total`.

    wsd (section 3.5; the release), with W = warmup_ratio x total and S = stable_ratio x total:
    step / W while step < W; 1 while step < S; then (total - step) / (total - S), but at least
    minimum_ratio. cosine and linear: warm-up over ceil(W) updates, then down to 0 at `total`.
    """
    if recipe.schedule == "wsd":
        warmup, stable = recipe.warmup_ratio * total, recipe.stable_ratio * total
        if step < warmup:
            return step / warmup
        if step < stable:
            return 1.0
        return max(recipe.minimum_ratio, (total - step) / max(total - stable, 1e-9))
    warmup = math.ceil(recipe.warmup_ratio * total)
    if step < warmup:
        return step / warmup
    left = max(0.0, (total - step) / max(1, total - warmup))
    return left if recipe.schedule == "linear" else 0.5 * (1.0 - math.cos(math.pi * left))


def passes(recipe: TrainingRecipe) -> int:
    """Number of passes of the trainer: wsd makes one, in which each stage repeats by itself."""
    return 1 if recipe.schedule == "wsd" else recipe.epochs


def order(recipe: TrainingRecipe, stages: Sequence[str], seed: int, epoch: int) -> list[int]:
    """Which sequences one pass trains on, in order. stages: the stage of each sequence.

    wsd keeps the file's order, since pre-training must precede fine-tuning; `epochs` > 1 repeats
    each stage before the next begins. cosine and linear draw a new order for every pass.
    """
    if recipe.schedule == "wsd":
        return [
            index
            for stage in dict.fromkeys(stages)
            for _ in range(recipe.epochs)
            for index, of in enumerate(stages)
            if of == stage
        ]
    return sorted(range(len(stages)), key=lambda index: digest([seed, epoch, index]))
