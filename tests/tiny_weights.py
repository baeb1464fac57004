"""The files of a checkpoint that is a few kilobytes: right in form, good for nothing."""

import json

import numpy
from safetensors.numpy import save


def checkpoint_files(shards=1, value=0.5, width=8):
    """{name: bytes} of a plain checkpoint, its weights in one file or in several with an index."""
    files = {
        "config.json": json.dumps({"model_type": "llama", "value": value}).encode(),
        "tokenizer.json": b'{"model": {}}',
        "tokenizer_config.json": b"{}",
    }
    if shards == 1:
        return files | {"model.safetensors": save({"a": numpy.full(width, value, "float32")})}
    names = [f"model-{number:05d}-of-{shards:05d}.safetensors" for number in range(1, shards + 1)]
    for number, name in enumerate(names):
        files[name] = save({f"t{number}": numpy.full(width, value + number, "float32")})
    placed = {f"t{number}": name for number, name in enumerate(names)}
    index = {"metadata": {}, "weight_map": placed}
    return files | {"model.safetensors.index.json": json.dumps(index).encode()}
