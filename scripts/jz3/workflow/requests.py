"""What jobs ask for beside what arithmetic says they need: the table of docs/cluster.md.

python -m jz3.workflow.requests     (in scripts/; `make docs` writes it)

Requests are sizing.py's. The arithmetic goes through the shape of the model once more, part by
part, so that a formula that asks for too little, or for far too much, is seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import sizing, workload
from .experiment import Experiment
from .fetched import HubCheckpoint
from .sizing import Work

PAGE = Path("docs/cluster.md")
BEGIN, END = "<!-- requests, made by `make docs` -->", "<!-- end of requests -->"
COLUMNS = (
    "job",
    "GPUs",
    "CPUs",
    "memory",
    "time",
    "weights, states",
    "gathered",
    "activations",
    "cache",
    "of a GPU",
    "host",
    "hours",
    "remark",
)

LOADED = 2.0  # GB of a GPU that vLLM's graphs and its largest step take
USED = 0.9  # share of a GPU that vLLM takes
LORA_SHARE = 0.015  # of the parameters, rank 128 on the four projections of attention
GRADIENT_TOKENS = 4096  # of one batch, influence.sample_gradients.BATCH_TOKENS on GPUs
READER_GB = 4.0  # of host memory per process
TIGHT = 0.85  # of a GPU's memory
EXCESS = 3.0  # times what is needed


@dataclass(frozen=True)
class Shape:
    """A decoder, as its config.json says: `keys` is the width of the keys of all heads."""

    layers: int
    width: int
    inner: int
    keys: int
    vocabulary: int
    experts: int = 1  # that a token goes through


SHAPES = {
    "deepseek-ai/deepseek-math-7b-rl": Shape(30, 4096, 11008, 4096, 102400),
    "mistralai/Mistral-7B-v0.1": Shape(32, 4096, 14336, 1024, 32000),
    "meta-llama/Meta-Llama-3-8B": Shape(32, 4096, 14336, 1024, 128256),
    "mistralai/Mixtral-8x7B-v0.1": Shape(32, 4096, 14336, 1024, 32000, 2),
    "Qwen/Qwen2.5-7B-Instruct": Shape(28, 3584, 18944, 512, 152064),
    "Qwen/Qwen2.5-Math-1.5B": Shape(28, 1536, 8960, 256, 151936),
    "HuggingFaceTB/SmolLM2-1.7B": Shape(24, 2048, 8192, 2048, 49152),
}


@dataclass(frozen=True)
class Need:
    """What one job needs: gigabytes on each GPU, and of host memory on a node."""

    states: float  # weights, gradients, moments
    gathered: float  # of layers that other GPUs hold
    activations: float
    host: float
    sequences: int = 0  # whose keys and values the rest of the memory holds

    @property
    def gpu(self) -> float:
        """Of each GPU, the cache apart."""
        return self.states + self.gathered + self.activations


def layer_activations(shape: Shape, tokens: int) -> float:
    """Gigabytes of what one layer keeps for its backward pass, in bfloat16."""
    return tokens * 2 * (10 * shape.width + 3 * shape.inner * shape.experts) / 1e9


def logits(shape: Shape, tokens: int) -> float:
    """Gigabytes of the outputs and their gradients, in float32."""
    return tokens * shape.vocabulary * 8 / 1e9


def training(shape: Shape, billions: float, held: int, gpus: int, nodes: int, tokens: int) -> Need:
    """Of full fine-tuning with gradient checkpointing, `tokens` per GPU at once.

    held: bytes per parameter.
    """
    one_layer = billions / shape.layers
    return Need(
        states=held * billions / gpus,
        # two layers in bfloat16, and one layer's gradients in float32
        gathered=(2 * 2 + 4) * one_layer if gpus > 1 else 0.0,
        activations=tokens * shape.width * 2 * shape.layers / 1e9
        + layer_activations(shape, tokens)
        + logits(shape, tokens),
        # all weights in float32, gathered for writing, and their copy in bfloat16
        host=6 * billions + READER_GB * gpus / nodes,
    )


def gradients(shape: Shape, billions: float, tokens: int) -> Need:
    """Of gradients through an adapter: frozen weights in float32, all activations kept."""
    return Need(
        states=4 * billions + sizing.TRAINING_BYTES * LORA_SHARE * billions,
        gathered=0.0,
        activations=shape.layers * layer_activations(shape, tokens) + logits(shape, tokens),
        host=4 * billions + READER_GB,
    )


def generation(shape: Shape, billions: float, gpus: int, room: float, tokens: int) -> Need:
    """Of vLLM on GPUs of `room` gigabytes, for sequences of `tokens`; weights are mapped files."""
    states = sizing.WEIGHT_BYTES * billions / gpus
    cache = gpus * (USED * room - states - LOADED) * 1e9
    per_token = 2 * shape.layers * shape.keys * 2  # keys and values in bfloat16
    return Need(states, 0.0, LOADED, READER_GB * (gpus + 2), int(cache / per_token / tokens))


def need(experiment: Experiment, work: Work) -> Need | None:
    """What a job that uses GPUs needs; None for other jobs, and for models of unknown shape."""
    name = work.name.split("/")[0]
    influence = experiment.influence.get(name)
    length = tokens = 0
    if work.rule == "train_model":
        base, recipe = experiment.models[name].base, experiment.recipe_of(experiment.models[name])
        tokens = recipe.micro_batch * recipe.length
    elif work.rule == "train_synthesizer":
        entry = experiment.trained_synthesizers[name]
        base, recipe = entry.base, experiment.recipe_of(entry)
        tokens = recipe.micro_batch * recipe.length
    elif work.rule == "ask_teacher" and experiment.teacher.serve.checkpoint:
        base = experiment.teacher.serve.checkpoint
        length = sum(workload.lengths(experiment, experiment.distillation[name].mode))
    elif work.rule == "synthesize":
        corpus = experiment.written_corpora[name]
        base = experiment.synthesizers[corpus.synthesizer].start
        length = sum(workload.lengths(experiment, corpus.mode))
    elif work.rule == "synthesize_candidates" and influence:
        base = experiment.synthesizers[influence.synthesizer].start
        length = sum(workload.lengths(experiment, influence.mode))
    elif work.rule in ("generate_answers", "answer_benchmark"):
        base = experiment.models[name].base
        length = workload.QUESTION_TOKENS + experiment.evaluation.max_new_tokens
    elif work.gpus and influence:
        base, recipe = influence.reference.base, experiment.recipe_of(influence)
        tokens = recipe.micro_batch * recipe.length
        if work.rule != "train_reference":
            tokens = max(GRADIENT_TOKENS, recipe.length)
    else:
        return None
    checkpoint = experiment.checkpoints[base]
    shape = SHAPES.get(checkpoint.repository) if isinstance(checkpoint, HubCheckpoint) else None
    if not shape or not work.gpus:
        return None
    if work.rule in ("train_model", "train_synthesizer"):
        held = sizing.OPTIMIZER_BYTES[recipe.optimizer or "adamw"]
        return training(shape, checkpoint.parameters, held, work.gpus, work.nodes, tokens)
    if length:
        memory = float(experiment.sizing.gpu_memory_gb)
        return generation(shape, checkpoint.parameters, work.gpus, memory, length)
    return gradients(shape, checkpoint.parameters, tokens)


def remark(experiment: Experiment, work: Work, needed: Need) -> str:
    """Where a request and the arithmetic do not fit together."""
    room = float(experiment.sizing.gpu_memory_gb)
    found = []
    if needed.gpu > room:
        found.append("does not fit")
    elif needed.gpu > TIGHT * room:
        found.append("tight")
    asked = sizing.memory(work, experiment.sizing) / 1000
    if asked < needed.host:
        found.append("too little host memory")
    elif asked > EXCESS * needed.host:
        found.append(f"{asked / needed.host:.0f} times the host memory needed")
    if sizing.minutes(work, experiment.sizing) < 60 * work.whole_hours:
        found.append("continued by further attempts")
    return "; ".join(found)


def jobs(experiment: Experiment) -> Iterator[tuple[Work, Need | None]]:
    """The longest job of each rule and size, in the order of the stages."""
    longest: dict[tuple[str, int, int, float], Work] = {}
    for work in workload.plan(experiment).values():
        if work.rule == "fetch_model":  # runs beside Snakemake, and asks nobody
            continue
        needed = need(experiment, work)
        if work.gpus and needed is None:
            continue
        size = round(needed.states, 1) if needed else 0.0
        key = (work.rule, work.gpus, work.nodes, size)
        if key not in longest or work.whole_hours > longest[key].whole_hours:
            longest[key] = work
    for work in longest.values():
        yield work, need(experiment, work)


def row(experiment: Experiment, work: Work, needed: Need | None) -> list[str]:
    """One line of the table, cell by cell."""
    settings = experiment.sizing
    cells = [
        f"`{work.rule}` {work.name}",
        f"{work.gpus} on {work.nodes} nodes" if work.nodes > 1 else str(work.gpus or "-"),
        str(sizing.CPUS_PER_GPU * work.gpus // work.nodes or "-"),
        f"{sizing.memory(work, settings) / 1000:.0f}",
        f"{sizing.minutes(work, settings) / 60:.1f}",
    ]
    if needed is None:
        return [*cells, *["-"] * 6, f"{work.whole_hours:.1f}", ""]
    return [
        *cells,
        f"{needed.states:.1f}",
        f"{needed.gathered:.1f}" if needed.gathered else "-",
        f"{needed.activations:.1f}",
        f"{needed.sequences}" if needed.sequences else "-",
        f"{needed.gpu:.0f} of {settings.gpu_memory_gb:g}",
        f"{needed.host:.0f}",
        f"{work.whole_hours:.1f}",
        remark(experiment, work, needed),
    ]


def table(experiment: Experiment) -> str:
    """The table in Markdown, between its marks."""
    lines = [list(COLUMNS), ["---", *["---:"] * (len(COLUMNS) - 2), "---"]]
    lines += [row(experiment, work, needed) for work, needed in jobs(experiment)]
    return "\n".join([BEGIN, *(f"| {' | '.join(cells)} |" for cells in lines), END])


def page(experiment: Experiment, text: str) -> str:
    """The page with the table in its place."""
    before, _, rest = text.partition(BEGIN)
    return before + table(experiment) + rest.partition(END)[2]


if __name__ == "__main__":
    import yaml

    root = Path(__file__).parents[3]
    shipped = yaml.safe_load((root / "config.paper.yaml").read_text(encoding="utf-8"))
    text = (root / PAGE).read_text(encoding="utf-8")
    (root / PAGE).write_text(page(Experiment.model_validate(shipped), text), encoding="utf-8")
