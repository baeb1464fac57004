"""Plain Hugging Face checkpoints, whatever a model comes as.

Every stage loads a model with `AutoModelForCausalLM.from_pretrained(folder)` and its tokenizer
with `AutoTokenizer.from_pretrained(folder)`; this module makes such folders out of GGUF files,
hub repositories, local folders, and (for tests) seeds.
"""

import ast
import fnmatch
import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Required, TypedDict

from .. import io, models, processor, program
from ..corpus import docstrings
from ..io import UserError
from . import quantised

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

KINDS = ("gguf", "hub", "local", "random")
# What belongs to a plain checkpoint. Other files of a repository (pickled or consolidated
# weights, pictures, training states) are left behind.
FILES = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "vocab.*",
    "merges.txt",
)
_LEFT_OUT = ("consolidated*",)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")


class Entry(TypedDict, total=False):
    """What a checkpoint is made from; which keys an entry needs depends on its kind.

    gguf: `dtype`, `digits` (restore the tokenizer's split of numbers into single digits).
    hub: `repository`, `revision`. local: `path`. random: `dtype` and the sizes.
    """

    kind: Required[str]
    dtype: str
    digits: bool
    quantised: bool
    repository: str
    revision: str
    path: str
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    vocabulary: int


def make(
    entry: Entry,
    destination: Path,
    name: str,
    *,
    gguf: Path | None = None,
    seed: int = 0,
    state: Path | None = None,
) -> None:
    """Make the checkpoint that `entry` describes, as the folder `destination` (whole or absent).

    gguf: the file of that kind; a broken-off download from the hub goes on from `state`; random
    weights are drawn from `seed` and `name`.
    Raises UserError where the entry, the file or the folder is not usable.
    """
    kind = entry.get("kind")
    if kind not in KINDS:
        raise UserError(
            f'checkpoint {name}: unknown kind "{kind}".{io.did_you_mean(str(kind), KINDS)}'
            f" Known: {', '.join(KINDS)}."
        )
    required = {
        "gguf": ("dtype",),
        "hub": ("repository", "revision"),
        "local": ("path",),
        "random": ("hidden_size", "layers", "heads", "intermediate_size", "vocabulary", "dtype"),
    }[kind]
    given = dict(entry)
    missing = [key for key in required if given.get(key) in (None, "")]
    if missing:
        raise UserError(f"checkpoint {name}: kind {kind} needs {', '.join(missing)}.")
    with io.atomic(destination) as folder:
        if kind == "gguf":
            if gguf is None:
                raise UserError(f"checkpoint {name}: kind gguf needs the file of its `source`.")
            _from_gguf(gguf, folder, entry, name)
        elif kind == "hub":
            _from_hub(entry, folder, name, state)
        elif kind == "local":
            _from_folder(Path(entry["path"]).expanduser(), folder)
        else:
            _random(entry, folder, name, seed)
        validate(folder, name)
        for file in folder.iterdir():
            if not file.stat().st_mode & 0o004 and file.stat().st_nlink == 1:
                file.chmod(0o644)  # weights are written for the owner alone; clusters share them


def validate(folder: Path, name: str) -> None:
    """Check that `folder` is a plain checkpoint: configuration, tokenizer, all weight files.

    Raises UserError saying what is missing.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise UserError(f"checkpoint {name}: no config.json; is this a Hugging Face checkpoint?")
    if "model_type" not in io.read_json(config):
        raise UserError(f"checkpoint {name}: config.json names no model_type.")
    if not any((folder / file).is_file() for file in _TOKENIZERS):
        raise UserError(f"checkpoint {name}: no tokenizer ({', '.join(_TOKENIZERS)}).")
    if (folder / models.QUANTISED).is_file():  # quantised
        return
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        wanted = sorted(set(io.read_json(index)["weight_map"].values()))
    else:
        wanted = ["model.safetensors"]
    lacking = [file for file in wanted if not (folder / file).is_file()]
    if lacking:
        raise UserError(
            f"checkpoint {name}: {len(lacking)} of {len(wanted)} weight files are missing"
            f" ({lacking[0]}). Only safetensors weights are read."
        )


def _dtype(entry: Entry, name: str) -> "torch.dtype":
    import torch

    if entry["dtype"] not in processor.DTYPES:
        raise UserError(
            f'checkpoint {name}: unknown dtype "{entry["dtype"]}" ({" | ".join(processor.DTYPES)}).'
        )
    dtype: torch.dtype = getattr(torch, entry["dtype"])
    return dtype


# ---------------------------------------------------------------- GGUF


def _from_gguf(gguf: Path, folder: Path, entry: Entry, name: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with gguf.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise UserError(f"checkpoint {name}: {gguf} is not a GGUF file.")
    if entry.get("quantised"):
        digits = partial(_split_digits, name=name) if entry.get("digits") else None
        quantised.keep(gguf, folder, name, digits)
        return
    dtype = _dtype(entry, name)
    # The file may carry any name (sources are stored by name, without suffix).
    place, file = str(gguf.resolve().parent), gguf.name
    program.say(f"{name}: reading the tokenizer of {file}")
    tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=file)
    if entry.get("digits"):
        _split_digits(tokenizer, name)
    program.say(f"{name}: reading the weights")
    model = AutoModelForCausalLM.from_pretrained(
        place,
        gguf_file=file,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),  # else it could not be saved
    )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    tokenizer.model_max_length = model.config.max_position_embeddings
    # transformers wraps `to`, and its type takes the model as an argument
    _save(model.to(dtype), tokenizer, folder)  # type: ignore[arg-type]


def _split_digits(tokenizer: "PreTrainedTokenizerBase", name: str) -> None:
    """Put back what GGUF files of this family cannot express: each digit is a token of its own."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import PreTrainedTokenizerFast

    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"checkpoint {name}: `digits` is for byte-level tokenizers; make it false.")
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
    )


def _save(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    model.config.name_or_path = ""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file, keys in (
        ("config.json", ["_name_or_path", "_model_name_or_path"]),
        ("tokenizer_config.json", ["is_local", "local_files_only", "name_or_path"]),
    ):  # where it was read from is no part of a model
        settings = io.read_json(folder / file)
        io.write_json(folder / file, {k: v for k, v in settings.items() if k not in keys})


# ---------------------------------------------------------------- hub and local folders


def _from_hub(entry: Entry, folder: Path, name: str, state: Path | None) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    repository, revision = entry["repository"], entry["revision"]
    what = f"checkpoint {name}: hf://{repository}@{revision}"
    place = folder
    if state:
        place = io.resume_directory(state, [repository, revision]) / "files"
    program.say(f"{what}: downloading")
    try:
        huggingface_hub.snapshot_download(
            repository,
            revision=revision,
            local_dir=place,
            allow_patterns=[*FILES, "tokenizer.model"],
            ignore_patterns=list(_LEFT_OUT),
            etag_timeout=5,
        )
    except errors.GatedRepoError:
        raise UserError(
            f"{what} is gated: accept its licence on the hub and set HF_TOKEN."
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(f"{what}: no such repository, or a private one (set HF_TOKEN).") from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{what}: no such revision.") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
        raise UserError(
            f"{what} cannot be reached ({type(error).__name__}). Check the network and HF_ENDPOINT,"
            " or download it elsewhere and use kind: local with its path."
        ) from None
    if state:
        _from_folder(place, folder)
        shutil.rmtree(state)
    else:
        shutil.rmtree(folder / ".cache", ignore_errors=True)


def _from_folder(source: Path, folder: Path) -> None:
    if not source.is_dir():
        raise UserError(f"{source}: no such folder; a local checkpoint is a folder.")
    folder.mkdir()
    for file in sorted(source.iterdir()):
        listed = any(fnmatch.fnmatch(file.name, pattern) for pattern in FILES)
        left_out = any(fnmatch.fnmatch(file.name, pattern) for pattern in _LEFT_OUT)
        if file.is_file() and listed and not left_out:
            try:
                os.link(file.resolve(), folder / file.name)
            except OSError:  # another file system
                shutil.copyfile(file, folder / file.name)


# ---------------------------------------------------------------- random weights, for tests

_BEGIN, _END, _PAD = "<|begin|>", "<|end|>", "<|pad|>"
_CHAT = (
    "{% for message in messages %}" + _BEGIN + "{{ message['role'] }}\n"
    "{{ message['content'] }}" + _END + "\n{% endfor %}"
    "{% if add_generation_prompt %}" + _BEGIN + "assistant\n{% endif %}"
)
_CONTEXT = 4096


def _random(entry: Entry, folder: Path, name: str, seed: int) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    if int(entry["hidden_size"]) % int(entry["heads"]):
        raise UserError(f"checkpoint {name}: hidden_size must be a multiple of heads.")
    dtype = _dtype(entry, name)
    tokenizer = _own_tokenizer(int(entry["vocabulary"]), name)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=int(entry["hidden_size"]),
        intermediate_size=int(entry["intermediate_size"]),
        num_hidden_layers=int(entry["layers"]),
        num_attention_heads=int(entry["heads"]),
        num_key_value_heads=int(entry["heads"]),
        max_position_embeddings=_CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(io.rng(seed, "checkpoint", name).getrandbits(63))
        model = LlamaForCausalLM(config)
    # transformers wraps `to`, and its type takes the model as an argument
    _save(model.to(dtype), tokenizer, folder)  # type: ignore[arg-type]


def _own_tokenizer(vocabulary: int, name: str) -> "PreTrainedTokenizerFast":
    """A byte-level BPE tokenizer with single digits, trained on mathematical English."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from ..benchmarks import word_problems

    special = [_PAD, _BEGIN, _END]
    smallest = len(special) + 256
    if vocabulary < smallest:
        raise UserError(f"checkpoint {name}: vocabulary must be at least {smallest}.")
    texts = [json.dumps(problem) for problem in word_problems.generate("train", 200, 0)]
    texts += _docstrings("sympy", ("ntheory", "series"))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # transformers leaves this constructor without types
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=_BEGIN,
        eos_token=_END,
        pad_token=_PAD,
        chat_template=_CHAT,
        model_max_length=_CONTEXT,
    )


def _docstrings(package: str, folders: tuple[str, ...]) -> list[str]:
    """Of all that is defined in some folders of a package, private or not ("" without one)."""
    return [
        ast.get_docstring(node) or ""
        for folder in folders
        for _, tree in docstrings.modules(package, folder)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Module)
    ]
