"""The entries of the configuration that have names of the user's choice, kind by kind."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from .keys import Entries, Number, Part, Several, has, key
from .settings import FILTERS, MODE, Filter, Lora, Mode, Passage, Projection, Sampling

Kind = Literal["web", "textbook", "wiki", "paper", "qa", "reference"]


def exactly_one(part: Part, *words: str) -> None:
    """Refuse an entry that gives none, or more than one, of these keys."""
    given = [word for word in words if getattr(part, word, None) is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        text = f"give exactly one of {', '.join(words)} (found {found})."
        raise PydanticCustomError("mistake", "{text}", {"text": text})


class Collection(Part):
    """An entry of `corpus.sources`: one collection of documents."""

    kind: Kind = key("How a document is cut.")
    files: Several[str] | None = key(
        "Files or glob patterns (.txt, .md, .tex, .jsonl, .parquet).", min_length=1, default=None
    )
    sources: Several[str] | None = key(
        "Entries of `sources`.", names="sources", min_length=1, default=None
    )
    datasets: Several[str] | None = key(
        "Entries of `datasets`.", names="datasets", min_length=1, default=None
    )
    packages: Several[str] | None = key(
        "Installed Python packages whose docstrings are read.", min_length=1, default=None
    )
    fields: dict[str, str] | None = key(
        "Columns of tabular files: text, or question and answer; the values are column names.",
        default=None,
    )
    documents: int | None = key(
        "Documents taken at most, drawn by hash; absent: all.", ge=1, default=None
    )

    @model_validator(mode="after")
    def _from_one_place(self) -> Self:
        exactly_one(self, "files", "sources", "datasets", "packages")
        return self


class Corpus(Part):
    """`corpus`."""

    sources: Entries[Collection] = key("Text collections by name.", min_length=1)
    passage: Passage = key("Size and number of passages.")


def _names_a_column(template: str) -> str:
    if "{" not in template:
        text = (
            f'"{template}" names no column; columns stand in braces, as in'
            f" {{{template or 'question'}}}."
        )
        raise PydanticCustomError("mistake", "{text}", {"text": text})
    return template


Template = Annotated[str, AfterValidator(_names_a_column)]


class Columns(Part):
    """How columns map to the parts of a problem."""

    question: Template = key("Template of the question.")
    answer: Template = key("Template of the gold answer before `take`.")
    solution: Template | None = key("Template of the worked solution.", default=None)
    subject: Template | None = key("Template of the subtask's name.", default=None)
    choices: str | None = key("Column of the choices.", default=None)


class Shots(Part):
    """`benchmarks.<name>.shots`."""

    file: str = key(
        "JSON lines with question, solution and, for multiple choice, choices; the first ones are"
        " taken.",
        min_length=1,
    )
    count: int = key(
        "Examples shown to every model that sets no `shots` of its own; 0: none.", ge=0
    )


class GeneratedSplit(Part):
    """A split that our generator makes."""

    MISSING: ClassVar[str] = "{place}.{key}: missing (a generator needs a number)."
    UNUSED: ClassVar[str] = "{place}.{key}: not used beside `generator`; remove it."

    generator: Literal["word_problems"] = key("Our own seeded generator of problems.")
    problems: int = key("Problems made.", ge=0)

    @property
    def taken(self) -> int:
        """Problems of the split."""
        return self.problems

    @property
    def whole(self) -> int | None:
        """Problems of the whole set; a generator has no end."""
        return None

    @property
    def is_part(self) -> bool:
        """Whether a fixed part of a larger set is used."""
        return False


class ReadSplit(Part):
    """A split that is read from a fetched source or dataset, or from files."""

    source: str | None = key("Entry of `sources`.", names="sources", default=None)
    dataset: str | None = key("Entry of `datasets`.", names="datasets", default=None)
    files: Several[str] | None = key(
        "Local files (.jsonl, .json, .csv, .parquet).", min_length=1, default=None
    )
    size: int | None = key(
        "Rows that the files hold; another number is an error.", ge=1, default=None
    )
    problems: int | None = key(
        "Problems taken, a fixed choice by hash; 0 or absent: all.", ge=0, default=None
    )
    fields: Columns = key(
        "How columns map to question, answer, solution, subject and choices, as {column}"
        " templates; a part in [brackets] is left out where its column is empty."
    )
    take: Literal["whole", "number", "after_hashes", "boxed", "letter"] = key(
        "How the gold answer is read from its field."
    )
    clean: Several[Literal["calculator", "parentheses", "full_stop"]] | None = key(
        "What is mended: calculator (drop <<...>> from solutions), parentheses (drop a unit in"
        " parentheses from an answer), full_stop (end the parts of a question with one).",
        default=None,
    )

    @model_validator(mode="after")
    def _from_one_place(self) -> Self:
        exactly_one(self, "generator", "source", "dataset", "files")
        return self

    @property
    def taken(self) -> int:
        """Problems of the split: those taken, or all that it has (0: not known)."""
        return self.problems or self.size or 0

    @property
    def whole(self) -> int | None:
        """Problems of the whole set, where that is known."""
        return self.size

    @property
    def is_part(self) -> bool:
        """Whether a fixed part of a larger set is used."""
        return bool(self.problems) and self.problems != self.size


Split = Annotated[
    Annotated[GeneratedSplit, Tag("generator")] | Annotated[ReadSplit, Tag("read")],
    Discriminator(has("generator", "generator", "read")),
]


class Benchmark(Part):
    """An entry of `benchmarks`."""

    licence: str = key("Licence of the problems.", conduct=True)
    decontaminate: bool = key(
        "Keep its test problems out of the corpora. Changing it filters them, and trains models,"
        " again."
    )
    shots: Shots | None = key(
        "Worked examples that a model sees before a problem (cot only).", default=None
    )
    splits: dict[Literal["train", "test"], Split] = key(
        "Splits by name; `test` is what models are evaluated on.", min_length=1
    )


# ---------------------------------------------------------------- distillation, synthesizers

_WITH_INFLUENCE = "{place}: `{key}` goes with `pick: influence`, and only with it."


class _Distillation(Part):
    mode: Mode = key(MODE)
    passages: int = key("Passages sent to the teacher.", ge=1)


class RandomDistillation(_Distillation):
    """Passages drawn by hash."""

    UNUSED: ClassVar[str] = _WITH_INFLUENCE

    pick: Literal["random"] = key("How passages are chosen.")


class InfluentialDistillation(_Distillation):
    """The passages behind the best candidates."""

    MISSING: ClassVar[str] = _WITH_INFLUENCE

    pick: Literal["influence"] = key("How passages are chosen.")
    influence: str = key("Entry of `influence` whose scores decide.", names="influence")
    quota: dict[str, Annotated[Number, Field(ge=0, le=1)]] | None = key(
        "Largest share of the passages that may come from a source, by source; sources without"
        " one are not limited.",
        names="corpus.sources",
        default=None,
    )


Distillation = Annotated[RandomDistillation | InfluentialDistillation, Field(discriminator="pick")]


class Released(Part):
    """What is taken from its authors instead of made."""

    UNUSED: ClassVar[str] = "{place}.{key}: not used beside `released`; remove it."


class ReleasedSynthesizer(Released):
    """A synthesizer of somebody else."""

    released: str = key(
        "Entry of `checkpoints` taken instead of training one.", names="checkpoints"
    )

    @property
    def start(self) -> str:
        """The checkpoint that it is."""
        return self.released


class TrainedSynthesizer(Part):
    """A synthesizer that is trained here."""

    base: str = key("Entry of `checkpoints`.", names="checkpoints")
    recipe: str = key("Entry of `recipes`.", names="recipes")
    distillation: Several[str] = key(
        "Entries of `distillation`.", names="distillation", min_length=1
    )

    @property
    def start(self) -> str:
        """The checkpoint that it starts from."""
        return self.base


Synthesizer = Annotated[
    Annotated[ReleasedSynthesizer, Tag("released")] | Annotated[TrainedSynthesizer, Tag("trained")],
    Discriminator(has("released", "released", "trained")),
]

# ---------------------------------------------------------------- influence, corpora


class Reference(Part):
    """`influence.<name>.reference`."""

    base: str = key("Entry of `checkpoints`.", names="checkpoints")
    recipe: str = key("Entry of `recipes`.", names="recipes")
    share: Number = key("Share of the candidates it is trained on.", gt=0, le=1)


class Target(Part):
    """Training problems whose gradients are wanted."""

    benchmark: str = key("Entry of `benchmarks`.", names="benchmarks", split="train")
    split: Literal["train"] = key("Split to take; never the test split.")
    problems: int = key("Problems taken; with by_subject shared evenly among the subjects.", ge=1)
    by_subject: bool = key("One subtask per subject.")


class Influence(Part):
    """An entry of `influence`."""

    synthesizer: str = key(
        "Entry of `synthesizers` that writes the candidates.", names="synthesizers"
    )
    mode: Mode = key(MODE)
    passages: int = key(
        "Candidate passages, drawn at random; those already sent to the teacher are left out.", ge=1
    )
    sampling: Sampling = key("How the synthesizer writes.")
    reference: Reference = key("The reference model, warmed up on part of the candidates.")
    lora: Lora = key("Adapter through which gradients are taken.")
    targets: Several[Target] = key(
        "Training problems whose gradients are the direction wanted.", min_length=1
    )
    feature: Literal["released", "adam"] = key(
        "Candidate feature: as in LESS's code (eps inside the root, no bias correction), or the"
        " optimizer's own formula."
    )
    aggregate: Literal["max", "mean"] = key("Over subtasks: max as in LESS, or mean.")
    projection: Projection = key(
        "Random projection of gradients. none: scores are exact, taken as each gradient is made,"
        " nothing is stored. Otherwise the candidates' features are stored, and other targets can"
        " be scored later without computing them again; a cosine then has an error of about"
        " 1 / sqrt(dimension)."
    )
    shards: int = key(
        "Jobs, each on a GPU of its own, that the candidates are divided among.", ge=1
    )

    @property
    def is_projected(self) -> bool:
        """Whether the candidates' features are projected and stored."""
        return self.projection.kind != "none"


class ReleasedCorpus(Released):
    """A corpus of somebody else."""

    mode: Mode = key(MODE)
    released: str = key(
        "Entry of `datasets` with input and output, taken instead of writing one.", names="datasets"
    )


class WrittenCorpus(Part):
    """A corpus that a synthesizer writes here."""

    mode: Mode = key(MODE)
    synthesizer: str = key("Entry of `synthesizers`.", names="synthesizers")
    prompts: int = key("Pairs of passage and level; 0: every passage at every level.", ge=0)
    shards: int = key("Jobs that the writing is split into.", ge=1, le=100000)
    sampling: Sampling = key("How the synthesizer writes.")
    filters: Several[Filter] = key(FILTERS)
    unlike: Several[str] = key(
        "Corpora filtered before: near_duplicate also rejects copies of what they kept.",
        names="corpora",
    )


SyntheticCorpus = Annotated[
    Annotated[ReleasedCorpus, Tag("released")] | Annotated[WrittenCorpus, Tag("written")],
    Discriminator(has("released", "released", "written")),
]

# ---------------------------------------------------------------- training, tables


class Finetuning(Part):
    """An entry of `finetuning`."""

    benchmarks: Several[str] | None = key(
        "Entries of `benchmarks` whose train split has worked solutions.",
        names="benchmarks",
        split="train",
        min_length=1,
        default=None,
    )
    datasets: Several[str] | None = key(
        "Entries of `datasets` with input and output.", names="datasets", min_length=1, default=None
    )
    files: Several[str] | None = key(
        "JSON lines with input and output.", min_length=1, default=None
    )
    modes: Several[Mode] = key("Kinds of solution taken from benchmarks.", min_length=1)

    @model_validator(mode="after")
    def _from_somewhere(self) -> Self:
        if self.benchmarks is None and self.datasets is None and self.files is None:
            raise PydanticCustomError("mistake", "give benchmarks, datasets or files.")
        return self


class Model(Part):
    """An entry of `models`: trained here, or evaluated as it is."""

    base: str = key("Entry of `checkpoints`.", names="checkpoints")
    recipe: str | None = key(
        "Entry of `recipes`; required with pretrain or finetune.", names="recipes", default=None
    )
    pretrain: Several[str] | None = key(
        "Entries of `corpora`, the first stage.", names="corpora", min_length=1, default=None
    )
    finetune: Several[str] | None = key(
        "Entries of `finetuning`, the second stage of the same schedule.",
        names="finetuning",
        min_length=1,
        default=None,
    )
    template: Literal["jiuzhang", "plain", "chat"] = key(
        'How questions are put: the paper\'s headings, "Question:" and "Answer:" for base models'
        " (cot only), or the model's chat template."
    )
    shots: int | None = key(
        "Worked examples shown before every problem, instead of the benchmark's number (cot only).",
        ge=0,
        default=None,
    )
    paper_row: str | None = key(
        "Row of the paper's table that this model replicates.", default=None
    )

    @model_validator(mode="after")
    def _recipe_with_training(self) -> Self:
        if self.is_trained != (self.recipe is not None):
            raise PydanticCustomError(
                "mistake", "`recipe` goes with pretrain or finetune, and only with them."
            )
        return self

    @property
    def is_trained(self) -> bool:
        """Whether it is trained here, or evaluated as it is."""
        return self.pretrain is not None or self.finetune is not None


class Table(Part):
    """An entry of `tables`."""

    mode: Mode = key(MODE)
    models: Several[str] = key("Entries of `models`, in row order.", names="models", min_length=1)
    benchmarks: Several[str] = key(
        "Entries of `benchmarks`, in column order.", names="benchmarks", split="test", min_length=1
    )
    verdict: Literal["strict", "released"] = key("Whose grading counts.")
    paper: str = key("CSV of the paper's numbers; may be empty.")
