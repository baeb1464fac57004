"""Rates of the corpus's comparisons, and what the search for test problems finds and does not.

    python tests/performance/filtering.py --tests FOLDER --problems problems.jsonl

FOLDER: one JSON-lines file of test problems per benchmark, `<name>.jsonl` or `<name>/test.jsonl`,
with `question` or `problem` (or SVAMP's columns); problems: JSON lines with `question` or, as in the release, `input`.
Each is repeated `--times` times with another ending, which makes half of them near copies. Problems
per second of processor time, one core, words included; datasketch (MinHash and LSH, then the exact
similarity) beside ours where it is installed. Then 300 problems of each of the first test sets with
other numbers, with light rewording, and with both: the share that is found; and of the problems as
they are the share that is called contaminated. Ends with one line of JSON.
"""

import argparse
import json
import random
import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from jz3.synthesis.contamination import TestQuestions, Thresholds  # noqa: E402
from jz3.synthesis.duplicates import in_batches, near_duplicates, same_template  # noqa: E402

SETTINGS = {"similarity": 0.7, "shingle": 5, "permutations": 128, "seed": 1}
THRESHOLDS = Thresholds(0.34, 0.41)  # as shipped
CHANGED = 300
NAMES = ["Liam", "Olivia", "Noah", "Emma", "Ravi", "Mei", "Carlos", "Aisha", "Tom", "Sofia"]
REWORDED = {
    "how many": "what number of", "has": "owns", "have": "own", "each": "every", "also": "as well",
    "total": "overall amount", "find": "determine", "compute": "calculate", "left": "remaining",
    "what is": "determine", "let": "suppose", "more than": "greater than", "if": "suppose",
    "bought": "purchased", "buys": "purchases", "gave": "handed", "sold": "vended", "then": "next",
    "evaluate": "work out", "express": "write", "people": "persons", "money": "cash",
}  # fmt: skip


def questions(path: Path) -> list[str]:
    """The questions of a JSON-lines file."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [row.get("question") or row.get("problem") or row.get("input") for row in rows]
    texts += [f"{row['Body']} {row['Question']}" for row in rows if "Body" in row]  # SVAMP
    return [
        re.split(r"\n## (?:Code )?Solution", t.split("## Question\n")[-1])[0] for t in texts if t
    ]


def other_numbers(text: str, generator: random.Random) -> str:
    """Every number as another of as many digits."""
    return re.sub(r"\d", lambda _: str(generator.randint(1, 9)), text)


def reworded(text: str, generator: random.Random) -> str:
    """Other names, other words for common ones, and some articles left out."""
    for name in set(re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}", text)):
        text = text.replace(name, generator.choice(NAMES))
    for old, new in REWORDED.items():
        if generator.random() < 0.7:
            text = re.sub(rf"\b{old}\b", new, text, flags=re.IGNORECASE)
    words = text.split(" ")
    short = ("the", "a", "of", "to", "that")
    return " ".join(w for w in words if w not in short or generator.random() < 0.7)


def rate(count: int, work) -> float:
    """Items per second of this process's time."""
    start = time.process_time()
    work()
    return count / (time.process_time() - start)


def datasketch(texts: list[str]) -> None:
    """Near copies through the peer."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=SETTINGS["similarity"], num_perm=SETTINGS["permutations"])
    for number, text in enumerate(texts):
        words = re.findall(r"\w+", text.lower())
        runs = {" ".join(words[i : i + 5]).encode() for i in range(max(1, len(words) - 4))}
        sketch = MinHash(num_perm=SETTINGS["permutations"])
        sketch.update_batch(runs)
        if not index.query(sketch):
            index.insert(str(number), sketch)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", type=Path, required=True)
    parser.add_argument("--problems", type=Path, required=True)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--sets", nargs="*", default=["gsm8k", "math500", "svamp"])
    options = parser.parse_args()
    generator = random.Random(1)
    files = sorted(p for p in options.tests.rglob("*.jsonl") if "train" not in p.stem)
    tests = {p.stem if p.stem != "test" else p.parent.name: questions(p) for p in files}
    named = [(f"{name}:{n}", q) for name, texts in tests.items() for n, q in enumerate(texts)]
    plain = questions(options.problems)
    texts = [f"{q} {n // 2}" for n in range(options.times) for q in plain]

    index = TestQuestions(named, THRESHOLDS)

    def contaminated(found: list[str]) -> int:
        return sum(
            1
            for start, words in in_batches(found)
            for _ in index.find(words, found[start:][: len(words)])
        )

    ours = {
        "near copies": rate(len(texts), lambda: near_duplicates(texts, **SETTINGS)),
        "templates": rate(len(texts), lambda: same_template(texts, 20)),
        "test problems": rate(len(texts), lambda: contaminated(texts)),
    }
    peers = {}
    try:
        peers["datasketch, near copies"] = rate(len(plain), lambda: datasketch(plain))
    except ImportError:
        print("datasketch is not installed; ours alone")
    for name, value in {**ours, **peers}.items():
        print(f"{name:26} {value:10,.0f} problems/s")
    found = {"problems as they are": contaminated(plain) / len(plain)}
    for name in [s for s in options.sets if s in tests]:
        chosen = generator.sample(tests[name], min(CHANGED, len(tests[name])))
        for kind, change in {
            "other numbers": lambda q: other_numbers(q, generator),
            "reworded": lambda q: reworded(q, generator),
            "both": lambda q: other_numbers(reworded(q, generator), generator),
        }.items():
            changed = [change(question) for question in chosen]
            found[f"{name}, {kind}"] = contaminated(changed) / len(chosen)
    for name, share in found.items():
        print(f"{name:26} {100 * share:6.1f} % found")
    line = {"step": "filtering", "unit": "problems/s", "ours": ours, "peers": peers, "found": found}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
