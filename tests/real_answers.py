"""Gold answers of the benchmarks and final answers of the released corpora, where a user has them.

The files are no part of the project: `ln -s FOLDER tests/real` makes them known to the tests.
"""

import json
import random
import re
from pathlib import Path

from jz3.boxes import last_boxed
from jz3.grading.extraction import extract_answer

FOLDER = Path(__file__).parent / "real"
_LETTERS = "ABCDE"
# Benchmark -> file under benchmarks/, and the gold answer of one of its rows.
BENCHMARKS = {
    "gsm8k": ("gsm8k/test.jsonl", lambda row: row["answer"].split("####")[1].strip()),
    "gsm8k_train": ("gsm8k/train.jsonl", lambda row: row["answer"].split("####")[1].strip()),
    "math": ("math/test.jsonl", lambda row: last_boxed(row["solution"])),
    "math500": ("math500/test.jsonl", lambda row: row["answer"]),
    "svamp": ("svamp/test.jsonl", lambda row: str(row["Answer"])),
    "asdiv": ("asdiv/test.jsonl", lambda row: re.sub(r" *\([^)]*\)", "", row["answer"])),
    "aqua": ("aqua/test.jsonl", lambda row: row["correct"]),
    "sat_math": ("sat_math/test.jsonl", lambda row: row["Answer"]),
    "mmlu_stem": ("mmlu_stem/test.jsonl", lambda row: _LETTERS[row["answer"]]),
    "minerva_math": ("minerva_math/test.jsonl", lambda row: last_boxed(row["solution"])),
}


def _rows(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def gold_answers(folder: Path = FOLDER) -> dict[str, list[str]]:
    """Gold answers of every benchmark whose file is under `folder`/benchmarks."""
    return {
        name: [gold(row) for row in _rows(folder / "benchmarks" / path)]
        for name, (path, gold) in BENCHMARKS.items()
        if (folder / "benchmarks" / path).is_file()
    }


def released_answers(folder: Path = FOLDER) -> list[str]:
    """Final answers of the solutions in the release's samples of its corpora."""
    files = sorted((folder / "released").glob("*.jsonl"))
    found = [extract_answer(row["output"]) for path in files for row in _rows(path)]
    return [answer for answer in found if answer]


def shuffled(answers: list[str], seed: int = 0) -> list[str]:
    """The answers in another order: most of them are wrong for the problem at their place."""
    return random.Random(seed).sample(answers, len(answers))
