"""The same prompts through a GGUF file and through the plain checkpoint that is made of it.

    python tests/performance/quantised.py --gguf FILE --plain FOLDER [--digits] [--prompts 20]

Both hold the same four-bit weights; llama.cpp also rounds what it multiplies them with to eight
bits, so greedy texts part somewhere. Reported: texts that are equal to the end, the share of a text
that is equal before it parts, answers with the same last number, tokens per second.
The last line is JSON.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from jz3.benchmarks import word_problems  # noqa: E402
from jz3.generation import Request, Sampling  # noqa: E402
from jz3.generation.engines import open_engine  # noqa: E402
from jz3.sources import checkpoints  # noqa: E402


def shared(one: str, other: str) -> float:
    """Share of the longer text that both begin with."""
    longest = max(len(one), len(other))
    pairs = zip(one, other, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    return same / longest if longest else 1.0


def last_number(text: str) -> str:
    """The last number of a text."""
    return (re.findall(r"-?\d+(?:\.\d+)?", text) or [""])[-1]


def main() -> None:
    """Run both engines and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gguf", type=Path, required=True, help="GGUF file")
    parser.add_argument("--plain", type=Path, required=True, help="checkpoint made of it")
    parser.add_argument("--digits", action="store_true", help="as in the entry of `checkpoints`")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=64, help="longest answer")
    parser.add_argument("--dtype", default="float32", help="number type of the plain model")
    args = parser.parse_args()
    problems = word_problems.generate("test", args.prompts, 0)
    sampling = Sampling(0.0, 1.0, args.tokens)
    found, speed = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        entry = {"kind": "gguf", "dtype": "float32", "digits": args.digits, "quantised": True}
        quantised = Path(folder) / "model"
        checkpoints.make(entry, quantised, "quantised", gguf=args.gguf)
        for name, model in (("gguf", quantised), ("plain", args.plain)):
            settings = {"engine": "transformers", "batch": 1, "dtype": args.dtype, "threads": 2}
            engine = open_engine(model, settings)
            requests = [
                Request(
                    str(number),
                    engine.tokenizer.apply_chat_template(
                        [{"role": "user", "content": problem["question"]}],
                        tokenize=False,
                        add_generation_prompt=True,
                    ),
                )
                for number, problem in enumerate(problems)
            ]
            started = time.monotonic()
            found[name] = {g.request_id: g for g in engine.generate(requests, sampling, 0)}
            tokens = sum(g.completion_tokens for g in found[name].values())
            speed[name] = tokens / (time.monotonic() - started)
            del engine
    pairs = [(found["gguf"][key], found["plain"][key]) for key in found["plain"]]
    print(
        json.dumps(
            {
                "step": "quantised",
                "unit": "share of greedy texts equal to the end",
                "ours": round(sum(a.text == b.text for a, b in pairs) / len(pairs), 3),
                "equal_before_they_part": round(
                    sum(shared(a.text, b.text) for a, b in pairs) / len(pairs), 3
                ),
                "same_last_number": round(
                    sum(last_number(a.text) == last_number(b.text) for a, b in pairs) / len(pairs),
                    3,
                ),
                "same_prompt_tokens": sum(a.prompt_tokens == b.prompt_tokens for a, b in pairs),
                "prompts": len(pairs),
                "tokens_per_second": {name: round(value, 1) for name, value in speed.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
