"""Random projections that keep dot products in expectation, without a matrix over all weights.

A vector over the LoRA weights comes in pieces, one per LoRA matrix; the projection of the whole is
the sum of its pieces' projections. What is random about a piece is drawn again from the seed and
the piece's name, block by block, so the matrix (110 million weights x 8,192 for a 7B model: 3.6 TB)
never exists. The error of a cosine is about 1 / sqrt(dimension) for both kinds.

rademacher: dense, +1 or -1, as in LESS. Its cost grows with weights x dimension.
sjlt: sparse (Kane and Nelson 2014), one entry of +1 or -1 per weight. Weights are cut into blocks
of `dimension`; within a block no two weights meet, across blocks they meet with probability
1 / dimension. Its cost does not depend on the dimension.
"""

import math
from typing import TypedDict

import torch
from torch.nn import functional

from .. import io

KINDS = ("none", "rademacher", "sjlt")
_SIGNS = {"cpu": 2**18, "cuda": 2**27}  # entries of the dense matrix that exist at once


class Settings(TypedDict):
    """kind: one of KINDS; dimension: of what is projected to; dtype: of a store's numbers."""

    kind: str
    dimension: int
    dtype: str


class Description(TypedDict):
    """What two projections must have in common; draws: tells generators of numbers apart."""

    kind: str
    dimension: int
    seed: int
    draws: str


def open_projector(settings: Settings, seed: int, device: torch.device | str) -> "Projector | None":
    """The projector of a configuration's `projection`; None for kind "none".

    Raises UserError where the kind is not known.
    """
    kind = settings["kind"]
    if kind not in KINDS:
        raise io.UserError(
            f'influence.projection.kind: "{kind}" is not known; use {", ".join(KINDS)}.'
            f"{io.did_you_mean(kind, KINDS)}"
        )
    return None if kind == "none" else Projector(kind, settings["dimension"], seed, device)


class Projector:
    """Projects pieces of vectors from their own size to `dimension`, on `device`."""

    def __init__(self, kind: str, dimension: int, seed: int, device: torch.device | str = "cpu"):
        self.kind, self.dimension, self.seed = kind, dimension, seed
        self.device = torch.device(device)
        self._tables: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        if kind == "rademacher":
            bits = torch.arange(256)[:, None] >> torch.arange(8)
            self._signs = ((bits & 1) * 2.0 - 1).to(self.device)  # of a random byte

    def described(self) -> Description:
        """What another projection must have in common with this one."""
        if self.kind == "rademacher":
            drawn = self._dense(self._generator("described", self.device), 1)
        else:
            drawn = torch.cat(self._table("described", 64))
        return {
            "kind": self.kind,
            "dimension": self.dimension,
            "seed": self.seed,
            "draws": io.digest(drawn.flatten().tolist()),
        }

    def __call__(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        """Project the piece `name` of vectors: (samples, size) to (samples, dimension), float32."""
        return self._rademacher(name, rows) if self.kind == "rademacher" else self._sjlt(name, rows)

    def _generator(self, name: str, device: torch.device | str) -> torch.Generator:
        made = torch.Generator(device)
        return made.manual_seed(io.rng(self.seed, "projection", name).getrandbits(63))

    def _dense(self, generator: torch.Generator, rows: int) -> torch.Tensor:
        """The next rows of the matrix: (rows, dimension)."""
        words = torch.empty(rows, -(-self.dimension // 64), dtype=torch.int64, device=self.device)
        words.random_(-(2**63), None, generator=generator)
        places = words.view(torch.uint8).int().flatten()
        return self._signs.index_select(0, places).view(rows, -1)[:, : self.dimension]

    def _rademacher(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        generator = self._generator(name, self.device)
        made = torch.zeros(len(rows), self.dimension, device=self.device)
        for part in torch.split(rows, max(1, _SIGNS[self.device.type] // self.dimension), dim=1):
            made += part @ self._dense(generator, part.shape[1])
        return made / math.sqrt(self.dimension)

    def _table(self, name: str, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Per block and output: which weight of the padded piece goes there, and its sign."""
        generator = self._generator(name, "cpu")
        starts = range(0, size, self.dimension)
        sources = [
            torch.randperm(self.dimension, generator=generator, dtype=torch.int32) + start
            for start in starts
        ]
        shape = (len(starts) * self.dimension,)
        signs = torch.randint(2, shape, generator=generator, dtype=torch.int8)
        return torch.cat(sources), 2 * signs - 1

    def _sjlt(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        size = rows.shape[1]
        if name not in self._tables:
            sources, signs = self._table(name, size)
            self._tables[name] = sources.to(self.device), signs.to(self.device)
        sources, signs = self._tables[name]
        padded = functional.pad(rows, (0, len(sources) - size))
        # A sum over gathered blocks: unlike a scatter, the same bits every time on a GPU.
        moved = padded.index_select(1, sources) * signs
        return moved.view(len(rows), -1, self.dimension).sum(1)
