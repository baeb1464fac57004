"""The tables that stages hand to each other: one Arrow schema per product.

Identity is by content hash, never by position. `io.read_table` checks a file against its schema.
"""

import pyarrow as pa

from .io import digest

_S, _I, _F, _B = pa.string(), pa.int32(), pa.float64(), pa.bool_()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


# <results>/corpus/passages.parquet: one row per passage of raw text.
# kind: web | textbook | wiki | paper | qa | reference; position: place within its document.
PASSAGES = _schema(passage_id=_S, source=_S, kind=_S, document_id=_S, position=_I, text=_S)

# <results>/benchmarks/{benchmark}/{split}.parquet. `answer` is the bare gold answer; `solution`
# the worked text (may be empty); `program` a worked Python solution (may be empty); `subject`
# names the subtask (may be empty); `choices` is empty unless multiple choice.
BENCHMARK = _schema(
    problem_id=_S, benchmark=_S, split=_S, subject=_S, question=_S, answer=_S,
    solution=_S, program=_S, choices=pa.list_(_S),
)  # fmt: skip

# Which passages the teacher sees, and at which level. `score` is the influence score (null for
# random picks).
PICKS = _schema(passage_id=_S, source=_S, level=_S, mode=_S, score=_F, text=_S)

# A prompt to a model that writes problems. `request_id` hashes passage, level, mode and prompt.
PROMPTS = _schema(request_id=_S, passage_id=_S, source=_S, level=_S, mode=_S, prompt=_S)

# What a model answered. Failed, truncated or unparsable completions are kept and counted.
# finish_reason: stop | length | error; cost in dollars.
COMPLETIONS = _schema(
    request_id=_S, prompt_digest=_S, text=_S, finish_reason=_S, prompt_tokens=_I,
    completion_tokens=_I, model=_S, cost=_F,
)  # fmt: skip

# Knowledge-distillation pairs: `prompt` -> `completion` (the text the synthesizer learns to
# write), and the parts of that completion.
PAIRS = _schema(
    request_id=_S, passage_id=_S, source=_S, level=_S, mode=_S, prompt=_S, completion=_S,
    question=_S, solution=_S, model=_S,
)  # fmt: skip

# Synthetic problems. mode: cot | tool. `answer` is the final answer as text ("" if none).
# Checks are null while not made. `status` is "kept" or the name of the check that rejected it:
# truncated | unparsed | incomplete | not_executed | disagrees | duplicate | contaminated.
PROBLEMS = _schema(
    problem_id=_S, passage_id=_S, source=_S, level=_S, mode=_S, question=_S, solution=_S,
    answer=_S, completion=_S, prompt=_S, finish_reason=_S, completion_tokens=_I,
    parsed=_B, executed=_B, answer_agrees=_B, duplicate_of=_S, contaminated_by=_S, status=_S,
)  # fmt: skip

# <results>/influence/{influence}/scores.parquet: one row per candidate problem, with one further
# column `score_<target>` per target; `total` aggregates them.
SCORES = _schema(problem_id=_S, passage_id=_S, source=_S, level=_S, mode=_S, tokens=_I, total=_F)
# The same of one shard, before they are aggregated.
SHARD_SCORES = pa.schema([field for field in SCORES if field.name != "total"])

# Training input after packing: each row is one sequence of whole documents. `labels` is -100
# where no loss is taken; `positions` restart at 0 with each document. stage: pretrain | finetune.
PACKS = _schema(stage=_S, input_ids=pa.list_(_I), labels=pa.list_(_I), positions=pa.list_(_I))

# Answers of a model to a benchmark. `text` is everything the model wrote (with ```output blocks
# pasted in tool mode); `rounds` counts generate/execute rounds (1 in cot mode).
ANSWERS = _schema(
    problem_id=_S, benchmark=_S, sample=_I, question=_S, gold=_S, choices=pa.list_(_S),
    prompt=_S, text=_S, finish_reason=_S, prompt_tokens=_I, completion_tokens=_I, rounds=_I,
)  # fmt: skip

# Verdicts per answer: `strict` and `released` (the authors' rules); `predicted` is the extracted
# answer ("" if none was found).
GRADES = _schema(
    problem_id=_S, benchmark=_S, sample=_I, gold=_S, predicted=_S, strict=_B, released=_B,
)  # fmt: skip


def passage_id(text: str) -> str:
    """Identity of a passage: a hash of its text."""
    return digest(text)


def problem_id(question: str, *distinguishing: str) -> str:
    """Identity of a problem: a hash of its question and whatever tells equal questions apart."""
    return digest([question, *distinguishing])
