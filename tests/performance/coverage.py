"""How often the intervals and tests of a table are right, by simulation (docs/statistics.md).

Tables are drawn from known accuracies, with the sizes of the paper's six test sets, of the
miniature, and of small sets with extreme accuracies. Counted: how often the interval of a score and
of an average holds the truth, how often the interval of a paired difference does, and how often
Holm's correction lets a table of equal models show any difference.

    python tests/performance/coverage.py [tables]      (4,000 tables: a minute)
"""

import json
import random
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from jz3.tables import intervals

CONFIDENCE = 0.95
TABLES = {  # (accuracy, problems) per benchmark
    "six benchmarks": [
        (0.886, 1319), (0.528, 500), (0.904, 1000), (0.926, 2215), (0.973, 2065), (0.51, 976),
    ],
    "miniature": [(0.225, 200), (0.04, 100)],
    "small and extreme": [(0.99, 32), (0.02, 60), (0.5, 40)],
}  # fmt: skip


def average_coverage(cells, count, draw):
    """Shares of tables whose average's interval, and of cells whose interval, holds the truth."""
    truth = sum(p for p, _ in cells) / len(cells)
    drawn = np.stack([draw.binomial(n, p, count) for p, n in cells], axis=1)
    held = single = 0
    for row in drawn:
        pairs = [(int(k), n) for k, (_, n) in zip(row, cells, strict=True)]
        _, low, high = intervals.macro_average(pairs, CONFIDENCE)
        held += low <= truth <= high
        for (k, n), (p, _) in zip(pairs, cells, strict=True):
            low, high = intervals.wilson(k, n, CONFIDENCE)
            single += low <= p <= high
    return held / count, single / count / len(cells)


def paired(cells, count, draw, gain):
    """Two models on the same problems: coverage of the average gain, share of tables with a find.

    Half of a problem's chance is its own (hard or easy for both), so that verdicts go together.
    """
    held = found = 0
    for number in range(count):
        differences = []
        for p, n in cells:
            ease = draw.random(n)
            first, second = (
                np.where(draw.random(n) < 0.5, ease < share, draw.random(n) < share)
                for share in (p, min(1.0, p + gain))
            )
            differences.append((second.astype(int) - first.astype(int)).tolist())
        truth = sum(min(1.0, p + gain) - p for p, _ in cells) / len(cells)
        _, low, high = intervals.paired_bootstrap(differences, CONFIDENCE, random.Random(number))
        held += low <= truth <= high
        raw = [intervals.sign_flip(part) for part in differences]
        found += min(intervals.holm(raw)) < 1 - CONFIDENCE
    return held / count, found / count


def main() -> None:
    """Simulate all tables and print a line for each, then one line of JSON."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    draw = np.random.default_rng(2024)
    started = time.monotonic()
    cases = {}
    for name, cells in TABLES.items():
        average, single = average_coverage(cells, count, draw)
        pairs = max(1, count // 4)  # the bootstrap is the slow part
        gain, _ = paired(cells, pairs, draw, 0.03)
        _, false = paired(cells, pairs, draw, 0.0)
        cases[name] = {
            "average": average, "cell": single, "gain": gain, "false finds": false,
            "tables": count, "pairs": pairs,
        }  # fmt: skip
        print(name, cases[name])
    seconds = round(time.monotonic() - started, 1)
    print(json.dumps({"step": "coverage", "unit": "share", "ours": cases, "seconds": seconds}))


if __name__ == "__main__":
    main()
