"""The experiment: the whole configuration, typed, and whatever follows from it.

This is the one place that interprets the configuration (checks.py reads it): which entries are
trained, written here or released, which evaluations tables need, which entries share a product.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, Self

from .. import processor
from .entries import (
    Benchmark,
    Corpus,
    Distillation,
    Finetuning,
    Influence,
    Model,
    Split,
    Synthesizer,
    SyntheticCorpus,
    Table,
    TrainedSynthesizer,
    WrittenCorpus,
)
from .fetched import Checkpoint, Dataset, GgufCheckpoint, Source
from .keys import Entries, Part, key
from .settings import (
    Compute,
    Evaluation,
    Execution,
    Filtering,
    Mode,
    Price,
    Prompts,
    Recipe,
    Sizing,
    Teacher,
)

Product = Literal["candidates", "reference", "gradients", "features", "shards"]
WorkKind = Literal["train", "generate"]


class Cell(NamedTuple):
    """One evaluation: a model, asked in a mode, on a benchmark."""

    model: str
    mode: Mode
    benchmark: str


# Tables about the run itself, which need no entry (rules/tables.smk).
RUN_TABLES = ("cost", "influence")
# Settings that influence products share (`Experiment.DECIDING`).
_CANDIDATES = ("synthesizer", "mode", "passages", "sampling")
_REFERENCE = (*_CANDIDATES, "reference", "lora")
_FEATURES = (*_REFERENCE, "feature", "projection", "shards")


class Experiment(Part):
    """A sound configuration."""

    name: str = key(
        "Name of the run; its presence marks a configuration as complete.",
        conduct=True,
        pattern="^[A-Za-z0-9_-]+$",
    )
    results: str = key(
        "Folder of all products. Another folder is another run.", conduct=True, min_length=1
    )
    seed: int = key("Seed of every random choice.", ge=0, lt=2**63)
    compute: Compute = key("How the local models run.")
    sizing: Sizing = key(
        "What jobs ask for, and what `snakemake estimate` adds up. No product depends on it.",
        conduct=True,
    )
    accept_moving_revisions: bool = key(
        "Fetch hub revisions that are no commits, such as main, as they are on that day (the commit"
        " is recorded). Else a run that would fetch one stops at its start.",
        conduct=True,
    )
    sources: Entries[Source] = key("Files to fetch, identified by their content.")
    datasets: Entries[Dataset] = key("Hub datasets to fetch, each into one Parquet file.")
    checkpoints: Entries[Checkpoint] = key(
        "Models to start from; each becomes a plain Hugging Face checkpoint."
    )
    corpus: Corpus = key(
        "Raw mathematical texts and how they become passages (paper, section 3.1)."
    )
    benchmarks: Entries[Benchmark] = key(
        "Problem sets for evaluation, fine-tuning and as influence targets.", min_length=1
    )
    teacher: Teacher = key(
        "The strong model that writes the distillation data (paper, section 3.2)."
    )
    prompts: Prompts = key(
        "Folders of prompts: one file per level with the slot {passage}, and examples.jsonl."
    )
    distillation: Entries[Distillation] = key("What the teacher is asked, by name.", min_length=1)
    recipes: Entries[Recipe] = key("Named sets of training hyper-parameters.")
    synthesizers: Entries[Synthesizer] = key(
        "Models that write problems (paper, sections 3.2 and 3.3).", min_length=1
    )
    influence: Entries[Influence] = key(
        "Gradient-based choice of texts (paper, section 3.3; LESS)."
    )
    corpora: Entries[SyntheticCorpus] = key("Synthetic corpora (paper, section 3.4).")
    execution: Execution = key(
        "Limits for model-written programs, each in its own process without network."
    )
    filtering: Filtering = key("Duplicates and contamination.")
    finetuning: Entries[Finetuning] = key("Fine-tuning sets (paper, section 3.5).")
    models: Entries[Model] = key("Models to evaluate; rows of the tables.", min_length=1)
    evaluation: Evaluation = key("How models answer benchmarks (paper, section 4).")
    tables: Entries[Table] = key(
        "Tables to build; each is a CSV, a Markdown and a LaTeX file.", min_length=1
    )

    # ------------------------------------------------------------ how it computes

    def numerics(self, work: WorkKind = "train") -> dict[str, Any]:
        """Settings of programs that compute with torch, for one kind of work.

        The number type is the one that `auto` means on this machine, so that products which
        another kind of processor made are made again rather than mixed with its own.
        """
        dtype = processor.resolve(self.compute.dtype, getattr(self.compute.gpus, work))
        return {"threads": self.compute.threads, "dtype": dtype}

    def generation(self) -> dict[str, Any]:
        """Settings of programs that generate text."""
        return {
            **self.numerics("generate"),
            "engine": self.compute.generation,
            "batch": self.compute.batch,
            **(self._vllm if self.compute.generation == "vllm" else {}),
        }

    @property
    def _vllm(self) -> dict[str, Any]:
        return {"vllm": self.compute.vllm, "caches": f"{self.results}/caches"}

    # ------------------------------------------------------------ what is made here

    @cached_property
    def trained_synthesizers(self) -> dict[str, TrainedSynthesizer]:
        """Synthesizers that are trained here rather than taken."""
        entries = self.synthesizers.items()
        return {name: e for name, e in entries if isinstance(e, TrainedSynthesizer)}

    @cached_property
    def written_corpora(self) -> dict[str, WrittenCorpus]:
        """Corpora that are written here rather than taken."""
        return {name: e for name, e in self.corpora.items() if isinstance(e, WrittenCorpus)}

    @cached_property
    def trained_models(self) -> dict[str, Model]:
        """Models that are trained here rather than evaluated as they are."""
        return {name: entry for name, entry in self.models.items() if entry.is_trained}

    def recipe_of(self, entry: Model | TrainedSynthesizer | Influence) -> Recipe:
        """Hyper-parameters of a training; an influence entry's are its reference's."""
        name = entry.reference.recipe if isinstance(entry, Influence) else entry.recipe
        if name is None:
            raise ValueError("evaluated as it is: it has no recipe")
        return self.recipes[name]

    def split(self, benchmark: str, split: str) -> Split:
        """One split of a benchmark. Raises KeyError where it is not configured."""
        splits: Mapping[str, Split] = dict(self.benchmarks[benchmark].splits.items())
        return splits[split]

    @property
    def decontaminated(self) -> list[str]:
        """Benchmarks whose test problems no corpus may contain."""
        return [
            name
            for name, entry in self.benchmarks.items()
            if entry.decontaminate and "test" in entry.splits
        ]

    @property
    def price(self) -> Price:
        """Of the teacher's tokens."""
        return self.teacher.prices[self.teacher.model]

    # ------------------------------------------------------------ influence

    # Settings that decide a product; entries that agree in them share it.
    DECIDING: ClassVar[dict[Product, tuple[str, ...]]] = {
        "candidates": _CANDIDATES,
        "reference": _REFERENCE,
        "gradients": (*_REFERENCE, "targets", "projection"),
        "features": _FEATURES,
        "shards": (*_FEATURES, "targets"),
    }

    @cached_property
    def _makers(self) -> dict[tuple[Product, str], str]:
        return {
            (product, name): next(
                other
                for other, candidate in self.influence.items()
                if all(getattr(candidate, word) == getattr(entry, word) for word in words)
            )
            for product, words in self.DECIDING.items()
            for name, entry in self.influence.items()
        }

    def maker(self, name: str, product: Product) -> str:
        """The entry under which a product of entry `name` lies: the first that makes the same."""
        return self._makers[product, name]

    def sharers(self, name: str, product: Product) -> list[str]:
        """All influence entries whose product lies under entry `name`."""
        return [other for other in self.influence if self.maker(other, product) == name]

    def makers(self, product: Product) -> list[str]:
        """The influence entries under which a product lies, each once."""
        return [name for name in self.influence if self.maker(name, product) == name]

    def picked_by(self, influence: str) -> int:
        """Most passages that a distillation picks by these scores; 0: none does."""
        entries = self.distillation.values()
        picks = (e.passages for e in entries if getattr(e, "influence", None) == influence)
        return max(picks, default=0)

    def earlier_picks(self, influence: str) -> list[str]:
        """Random distillations that a synthesizer learns from beside the picks of these candidates.

        The teacher has seen those texts, so they are no candidates.
        """
        entry = self.influence[influence]
        sharers = set(self.sharers(influence, "candidates"))
        seen: set[str] = set()
        for name, synthesizer in self.trained_synthesizers.items():
            chosen = {
                getattr(self.distillation[learned], "influence", None)
                for learned in synthesizer.distillation
            }
            if name == entry.synthesizer or sharers & chosen:
                seen.update(synthesizer.distillation)
        return [
            name
            for name, distillation in self.distillation.items()
            if name in seen and distillation.pick == "random" and distillation.mode == entry.mode
        ]

    @property
    def quantised(self) -> set[str]:
        """Checkpoints that llama.cpp runs as they are."""
        return {
            name
            for name, entry in self.checkpoints.items()
            if isinstance(entry, GgufCheckpoint) and entry.quantised
        }

    def engine_of(self, checkpoint: str) -> str:
        """The engine that runs what started from a checkpoint."""
        return "llamacpp" if checkpoint in self.quantised else self.compute.generation

    def on_card(self, card: str) -> Self:
        """The same on another entry of `sizing.cards`."""
        sizing = Sizing.model_validate({**self.sizing.plain(), "card": card})
        return self.model_copy(update={"sizing": sizing})

    @property
    def teacher_gpus(self) -> int:
        """GPUs of a teacher that is served here."""
        return 0 if self.teacher.base_url else self.teacher.serve.gpus or 0

    # ------------------------------------------------------------ training and evaluation

    def finetune_modes(self, model: str) -> list[Mode]:
        """Kinds of solution that a model's second stage takes from benchmarks."""
        sets = self.models[model].finetune or ()
        return sorted({mode for name in sets for mode in self.finetuning[name].modes})

    def shots(self, cell: Cell) -> int:
        """Worked examples shown before each problem: the model's number, else the benchmark's."""
        if cell.mode != "cot":
            return 0
        usual = self.benchmarks[cell.benchmark].shots
        own = self.models[cell.model].shots
        if own is not None:
            return own
        return usual.count if usual else 0

    def evaluations(self, table: str) -> list[Cell]:
        """What a table needs, models in row order."""
        entry = self.tables[table]
        return [Cell(m, entry.mode, b) for m in entry.models for b in entry.benchmarks]

    @cached_property
    def all_evaluations(self) -> list[Cell]:
        """What any table needs, each once."""
        return list(dict.fromkeys(c for table in self.tables for c in self.evaluations(table)))

    def benchmarks_of(self, model: str, mode: Mode) -> list[str]:
        """What a model answers in a mode, in the order of names."""
        cells = self.all_evaluations
        return sorted(c.benchmark for c in cells if (c.model, c.mode) == (model, mode))

    def generates_together(self, model: str) -> bool:
        """Whether one job generates a model's answers to all benchmarks: vLLM starts slowly."""
        return self.engine_of(self.models[model].base) == "vllm"

    # ------------------------------------------------------------ tables

    def subsets(self, table: str) -> list[str]:
        """Benchmarks of a table of which only a fixed part is used."""
        return [b for b in self.tables[table].benchmarks if self.split(b, "test").is_part]

    def whole_sizes(self, table: str) -> dict[str, int]:
        """Problems of the whole test set, for a table's benchmarks where that is known."""
        sizes = {b: self.split(b, "test").whole for b in self.tables[table].benchmarks}
        return {name: size for name, size in sizes.items() if size is not None}

    @property
    def run_tables(self) -> list[str]:
        """Tables about the run itself, which need no entry."""
        return [name for name in RUN_TABLES if name != "influence" or self.influence]
