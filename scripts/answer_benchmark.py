"""Let a model answer a benchmark (paper section 4.1).

mode cot: one completion per problem, after the recipe's `shots` worked examples from --shots.
mode tool: the model writes programs, which are executed in a restricted process, and goes on from
their output. Killed, it continues where it was.
"""

import argparse
from contextlib import closing
from pathlib import Path

from jz3 import io, program, records
from jz3.workflow import recipes
from jz3.workflow.messages import accepts

FROM_PROBLEM = ("problem_id", "benchmark", "question", "choices")
FROM_ATTEMPT = ("prompt", "text", "finish_reason", "prompt_tokens", "completion_tokens", "rounds")


def main(options: argparse.Namespace) -> None:
    """Ask, journal, and write ANSWERS in the benchmark's order."""
    from jz3.evaluation.prompts import prompt_text, read_shots, stop_strings
    from jz3.evaluation.tool_loop import Attempt, answer_with_programs
    from jz3.generation import Request, Sampling, generate_journalled
    from jz3.generation.engines import open_engine

    recipe, mode = options.recipe, options.mode
    if recipe["samples"] > 1 and recipe["temperature"] == 0:
        raise io.UserError(
            f"evaluation/samples is {recipe['samples']} at temperature 0: all would be equal."
            " Set samples: 1, or a temperature."
        )
    problems = io.read_rows(options.benchmark, records.BENCHMARK)
    shots = read_shots(options.shots, recipe["shots"]) if options.shots else []
    inputs = [options.benchmark, options.model, *([options.shots] if options.shots else [])]
    origin = program.origin(__file__, options, inputs)
    state = None
    if options.state:
        told = recipes.AnswerBenchmark(**recipe).identity()
        key = program.work_key(
            recipe=[told, mode], inputs=inputs, code=options.code, seed=options.seed
        )
        state = io.resume_directory(options.state, key)
    template = recipe["template"]
    sampling = Sampling(
        recipe["temperature"],
        recipe["top_p"],
        recipe["max_new_tokens"],
        stop_strings(template, mode),
    )
    asked = {
        f"{problem['problem_id']}#{sample}": (problem, sample)
        for problem in problems
        for sample in range(recipe["samples"])
    }
    if len(asked) != len(problems) * recipe["samples"]:
        raise io.UserError(f"{options.benchmark}: a problem_id occurs twice. Delete it and rerun.")
    with closing(open_engine(options.model, recipe)) as engine:
        requests = [
            Request(key, prompt_text(problem, template, mode, engine.tokenizer, shots))
            for key, (problem, _) in asked.items()
        ]
        if mode == "tool":
            attempts = answer_with_programs(
                engine,
                requests,
                sampling,
                options.seed,
                rounds=recipe["tool_rounds"],
                execution=recipe["execution"],
                context=engine.context,
                cut=template == "chat",
                state=state,
            )
        else:
            journal = state / "completions.jsonl" if state else None
            done = generate_journalled(
                engine, requests, sampling, options.seed, journal, "answering"
            )
            attempts = [Attempt(request.request_id, request.prompt) for request in requests]
            for attempt in attempts:
                attempt.add(done[attempt.request_id], done[attempt.request_id].text)
    rows = []
    for attempt in attempts:
        problem, sample = asked[attempt.request_id]
        rows.append(
            {
                **{name: problem[name] for name in FROM_PROBLEM},
                **{name: getattr(attempt, name) for name in FROM_ATTEMPT},
                "sample": sample,
                "gold": problem["answer"],
            }
        )
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
    arguments.add_argument("--output", type=Path, required=True, help="table of answers")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.AnswerBenchmark))
