"""Let a model answer a benchmark (paper section 4.1).

mode cot: one completion per problem, after the recipe's `shots` worked examples from --shots.
mode tool: the model writes programs, which are executed in a restricted process, and goes on from
their output. Killed, it continues where it was. With --generated all completions are in the
journals already (generate_answers.py), and no engine is started.
"""

import argparse
from contextlib import closing
from pathlib import Path

from jz3 import io, program, records
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Ask, journal, and write ANSWERS in the benchmark's order."""
    from jz3.evaluation import answering
    from jz3.generation import Engine
    from jz3.generation.engines import open_engine
    from jz3.generation.vllm import Journalled

    recipe, mode, seed = options.recipe, options.mode, options.seed
    answering.check(recipe)
    inputs = answering.inputs(options.benchmark, options.model, options.shots)
    origin = program.origin(__file__, options, inputs)
    state = None
    if options.state:
        told = recipes.AnswerBenchmark(**recipe).identity()
        state = answering.open_state(options.state, told, mode, inputs, options.code, seed)
    engine: Engine
    if options.generated:
        engine = Journalled(options.model, recipe["vllm"], options.generated)
    else:
        engine = open_engine(options.model, recipe)
    with closing(engine):
        rows = answering.answer(engine, options.benchmark, recipe, mode, options.shots, seed, state)
    io.write_table(options.output, rows, records.ANSWERS, origin)
    cut_off = sum(row["finish_reason"] == "length" for row in rows)
    program.say(f"{len(rows)} answers, {cut_off} of them cut off at their longest length")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--benchmark", type=Path, required=True, help="table of problems")
    arguments.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    arguments.add_argument("--mode", choices=("cot", "tool"), required=True)
    arguments.add_argument("--shots", type=Path, help="worked examples, JSON lines")
    arguments.add_argument("--generated", type=Path, help="mark of generate_answers.py")
    arguments.add_argument("--output", type=Path, required=True, help="table of answers")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.AnswerBenchmark))
