"""Where products lie and what each is made from, as paths.

`<results>` stands for the results folder, as in rules. Methods take names of entries; what they
return is what a rule reads or writes.
"""

import glob
from collections.abc import Iterable

from .entries import GeneratedSplit, InfluentialDistillation, WrittenCorpus
from .experiment import Cell, Experiment, Product
from .fetched import GgufCheckpoint, HubCheckpoint
from .settings import Mode


def matching(patterns: Iterable[str]) -> list[str]:
    """The files that glob patterns match, in a fixed order."""
    return sorted({path for pattern in patterns for path in glob.glob(pattern, recursive=True)})


def fetched_file(source: str) -> str:
    """The bytes of an entry of `sources`."""
    return f"<results>/sources/files/{source}"


def fetched_table(dataset: str) -> str:
    """The table of an entry of `datasets`."""
    return f"<results>/sources/datasets/{dataset}.parquet"


def checkpoint(name: str) -> str:
    """Folder of a starting checkpoint."""
    return f"<results>/sources/models/{name}"


def problems(benchmark: str, split: str) -> str:
    """The problems of one split of a benchmark."""
    return f"<results>/benchmarks/{benchmark}/{split}.parquet"


def pairs(distillation: str) -> str:
    """What a synthesizer learns from."""
    return f"<results>/distillation/{distillation}/pairs.parquet"


def scores(influence: str) -> str:
    """The scores of an influence entry's candidates."""
    return f"<results>/influence/{influence}/scores.parquet"


def evaluation(cell: Cell) -> str:
    """Folder of an evaluation."""
    return f"<results>/evaluation/{cell.model}/{cell.mode}/{cell.benchmark}"


class Layout:
    """The paths that follow from an experiment."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment

    def _fetched(
        self,
        sources: Iterable[str] | None,
        datasets: Iterable[str] | None,
        files: Iterable[str] | None,
    ) -> list[str]:
        """Files behind an entry that names sources, datasets or files."""
        return [
            *map(fetched_file, sources or ()),
            *map(fetched_table, datasets or ()),
            *matching(files or ()),
        ]

    # ------------------------------------------------------------ sources, corpus, benchmarks

    def checkpoint_file(self, name: str) -> list[str]:
        """The fetched file that a checkpoint is made from, if it is made from one."""
        entry = self.experiment.checkpoints[name]
        return [fetched_file(entry.source)] if isinstance(entry, GgufCheckpoint) else []

    def collection_files(self, collection: str) -> list[str]:
        """Files of a collection of documents."""
        entry = self.experiment.corpus.sources[collection]
        return self._fetched(entry.sources, entry.datasets, entry.files)

    def split_files(self, benchmark: str, split: str) -> list[str]:
        """Files that a split is read from. Raises KeyError for a split that is not configured."""
        entry = self.experiment.split(benchmark, split)
        if isinstance(entry, GeneratedSplit):
            return []
        sources = [entry.source] if entry.source is not None else []
        datasets = [entry.dataset] if entry.dataset is not None else []
        return self._fetched(sources, datasets, entry.files)

    def decontaminated(self) -> list[str]:
        """Test splits that no corpus may contain problems of."""
        return [problems(name, "test") for name in self.experiment.decontaminated]

    def records(self) -> list[str]:
        """What the hub's part of all tables, figures and funnels is made from, with its commits.

        The records alone: models may be deleted once a run is over, and its report made again.
        """
        experiment = self.experiment
        models = dict.fromkeys(
            [*experiment.trained_models, *(c.model for c in experiment.all_evaluations)]
        )
        wanted = [
            path for name in experiment.corpus.sources for path in self.collection_files(name)
        ]
        for name in models:
            wanted += [self.model_base(name), *self.pretraining(name), *self.finetuning(name)]
        wanted += map(self.synthesizer_base, experiment.trained_synthesizers)
        wanted += map(self.writer, experiment.written_corpora)
        wanted += map(self.reference_base, experiment.influence)
        for cell in experiment.all_evaluations:
            wanted += self.split_files(cell.benchmark, "test")
        datasets = {fetched_table(name): name for name in experiment.datasets}
        hub = {n: c for n, c in experiment.checkpoints.items() if isinstance(c, HubCheckpoint)}
        weights = {checkpoint(name): name for name in hub}
        folder = "<results>/sources/records"
        return [
            *(
                f"{folder}/datasets/{datasets[p]}.json"
                for p in dict.fromkeys(wanted)
                if p in datasets
            ),
            *(f"{folder}/models/{weights[p]}.json" for p in dict.fromkeys(wanted) if p in weights),
        ]

    # ------------------------------------------------------------ distillation

    def prompt_folder(self, mode: Mode) -> str:
        """Folder of the prompts for a mode."""
        return self.experiment.prompts.cot if mode == "cot" else self.experiment.prompts.tool

    def prompt_files(self, mode: Mode) -> list[str]:
        """Prompts of a mode, as inputs: an edited prompt reruns what it reaches."""
        return matching([f"{self.prompt_folder(mode)}/*.md"])

    def examples(self, mode: Mode) -> str:
        """Worked examples that the teacher is shown."""
        return f"{self.prompt_folder(mode)}/examples.jsonl"

    def picking_scores(self, distillation: str) -> list[str]:
        """Influence scores, where they do the picking."""
        entry = self.experiment.distillation[distillation]
        return [scores(entry.influence)] if isinstance(entry, InfluentialDistillation) else []

    def teacher_file(self) -> list[str]:
        """Weights of the locally served teacher, a file or a checkpoint; none with a hosted one."""
        teacher, serve = self.experiment.teacher, self.experiment.teacher.serve
        if teacher.base_url:
            return []
        if serve.checkpoint:
            return [checkpoint(serve.checkpoint)]
        return [fetched_file(serve.source)] if serve.source else []

    # ------------------------------------------------------------ synthesizers and influence

    def synthesizer(self, name: str) -> str:
        """Folder of a synthesizer: trained here, or taken from its authors."""
        if name in self.experiment.trained_synthesizers:
            return f"<results>/synthesizers/{name}/model"
        return self.synthesizer_base(name)

    def synthesizer_base(self, name: str) -> str:
        """Starting checkpoint of a synthesizer."""
        return checkpoint(self.experiment.synthesizers[name].start)

    def learned_pairs(self, synthesizer: str) -> list[str]:
        """What a synthesizer that is trained here learns from."""
        return [pairs(d) for d in self.experiment.trained_synthesizers[synthesizer].distillation]

    def of_influence(self, name: str, product: Product, file: str) -> str:
        """A product of an influence entry, under the first entry that shares it."""
        return f"<results>/influence/{self.experiment.maker(name, product)}/{file}"

    def candidates(self, influence: str) -> str:
        """Problems that are scored, made under the first entry that shares them."""
        return self.of_influence(influence, "candidates", "candidates.parquet")

    def reference(self, influence: str) -> str:
        """Folder of the reference model's epochs."""
        return self.of_influence(influence, "reference", "reference")

    def reference_base(self, influence: str) -> str:
        """Starting checkpoint of the reference model."""
        return checkpoint(self.experiment.influence[influence].reference.base)

    def gradients(self, influence: str) -> str:
        """The targets' mean directions."""
        return self.of_influence(influence, "gradients", "gradients.safetensors")

    def earlier_picks(self, influence: str) -> list[str]:
        """Picks whose texts the teacher has seen, so that they are no candidates."""
        names = self.experiment.earlier_picks(influence)
        return [f"<results>/distillation/{name}/picks.parquet" for name in names]

    def target_problems(self, influence: str) -> list[str]:
        """Training problems whose gradients are wanted, a table per target."""
        return [
            problems(t.benchmark, t.split) for t in self.experiment.influence[influence].targets
        ]

    def scored_from(self, influence: str, shard: str) -> str:
        """What scores are made from: the base model, or with a projection the stored features."""
        entry = self.experiment.influence[influence]
        if entry.is_projected:
            return self.of_influence(influence, "features", f"features/{shard}")
        return self.reference_base(influence)

    def influence_shards(self, influence: str) -> list[str]:
        """Scores of the candidates, shard by shard."""
        return [
            self.of_influence(influence, "shards", f"shards/{number:05d}.parquet")
            for number in range(self.experiment.influence[influence].shards)
        ]

    def candidate_tables(self) -> list[str]:
        """All candidates, each table once."""
        makers = self.experiment.makers("candidates")
        return [f"<results>/influence/{name}/candidates.parquet" for name in makers]

    # ------------------------------------------------------------ synthesis

    def corpus_table(self, name: str) -> str:
        """Table of a synthetic corpus: written here, or taken from its authors."""
        entry = self.experiment.corpora[name]
        if isinstance(entry, WrittenCorpus):
            return f"<results>/synthesis/{name}/problems.parquet"
        return fetched_table(entry.released)

    def writer(self, corpus: str) -> str:
        """Folder of the synthesizer that writes a corpus."""
        return self.synthesizer(self.experiment.written_corpora[corpus].synthesizer)

    def corpus_shards(self, corpus: str) -> list[str]:
        """Shards of a corpus, executed where solutions are programs."""
        entry = self.experiment.written_corpora[corpus]
        folder = "executed" if entry.mode == "tool" else "shards"
        return [
            f"<results>/synthesis/{corpus}/{folder}/{number:05d}.parquet"
            for number in range(entry.shards)
        ]

    def corpora_before(self, corpus: str) -> list[str]:
        """Tables of the corpora whose problems a corpus may not repeat."""
        return [self.corpus_table(name) for name in self.experiment.written_corpora[corpus].unlike]

    # ------------------------------------------------------------ training and evaluation

    def model(self, name: str) -> str:
        """Folder of a model to evaluate."""
        if name in self.experiment.trained_models:
            return f"<results>/models/{name}/model"
        return self.model_base(name)

    def model_base(self, name: str) -> str:
        """Starting checkpoint of a model."""
        return checkpoint(self.experiment.models[name].base)

    def pretraining(self, model: str) -> list[str]:
        """Corpora of a model's first stage."""
        return [self.corpus_table(name) for name in self.experiment.models[model].pretrain or ()]

    def finetuning(self, model: str) -> list[str]:
        """Sets of its second stage: training splits with worked solutions, datasets, files."""
        tables: list[str] = []
        for name in self.experiment.models[model].finetune or ():
            entry = self.experiment.finetuning[name]
            tables += [problems(benchmark, "train") for benchmark in entry.benchmarks or ()]
            tables += self._fetched(None, entry.datasets, entry.files)
        return list(dict.fromkeys(tables))

    def shots(self, model: str, mode: Mode, benchmark: str) -> list[str]:
        """The file of the worked examples that a model is shown, where it is shown any."""
        entry = self.experiment.benchmarks[benchmark].shots
        shown = self.experiment.shots(Cell(model, mode, benchmark))
        return [entry.file] if shown and entry else []

    def asked_problems(self, model: str, mode: Mode) -> list[str]:
        """Test splits that a model answers in a mode, in the order of the benchmarks' names."""
        return [problems(b, "test") for b in self.experiment.benchmarks_of(model, mode)]

    def asked_shots(self, model: str, mode: Mode) -> list[str]:
        """Files of the worked examples of those benchmarks, each once."""
        benchmarks = self.experiment.benchmarks_of(model, mode)
        files = (path for b in benchmarks for path in self.shots(model, mode, b))
        return list(dict.fromkeys(files))

    def shots_arguments(self, model: str, mode: Mode) -> list[str]:
        """For generate_answers.py, benchmark by benchmark: the examples' file, or -."""
        benchmarks = self.experiment.benchmarks_of(model, mode)
        return [next(iter(self.shots(model, mode, b)), "-") for b in benchmarks]

    def states_arguments(self, model: str, mode: Mode) -> list[str]:
        """For generate_answers.py, benchmark by benchmark: the journals of answer_benchmark.py."""
        folder = f"{self.experiment.results}/evaluation/{model}/{mode}"
        return [f"{folder}/{b}/state" for b in self.experiment.benchmarks_of(model, mode)]

    def generated(self, model: str, mode: Mode) -> list[str]:
        """The mark of a model's generated answers, where one job generates them all."""
        if not self.experiment.generates_together(model):
            return []
        return [f"<results>/evaluation/{model}/{mode}/state/generated.json"]

    def evaluations(self, table: str | None = None) -> list[str]:
        """Folders of the evaluations that a table needs, models in row order; or of all tables."""
        experiment = self.experiment
        cells = experiment.evaluations(table) if table else experiment.all_evaluations
        return [evaluation(cell) for cell in cells]

    def histories(self) -> list[str]:
        """Loss histories of everything that is trained."""
        experiment = self.experiment
        return [
            *(f"<results>/synthesizers/{s}/history.jsonl" for s in experiment.trained_synthesizers),
            *(f"<results>/models/{model}/history.jsonl" for model in experiment.trained_models),
        ]

    def figures(self) -> list[str]:
        """All figures, in the order of the report."""
        named = [f"scores.{table}" for table in self.experiment.tables]
        named += ["losses"] if self.histories() else []
        named += [f"influence.{name}" for name in self.experiment.influence]
        return [f"<results>/figures/{name}.svg" for name in ["funnels", *named]]

    def funnels(self) -> list[str]:
        """Counts of what was kept and dropped: of passages, and of each written corpus."""
        written = self.experiment.written_corpora
        return [
            "<results>/corpus/funnel.json",
            *(f"<results>/synthesis/{corpus}/funnel.json" for corpus in written),
        ]

    def tables(self, form: str) -> list[str]:
        """All tables in one form (csv, md, tex, json): those of entries, then of the run."""
        names = [*self.experiment.tables, *self.experiment.run_tables]
        return [f"<results>/tables/{name}.{form}" for name in names]
