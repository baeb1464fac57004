"""Generate a model's answers to all its benchmarks of a mode, in one start of the engine.

The completions go into the journals that answer_benchmark.py reads: what is there already, of a
benchmark that has not changed, is not generated again. --benchmarks stand in the order of the
recipe's names, with as many --shots (- for none) and --states.
"""

import argparse
from contextlib import closing
from pathlib import Path

from jz3 import io, program
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Open the engine, which starts where something is missing; fill the journals, and say so."""
    from jz3.evaluation import answering
    from jz3.generation.engines import open_engine

    told = options.recipe["benchmarks"]
    counts: dict[str, int] = {}
    settings = next(iter(told.values()))  # of the engine: the same for all
    with closing(open_engine(options.model, settings)) as engine:
        for name, benchmark, shots, folder in zip(
            sorted(told), options.benchmarks, options.shots, options.states, strict=True
        ):
            recipe = told[name]
            answering.check(recipe)
            examples = None if shots == Path("-") else shots
            inputs = answering.inputs(benchmark, options.model, examples)
            identity = recipes.AnswerBenchmark(**recipe).identity()
            state = answering.open_state(
                folder, identity, options.mode, inputs, options.reader, options.seed
            )
            program.say(f"benchmark {name}")
            rows = answering.answer(
                engine, benchmark, recipe, options.mode, examples, options.seed, state
            )
            counts[name] = len(rows)
    io.write_json(options.output, counts)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--benchmarks", type=Path, nargs="+", required=True, help="problems")
    arguments.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    arguments.add_argument("--mode", choices=("cot", "tool"), required=True)
    arguments.add_argument("--shots", type=Path, nargs="+", required=True, help="JSON lines or -")
    arguments.add_argument("--states", type=Path, nargs="+", required=True, help="for journals")
    arguments.add_argument(
        "--reader",
        required=True,
        help="digest of answer_benchmark.py's code, whose journals these are",
    )
    arguments.add_argument("--output", type=Path, required=True, help="mark, JSON: answers of each")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.GenerateAnswers))
