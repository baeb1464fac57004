"""Files of safetensors weights, judged by their headers: whole, and those that an index names."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import io
from ..io import UserError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_LONGEST_HEADER = 100_000_000  # the format's own limit


def wanted(index: Path | None, what: str) -> list[str]:
    """Weight files of a checkpoint: those that its index names, or the single one."""
    if index is None:
        return [SINGLE]
    named = io.read_json(index)
    placed = named.get("weight_map") if isinstance(named, dict) else None
    if not isinstance(placed, dict) or not placed:
        raise UserError(f"{what}: {INDEX} has no weight_map.")
    files = sorted({str(file) for file in placed.values()})
    if strange := [file for file in files if "/" in file or not file.endswith(".safetensors")]:
        raise UserError(f"{what}: {INDEX} names {strange[0]!r}, which is no weight file here.")
    return files


def check(folder: Path, files: Iterable[str], what: str) -> None:
    """Check that every file is as long as its header says and holds what the index puts there.

    Raises UserError naming the file.
    """
    index = folder / INDEX
    placed: dict[str, str] = io.read_json(index)["weight_map"] if index.is_file() else {}
    for file in files:
        held = _tensors(folder / file, f"{what}: {file}")
        lacking = [name for name, place in placed.items() if place == file and name not in held]
        if lacking:
            raise UserError(
                f"{what}: {file} lacks {len(lacking)} tensors that {INDEX} puts there"
                f" ({lacking[0]}). Index and weights are of different versions."
            )


def _tensors(path: Path, what: str) -> dict[str, Any]:
    """The header of a safetensors file, checked against the file's size."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        first = stream.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8 or length > min(_LONGEST_HEADER, size - 8):
            raise UserError(f"{what} is no safetensors file, or a piece of one ({size:,} bytes).")
        try:
            header = json.loads(stream.read(length))
            end = max(
                (int(t["data_offsets"][1]) for n, t in header.items() if n != "__metadata__"),
                default=0,
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            raise UserError(f"{what} is no safetensors file: its header cannot be read.") from None
    if size != 8 + length + end:
        raise UserError(
            f"{what} has {size:,} bytes, its header says {8 + length + end:,}: a piece of a file."
            " Fetch it again."
        )
    return {name: about for name, about in header.items() if name != "__metadata__"}
