"""What each program is told: the type of its --recipe, and how the experiment makes one.

Rules pass the identity part as a param and the conduct part beside it (rules/common.smk); a program
checks both against the type before it starts.
"""

from typing import Any, Literal, TypeVar

from .entries import Collection, Distillation, Split, Table, Target, WrittenCorpus
from .environments import Stack
from .experiment import Cell, Experiment
from .fetched import FetchedFile, FetchedTable, Weights
from .keys import Number, Part, Several, key
from .settings import (
    MODE,
    Evaluation,
    Execution,
    Filter,
    Filtering,
    Limits,
    Lora,
    Mode,
    Passage,
    Projection,
    Protection,
    Recipe,
    Sampling,
    Teacher,
    Vllm,
)

Made = TypeVar("Made", bound=Part)
Template = Literal["jiuzhang", "plain", "chat"]
Dtype = Literal["bfloat16", "float32"]  # what `auto` means is settled before a job starts


class Numerics(Part):
    """Settings of programs that compute with torch."""

    threads: int = key("Torch threads.", ge=1)
    dtype: Dtype = key("Number type of weights and autocast.")


class Generation(Numerics):
    """Settings of programs that generate text."""

    engine: Literal["transformers", "vllm", "llamacpp"] = key("Engine that runs the model.")
    batch: int = key("Sequences generated together by the transformers engine.", ge=1)
    vllm: Vllm | None = key("Settings of the vllm engine.", default=None)
    caches: str | None = key(
        "Folder for what the vllm engine compiles.", conduct=True, default=None
    )


# ---------------------------------------------------------------- sources, corpus, benchmarks


class FetchFile(FetchedFile):
    """fetch_file.py"""


class FetchDataset(FetchedTable):
    """fetch_dataset.py"""


class FetchModel(Part):
    """fetch_model.py"""

    weights: Weights = key("An entry of `checkpoints`.")
    dtype: Dtype = key("Number type of the stored weights.")


class ExtractPassages(Part):
    """extract_passages.py"""

    source: Collection = key("An entry of `corpus.sources`.")
    passage: Passage = key("Size and number of passages.")


class PrepareBenchmark(Part):
    """prepare_benchmark.py"""

    split: Split = key("A split of an entry of `benchmarks`.")


def fetch_file(experiment: Experiment, source: str) -> FetchFile:
    """One file, by content."""
    return _taken(FetchFile, experiment.sources[source])


def fetch_dataset(experiment: Experiment, dataset: str) -> FetchDataset:
    """One split of a hub dataset."""
    return _taken(FetchDataset, experiment.datasets[dataset])


def fetch_model(experiment: Experiment, checkpoint: str) -> FetchModel:
    """One plain checkpoint."""
    entry = experiment.checkpoints[checkpoint].identity()
    return FetchModel.model_validate(
        {"weights": entry, "dtype": experiment.numerics("train")["dtype"]}
    )


def extract_passages(experiment: Experiment, collection: str) -> ExtractPassages:
    """One collection's passages."""
    corpus = experiment.corpus
    return ExtractPassages(source=corpus.sources[collection], passage=corpus.passage)


def prepare_benchmark(experiment: Experiment, benchmark: str, split: str) -> PrepareBenchmark:
    """One split."""
    return PrepareBenchmark(split=experiment.split(benchmark, split))


# ---------------------------------------------------------------- distillation, synthesizers


class PickPassages(Part):
    """pick_passages.py"""

    distillation: Distillation = key("An entry of `distillation`.")


class AskTeacher(Teacher):
    """ask_teacher.py"""

    mode: Mode = key(MODE)
    threads: int = key("Threads of a local server.", ge=1)


class ParsePairs(Part):
    """parse_pairs.py"""

    mode: Mode = key(MODE)
    structured: bool = key("The teacher was asked for JSON by schema.")


class Training(Recipe, Numerics):
    """train_synthesizer.py, train_model.py"""


def pick_passages(experiment: Experiment, distillation: str) -> PickPassages:
    """What the teacher sees."""
    return PickPassages(distillation=experiment.distillation[distillation])


def ask_teacher(experiment: Experiment, distillation: str) -> AskTeacher:
    """What decides the teacher's answers, and how they are fetched."""
    mode = experiment.distillation[distillation].mode
    return _taken(AskTeacher, experiment.teacher, mode=mode, threads=experiment.compute.threads)


def parse_pairs(experiment: Experiment, distillation: str) -> ParsePairs:
    """How the teacher's answers are read."""
    mode = experiment.distillation[distillation].mode
    return ParsePairs(mode=mode, structured=experiment.teacher.structured)


def train_synthesizer(experiment: Experiment, synthesizer: str) -> Training:
    """Hyper-parameters of a synthesizer's training."""
    entry = experiment.trained_synthesizers[synthesizer]
    return _taken(Training, experiment.recipe_of(entry), **experiment.numerics())


# ---------------------------------------------------------------- influence


class SynthesizeCandidates(Generation):
    """synthesize_candidates.py"""

    mode: Mode = key(MODE)
    passages: int = key("Candidate passages.", ge=1)
    sampling: Sampling = key("How the synthesizer writes.")


class TrainReference(Training):
    """train_reference.py"""

    share: Number = key("Share of the candidates it is trained on.", gt=0, le=1)
    lora: Lora = key("Adapter that is trained.")


class _Gradients(Numerics):
    lora: Lora = key("Adapter through which gradients are taken.")
    length: int = key("Longest sample.", unit="tokens", ge=16)


class TargetGradients(_Gradients):
    """target_gradients.py"""

    mode: Mode = key(MODE)
    targets: Several[Target] = key("Problems, a table each.", min_length=1)
    projection: Projection = key("How gradients are shortened.")


class ScoreInfluence(_Gradients):
    """score_influence.py"""

    feature: Literal["released", "adam"] = key("Candidate feature.")
    shards: int = key("Shards of the candidates.", ge=1)


class StoreFeatures(ScoreInfluence):
    """store_features.py"""

    projection: Projection = key("How gradients are shortened.")


class AggregateScores(Part):
    """aggregate_scores.py"""

    aggregate: Literal["max", "mean"] = key("Over subtasks.")


def synthesize_candidates(experiment: Experiment, influence: str) -> SynthesizeCandidates:
    """How candidates are written."""
    entry = experiment.influence[influence]
    return _taken(SynthesizeCandidates, entry, **experiment.generation())


def train_reference(experiment: Experiment, influence: str) -> TrainReference:
    """How the reference model is trained."""
    entry = experiment.influence[influence]
    recipe = experiment.recipe_of(entry)
    own = {"share": entry.reference.share, "lora": entry.lora}
    return _taken(TrainReference, recipe, **experiment.numerics(), **own)


def _gradients(experiment: Experiment, influence: str) -> dict[str, Any]:
    length = experiment.recipe_of(experiment.influence[influence]).length
    return {**experiment.numerics(), "length": length}


def target_gradients(experiment: Experiment, influence: str) -> TargetGradients:
    """How the targets' gradients are taken."""
    entry = experiment.influence[influence]
    return _taken(TargetGradients, entry, **_gradients(experiment, influence))


def store_features(experiment: Experiment, influence: str) -> StoreFeatures:
    """How the candidates' gradients are stored."""
    entry = experiment.influence[influence]
    return _taken(StoreFeatures, entry, **_gradients(experiment, influence))


def score_influence(experiment: Experiment, influence: str) -> ScoreInfluence:
    """How candidates are scored."""
    entry = experiment.influence[influence]
    return _taken(ScoreInfluence, entry, **_gradients(experiment, influence))


def aggregate_scores(experiment: Experiment, influence: str) -> AggregateScores:
    """How scores of subtasks become one."""
    return AggregateScores(aggregate=experiment.influence[influence].aggregate)


# ---------------------------------------------------------------- synthesis, training


class DrawPrompts(Part):
    """draw_prompts.py"""

    mode: Mode = key(MODE)
    prompts: int = key("Pairs of passage and level; 0: all.", ge=0)
    shards: int = key("Tables that they are dealt out to.", ge=1)


class Synthesize(Generation):
    """synthesize.py"""

    sampling: Sampling = key("How the synthesizer writes.")


class ExecuteSolutions(Execution):
    """execute_solutions.py"""


class FilterProblems(Filtering):
    """filter_problems.py"""

    filters: Several[Filter] = key("Checks, in order.")


class DataCard(WrittenCorpus):
    """data_card.py"""

    corpus: str = key("Name of the corpus.")


class PackCorpus(Part):
    """pack_corpus.py"""

    length: int = key("Tokens per packed sequence.", unit="tokens", ge=16)
    modes: Several[Mode] = key("Kinds of solution taken from benchmarks.")


def draw_prompts(experiment: Experiment, corpus: str) -> DrawPrompts:
    """What is drawn for a corpus."""
    return _taken(DrawPrompts, experiment.written_corpora[corpus])


def synthesize(experiment: Experiment, corpus: str) -> Synthesize:
    """How a corpus is written."""
    return _taken(Synthesize, experiment.written_corpora[corpus], **experiment.generation())


def execute_solutions(experiment: Experiment) -> ExecuteSolutions:
    """How model-written programs are run, and what becomes of answers that they do not print."""
    return _taken(ExecuteSolutions, experiment.execution)


def filter_problems(experiment: Experiment, corpus: str) -> FilterProblems:
    """What a corpus is checked for."""
    filters = experiment.written_corpora[corpus].filters
    return _taken(FilterProblems, experiment.filtering, filters=filters)


def data_card(experiment: Experiment, corpus: str) -> DataCard:
    """What a card says of how a corpus was made."""
    return _taken(DataCard, experiment.written_corpora[corpus], corpus=corpus)


def pack_corpus(experiment: Experiment, model: str) -> PackCorpus:
    """How a model's training data is packed."""
    length = experiment.recipe_of(experiment.models[model]).length
    return PackCorpus(length=length, modes=tuple(experiment.finetune_modes(model)))


def train_model(experiment: Experiment, model: str) -> Training:
    """Hyper-parameters of a model's training."""
    recipe = experiment.recipe_of(experiment.models[model])
    return _taken(Training, recipe, **experiment.numerics())


# ---------------------------------------------------------------- evaluation, tables


class AnswerBenchmark(Generation):
    """answer_benchmark.py; settings of the other mode are not given."""

    temperature: Number = key("Sampling temperature; 0: greedy.", ge=0, le=2)
    top_p: Number = key("Nucleus.", gt=0, le=1)
    samples: int = key("Answers per problem.", ge=1)
    max_new_tokens: int = key("Longest answer per round.", unit="tokens", ge=1)
    template: Template = key("How questions are put.")
    shots: int | None = key("cot: worked examples shown.", ge=0, default=None)
    tool_rounds: int | None = key("tool: rounds.", ge=1, default=None)
    execution: Limits | None = key("tool: limits of programs.", default=None)


class GenerateAnswers(Part):
    """generate_answers.py"""

    benchmarks: dict[str, AnswerBenchmark] = key("What answer_benchmark.py is told, by benchmark.")


class Row(Part):
    """What a table is told of a model."""

    paper_row: str | None = key("Row of the paper's table that it replicates.", default=None)


class BuildTable(Table):
    """build_table.py"""

    confidence: Number = key("Level of the intervals.", gt=0, lt=1)
    subsets: Several[str] = key("Benchmarks of which a fixed part is used.")
    sizes: dict[str, int] = key("Problems of whole test sets, where known.")
    rows: dict[str, Row] = key("By model.")


class BuildCostTable(Part):
    """build_cost_table.py"""

    gpus: dict[str, dict[str, int]] = key("GPUs of a job, by rule and name.")
    gpu_hour_dollars: Number = key("Price of a GPU-hour.", unit="dollars", ge=0)


class BuildInfluenceTable(Part):
    """build_influence_table.py"""

    confidence: Number = key("Level of the intervals.", gt=0, lt=1)


class InfluenceCard(Part):
    """influence_card.py"""

    influence: str = key("Name of the influence entry.")
    picked: int = key("Passages picked by its scores.", ge=0)


class CheckNode(Part):
    """check_node.py: what the largest job of a kind asks of one node."""

    results: str = key("Folder of all products.")
    gpus: int = key("GPUs.", ge=0)
    memory_mb: int = key("Host memory.", unit="MB", ge=0)
    disk: Number = key("What the run leaves on the disk.", unit="bytes", ge=0)
    gpu_memory_gb: Number = key("Memory of one GPU.", unit="GB", gt=0)
    dtype: Dtype = key("Number type that jobs compute in.")
    stack: Stack = key("Software that such jobs use: envs/<stack>.lock.")
    accept_versions: Several[str] | None = key("Packages of any version.", default=None)
    accept_missing: Several[Protection] | None = key("What a sandbox may lack.", default=None)


class AdmitJobs(Part):
    """admit_jobs.py"""

    dtype: Dtype = key("Number type that jobs compute in, as this machine resolves it.")


def answer_benchmark(
    experiment: Experiment, model: str, mode: Mode, benchmark: str
) -> AnswerBenchmark:
    """What decides a model's answers."""
    settings: Evaluation = experiment.evaluation
    own: dict[str, Any] = {"template": experiment.models[model].template}
    if mode == "tool":
        own |= {
            "tool_rounds": settings.tool_rounds,
            "execution": _taken(Limits, experiment.execution),
        }
    else:
        own |= {"tool_rounds": None, "shots": experiment.shots(Cell(model, mode, benchmark))}
    return _taken(AnswerBenchmark, settings, **experiment.generation(), **own)


def generate_answers(experiment: Experiment, model: str, mode: Mode) -> GenerateAnswers:
    """What decides a model's answers to all its benchmarks of a mode."""
    return GenerateAnswers(
        benchmarks={
            benchmark: answer_benchmark(experiment, model, mode, benchmark)
            for benchmark in experiment.benchmarks_of(model, mode)
        }
    )


def build_table(experiment: Experiment, table: str) -> BuildTable:
    """What a table shows."""
    entry = experiment.tables[table]
    return _taken(
        BuildTable,
        entry,
        confidence=experiment.evaluation.confidence,
        subsets=tuple(experiment.subsets(table)),
        sizes=experiment.whole_sizes(table),
        rows={name: Row(paper_row=experiment.models[name].paper_row) for name in entry.models},
    )


def build_influence_table(experiment: Experiment) -> BuildInfluenceTable:
    """What the table of influence scores shows."""
    return BuildInfluenceTable(confidence=experiment.evaluation.confidence)


def influence_card(experiment: Experiment, influence: str) -> InfluenceCard:
    """What the card of an influence entry is told."""
    return InfluenceCard(influence=influence, picked=experiment.picked_by(influence))


def _taken(kind: type[Made], entry: Part, **own: Any) -> Made:
    """A recipe of what an entry holds of it, and of what is given beside."""
    words = type(entry).model_fields.keys() & kind.model_fields.keys() - own.keys()
    return kind(**{word: getattr(entry, word) for word in words}, **own)
