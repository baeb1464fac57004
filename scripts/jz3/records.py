"""The tables that stages hand to each other: one type of row, and the Arrow schema made from it.

Identity is by content hash, never by position. `io.read_table` checks a file against its schema.
"""

from types import NoneType
from typing import TypedDict, get_args, get_origin, get_type_hints

import pyarrow as pa

from .io import digest


class Passage(TypedDict):
    """<results>/corpus/passages.parquet: one row per passage of raw text.

    kind: web | textbook | wiki | paper | qa | reference; position: place within its document.
    """

    passage_id: str
    source: str
    kind: str
    document_id: str
    position: int
    text: str


class BenchmarkProblem(TypedDict):
    """<results>/benchmarks/{benchmark}/{split}.parquet.

    answer: the bare gold answer; solution: the worked text, program: a worked Python solution,
    subject: the subtask's name (each may be empty); choices: empty unless multiple choice.
    """

    problem_id: str
    benchmark: str
    split: str
    subject: str
    question: str
    answer: str
    solution: str
    program: str
    choices: list[str]


class Pick(TypedDict):
    """A passage that the teacher sees, and at which level; score: influence, None if random."""

    passage_id: str
    source: str
    level: str
    mode: str
    score: float | None
    text: str


class Prompt(TypedDict):
    """A prompt to a model that writes problems.

    request_id hashes passage, level, mode and prompt.
    """

    request_id: str
    passage_id: str
    source: str
    level: str
    mode: str
    prompt: str


class Completion(TypedDict):
    """What a model answered; what failed, was cut or says nothing is kept and counted.

    finish_reason: stop | length | error; cost in dollars.
    """

    request_id: str
    prompt_digest: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    model: str
    cost: float


class Pair(TypedDict):
    """A pair of distillation: prompt -> completion (what the synthesizer learns to write).

    question and solution are the parts of that completion.
    """

    request_id: str
    passage_id: str
    source: str
    level: str
    mode: str
    prompt: str
    completion: str
    question: str
    solution: str
    model: str


class Problem(TypedDict):
    """A synthetic problem; mode: cot | tool; answer: the final answer as text ("" if none).

    Checks are None while not made. status: "kept", or why it was rejected
    (`synthesis.filters`).
    """

    problem_id: str
    passage_id: str
    source: str
    level: str
    mode: str
    question: str
    solution: str
    answer: str
    completion: str
    prompt: str
    finish_reason: str
    completion_tokens: int
    parsed: bool | None
    executed: bool | None
    answer_agrees: bool | None
    duplicate_of: str | None
    contaminated_by: str | None
    status: str


class ShardScore(TypedDict):
    """A candidate problem of one shard, before shards are joined; tokens: its length.

    The table has one further column `score_<target>` per target.
    """

    problem_id: str
    passage_id: str
    source: str
    level: str
    mode: str
    tokens: int


class Score(ShardScore):
    """<results>/influence/{influence}/scores.parquet; total: one number of all targets' scores."""

    total: float | None


class Pack(TypedDict):
    """Training input after packing: one sequence of whole documents; stage: pretrain | finetune.

    labels are -100 where no loss is taken; positions restart at 0 with each document.
    """

    stage: str
    input_ids: list[int]
    labels: list[int]
    positions: list[int]


class Answer(TypedDict):
    """A model's answer to a benchmark's problem.

    text: all that the model wrote (with ```output blocks pasted in tool mode); rounds: of
    generation and execution (1 in cot mode).
    """

    problem_id: str
    benchmark: str
    sample: int
    question: str
    gold: str
    choices: list[str]
    prompt: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    rounds: int


class Grade(TypedDict):
    """Verdicts on an answer: `strict`, and `released` by the authors' rules.

    predicted: the answer that was read in the text ("" if none was found).
    """

    problem_id: str
    benchmark: str
    sample: int
    gold: str
    predicted: str
    strict: bool
    released: bool


_ARROW: dict[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int32(),
    float: pa.float64(),
    bool: pa.bool_(),
}


def _arrow(kind: object) -> pa.DataType:
    if get_origin(kind) is list:
        return pa.list_(_arrow(get_args(kind)[0]))
    if NoneType in get_args(kind):
        return _arrow(get_args(kind)[0])
    return _ARROW[kind]


def schema_of(row: type) -> pa.Schema:
    """The Arrow schema of a type of row: its columns in their order (every column may be null)."""
    return pa.schema([pa.field(name, _arrow(kind)) for name, kind in get_type_hints(row).items()])


PASSAGES = schema_of(Passage)
BENCHMARK = schema_of(BenchmarkProblem)
PICKS = schema_of(Pick)
PROMPTS = schema_of(Prompt)
COMPLETIONS = schema_of(Completion)
PAIRS = schema_of(Pair)
PROBLEMS = schema_of(Problem)
SHARD_SCORES = schema_of(ShardScore)
SCORES = schema_of(Score)
PACKS = schema_of(Pack)
ANSWERS = schema_of(Answer)
GRADES = schema_of(Grade)


def passage_id(text: str) -> str:
    """Identity of a passage: a hash of its text."""
    return digest(text)


def problem_id(question: str, *distinguishing: str) -> str:
    """Identity of a problem: a hash of its question and whatever tells equal questions apart."""
    return digest([question, *distinguishing])
