"""Speed and soundness of the strict grader on real answers, beside math-verify alone and sympy.

    python tests/performance/grading.py FOLDER [--sample 1500]

FOLDER holds benchmarks/ and released/ as `tests/real_answers.py` names them. Prints the verdicts on
gold answers, what the fast path changes (nothing, or a list), the slowest hostile input, and checks
per CPU-second (the worker's included); ends with one line of JSON.
"""

import argparse
import json
import random
import resource
import signal
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from jz3.grading import strict, symbolic  # noqa: E402
from jz3.grading.quantities import compact, plain  # noqa: E402
from real_answers import gold_answers, released_answers, shuffled  # noqa: E402

HOSTILE = {
    "tower": "9^9^9^9",
    "power": "10^{999999999}",
    "tower in braces": "2^{2^{2^{2^{2^{2}}}}}",
    "factorial": "1000000!",
    "factorials": "((20!)!)!",
    "brackets": "(" * 200 + "1" + ")" * 200,
    "fractions": r"\frac{" * 60 + "1" + "}{2}" * 60,
    "open braces": "{" * 500,
    "roots": r"\sqrt{" * 80 + "2" + "}" * 80,
    "polynomial": "(x+1)^{9999}-(x-1)^{9999}",
    "product": r"\prod_{n=1}^{10^9} n",
    "sum": r"\sum_{n=1}^{10^{12}} \frac{1}{n^2}",
    "integral": r"\int_0^1 \sin(x^x)\cdot e^{x^{x^x}} dx",
    "long number": "9" * 100_000,
    "1 MB of digits": "7" * 1_000_000,
    "1 MB of brackets": "(" * 1_000_000,
    "1 MB of boxes": r"\boxed{" * 150_000,
    "1 MB of spaces": " " * 1_000_000 + "5",
}


def cpu() -> float:
    """Seconds of processor time of this process and of its grading workers, dead or alive."""
    process = symbolic.WORKER._process
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.process_time() + ended.ru_utime + ended.ru_stime
    if process is not None:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        seconds += (int(fields[11]) + int(fields[12])) / 100
    return seconds


def restart() -> None:
    """A fresh worker: sympy remembers what it has computed."""
    symbolic.WORKER.close()
    symbolic.WORKER.equal("strict", "x", "2x")


def timed(rule, pairs):
    """Verdicts of `rule`, and checks per CPU-second."""
    began = cpu()
    verdicts = [rule(*pair) for pair in pairs]
    return verdicts, round(len(pairs) / (cpu() - began))


def different(pairs):
    """The pairs whose spellings differ after normalisation."""

    def one(text):
        return compact(plain(text)).casefold()

    return [(a, b) for a, b in pairs if one(a) != one(b)]


def math_verify(predicted, gold):
    """math-verify as its documentation uses it, alarms included."""
    from math_verify import parse, verify

    return bool(verify(parse(f"${gold}$"), parse(f"${predicted}$")))


def plain_sympy(predicted, gold):
    """Equal text, or a difference that sympy simplifies to zero; 3 s at most."""
    from latex2sympy2_extended import latex2sympy
    from sympy import simplify

    if predicted == gold:
        return True
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError()))
    signal.alarm(3)
    try:
        return bool(simplify(latex2sympy(predicted) - latex2sympy(gold)) == 0)
    except Exception:
        return False
    finally:
        signal.alarm(0)


def main() -> None:
    """Measure everything in one go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int, default=1500, help="pairs for the slow peers")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    groups = {}  # name -> pairs; those named "shuffled ..." are of different problems
    for name, answers in {**gold_answers(options.folder), "released": None}.items():
        answers = answers or released_answers(options.folder)
        groups[name] = [(answer, answer) for answer in answers]
        if name != "released":
            groups[f"{name}, displayed"] = [(rf"$\displaystyle {a} $", a) for a in answers]
        groups[f"{name}, shuffled"] = different(zip(shuffled(answers), answers, strict=True))
    pairs = [pair for group in groups.values() for pair in group]
    restart()
    verdicts, rate = timed(strict.strict, pairs)
    print(f"{len(pairs)} pairs, {sum(verdicts)} right, {rate:,} checks per CPU-second")
    known, unexpected, counts = dict(zip(pairs, verdicts, strict=True)), {}, {}
    for name, group in groups.items():
        shuffle = name.endswith("shuffled")
        unexpected[name] = [pair for pair in group if known[pair] == shuffle]
        kind = "shuffled" if shuffle else "gold"
        if not name.startswith("released"):
            count = counts.setdefault(kind, [0, 0])
            count[0], count[1] = count[0] + len(group), count[1] + len(unexpected[name])
        print(f"{name:24} {len(group):5} pairs, {len(unexpected[name])} unexpected", end=" ")
        print(*map(repr, unexpected[name]))

    restart()
    fast, strict.differ = strict.differ, lambda *_: False
    slow, slow_rate = timed(strict.strict, pairs)
    strict.differ = fast
    changed = [pair for pair, a, b in zip(pairs, verdicts, slow, strict=True) if a != b]
    print(f"without refuting by value: {slow_rate:,}/s; verdicts changed: {changed}")

    places = random.Random(0).sample(range(len(pairs)), options.sample)
    sample, ours = [pairs[n] for n in places], [verdicts[n] for n in places]
    peers, disagreements = {}, {}
    for name, rule in (("math-verify", math_verify), ("sympy", plain_sympy)):
        theirs, peers[name] = timed(rule, sample)
        unlike = [(*p, a) for p, a, b in zip(sample, ours, theirs, strict=True) if a != b]
        disagreements[name] = len(unlike)
        print(f"{name}: {peers[name]}/s; {len(unlike)} of {len(sample)} verdicts unlike ours:")
        print(*[f"    {p!r} | {g!r} ours {v}" for p, g, v in unlike[:12]], sep="\n")
    restart()
    _, ours_on_sample = timed(strict.strict, sample)

    slowest = {}
    for name, text in HOSTILE.items():
        restart()
        began = time.monotonic()
        verdict = strict.strict(text, "7/3") or strict.strict(text, "x+1")
        slowest[name] = round((time.monotonic() - began) / 2, 2)
        if verdict:
            sys.exit(f"{name}: accepted")
    print("seconds per hostile check:", slowest)
    print(json.dumps({
        "step": "grading", "unit": "checks per CPU-second", "ours": rate, "pairs": len(pairs),
        "ours_on_sample": ours_on_sample, "sample": len(sample), "peers": peers,
        "unlike_ours": disagreements, "changed_by_fast_path": len(changed),
        "pairs_and_unexpected": counts,
        "hostile_seconds": max(slowest.values()), "timeouts": symbolic.WORKER.timeouts,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
