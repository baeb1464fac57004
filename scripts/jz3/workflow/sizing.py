"""What one job asks of a cluster: GPUs, nodes, memory and time, by the size of its model.

docs/cluster.md explains the formulas; the configuration's `sizing` says what a GPU does.
"""

import math
from dataclasses import dataclass

from .. import io
from .settings import Sizing

TRAINING_BYTES = 16  # per parameter: float32 weights, gradients and two moments
# By optimizer; what Adafactor keeps of a matrix is a row and a column.
OPTIMIZER_BYTES = {"adamw": TRAINING_BYTES, "adafactor": 8}
WEIGHT_BYTES = 2  # per parameter of a stored or serving model, bfloat16
QUANTISED_BYTES = 0.65  # in a GGUF file of four bits (Q4_K_M: 4.85 bits, embeddings more)
FILLED = 0.75  # share of a GPU's memory for weights and moments; the rest is activations
GENERATION_FILLED = 0.6  # share for weights; the rest is the cache of keys and values
CPUS_PER_GPU = 4
PROGRAM_MB = 4000  # of host memory for the interpreter and its libraries
NODE_SHARE = 950  # megabytes of each gigabyte of a node that jobs may ask for
SAFETY = 1.5  # time asked for, over the estimate
START_MINUTES = 30  # time asked for beside the work: loading, compiling, saving
NOTICE_MINUTES = 30  # and before whose end a training is asked to stop (profiles/slurm)
POOL_SHARE = 0.5  # host memory for joining passages, per byte of their files (0.3 measured)
DRAW_BYTES = 3_000  # of host memory per prompt drawn: a passage of 1,000 characters
# Minutes until an engine computes, beside reading its weights: loading libraries; for vLLM also
# compiling and capturing graphs (2 to 4 minutes in all are expected on GPUs; 85 to 115 s were
# measured for a 135M model with vLLM 0.32 on two cores, 2 s with transformers beside the imports).
START_OF_ENGINE = {"transformers": 0.2, "vllm": 2.5, "llamacpp": 0.1}
READ_RATE = 1e9  # bytes of weights read per second


@dataclass(frozen=True)
class Work:
    """Equal jobs of one rule for one entry of the configuration."""

    stage: str
    rule: str
    name: str
    jobs: int = 1
    gpus: int = 0  # per job, over all its nodes
    nodes: int = 1
    memory_mb: int = PROGRAM_MB  # of host memory per node
    tokens: float = 0.0  # read and written by all jobs
    hours: float = 0.0  # of one job, from when its model is there
    start_hours: float = 0.0  # of one job, until the engine that runs its model has started
    dollars: float = 0.0  # paid to the teacher's provider
    disk: float = 0.0  # bytes left behind

    @property
    def whole_hours(self) -> float:
        """Hours of one job."""
        return self.start_hours + self.hours

    @property
    def gpu_hours(self) -> float:
        """GPU-hours of all jobs, starts included."""
        return self.jobs * self.gpus * self.whole_hours


# ---------------------------------------------------------------- one job


def training_gpus(
    sizing: Sizing, billions: float, wanted: int, shares: int, held: int = TRAINING_BYTES
) -> int:
    """GPUs of a full fine-tuning job: at least `wanted`, as many as hold the model.

    billions: parameters, all of them held, though a mixture of experts uses a part at a time.
    shares: micro-batches of an update, which the GPUs must divide evenly. held: bytes per
    parameter. Beyond one node the GPUs fill whole nodes. Raises UserError where no number does.
    """
    if not wanted:
        return 0
    room = sizing.gpu_memory_gb * FILLED
    needed = max(wanted, math.ceil(held * billions / room))
    per_node = sizing.gpus_per_node
    for gpus in range(needed, shares + 1):
        if shares % gpus == 0 and (gpus <= per_node or gpus % per_node == 0):
            return gpus
    raise io.UserError(
        f"a model of {billions:g}B takes {needed} GPUs or more, and none of these numbers divides"
        f" an update of {shares} micro-batches evenly over nodes of {per_node}. Change"
        " global_batch, micro_batch or compute.gpus.train."
    )


def generation_gpus(
    sizing: Sizing, billions: float, wanted: int, held: float = WEIGHT_BYTES
) -> int:
    """GPUs that share one model in generation: `wanted`, or the power of two that holds it."""
    if not wanted:
        return 0
    room = sizing.gpu_memory_gb * GENERATION_FILLED
    return max(wanted, 1 << max(0, math.ceil(math.log2(held * billions / room))))


def nodes_of(sizing: Sizing, gpus: int) -> int:
    """Nodes that `gpus` GPUs fill."""
    return max(1, math.ceil(gpus / sizing.gpus_per_node))


def training_memory(sizing: Sizing, billions: float, gpus: int) -> int:
    """Megabytes of host memory on a node of a training job.

    On GPUs: the checkpoint in float32 once (the first process reads it, the others receive their
    shards) and once more to write it. Without: all that training holds.
    """
    held = 8 if gpus else TRAINING_BYTES + 8
    processes = max(1, min(gpus, sizing.gpus_per_node))
    return int(PROGRAM_MB * processes + 1000 * held * billions)


def generation_memory(billions: float, held: float = WEIGHT_BYTES) -> int:
    """Megabytes of host memory of a job that reads a model on the host: read, and held."""
    return int(PROGRAM_MB + 1000 * 3 * held * billions)


def mapped_memory(billions: float, gpus: int, held: float = WEIGHT_BYTES) -> int:
    """Megabytes of host memory of vLLM on GPUs: a process for each, the files mapped once."""
    return int(PROGRAM_MB * gpus + 1000 * held * billions)


def minutes(work: Work, sizing: Sizing, attempt: int = 1) -> int:
    """Minutes to ask for: the estimate with a margin, more at each attempt, at most the longest.

    Work that takes longer than the longest job is continued by the next attempt. Work of unknown
    length (texts of the user's, corpora that use every passage) asks for the longest.
    """
    longest = 60 * sizing.longest_job_hours
    if not work.hours:
        return math.ceil(longest)
    beside = START_MINUTES + NOTICE_MINUTES * work.rule.startswith("train_")
    return math.ceil(min(beside + 60 * SAFETY * work.whole_hours * attempt, longest))


def memory(work: Work, sizing: Sizing, attempt: int = 1) -> int:
    """Megabytes of host memory to ask for per node: half as much again at each further attempt."""
    return int(min(work.memory_mb * (1 + attempt) / 2, NODE_SHARE * sizing.node_memory_gb))


def engine_start_hours(engine: str, billions: float, held: float = WEIGHT_BYTES) -> float:
    """Hours that an engine takes to start: every job of generation starts one."""
    return START_OF_ENGINE[engine] / 60 + held * billions * 1e9 / READ_RATE / 3600


def computing_hours(flop: float, tflops: float, gpus: int) -> float:
    """Hours that so many operations take at a speed (10^12 per second and GPU; 0 GPUs: here)."""
    return flop / (tflops * 1e12 * max(1, gpus)) / 3600
