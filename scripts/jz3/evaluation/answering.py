"""A model's answers to one benchmark, journalled (paper section 4.1).

Two programs come here: `answer_benchmark`, which writes the answers of one benchmark, and before
it, where an engine takes minutes to start, `generate_answers`, which fills the journals of all
benchmarks of a model. Both open the same state, so that what one has generated the other finds.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import io, program, records
from ..generation import Engine, Request, Sampling, generate_journalled
from .prompts import prompt_text, read_shots, stop_strings
from .tool_loop import Attempt, answer_with_programs

_FROM_PROBLEM = ("problem_id", "benchmark", "question", "choices")
_FROM_ATTEMPT = ("prompt", "text", "finish_reason", "prompt_tokens", "completion_tokens", "rounds")


def inputs(benchmark: Path, model: Path, shots: Path | None) -> list[Path]:
    """The files and folders that answers are made from."""
    return [benchmark, model, *([shots] if shots else [])]


def open_state(
    folder: Path, told: Mapping[str, Any], mode: str, files: Sequence[Path], code: str, seed: int
) -> Path:
    """The folder of journals of one benchmark. `told`: what of the recipe decides the answers."""
    key = program.work_key(recipe=[told, mode], inputs=files, code=code, seed=seed)
    return io.resume_directory(folder, key)


def check(recipe: Mapping[str, Any]) -> None:
    """Raise UserError for several equal answers."""
    if recipe["samples"] > 1 and recipe["temperature"] == 0:
        raise io.UserError(
            f"evaluation/samples is {recipe['samples']} at temperature 0: all would be equal."
            " Set samples: 1, or a temperature."
        )


def answer(
    engine: Engine,
    benchmark: Path,
    recipe: Mapping[str, Any],
    mode: str,
    shots: Path | None,
    seed: int,
    state: Path | None,
) -> list[dict[str, Any]]:
    """Rows of `records.ANSWERS`, in the benchmark's order.

    benchmark: table of problems; recipe: what answer_benchmark.py is told; mode: cot | tool; shots:
    file of the worked examples before a problem; state: folder of `open_state`, None for no
    journals. Raises UserError for a table in which a problem stands twice.
    """
    problems = io.read_rows(benchmark, records.BENCHMARK)
    examples = read_shots(shots, recipe["shots"]) if shots else []
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
        raise io.UserError(f"{benchmark}: a problem_id occurs twice. Delete it and rerun.")
    requests = [
        Request(key, prompt_text(problem, template, mode, engine.tokenizer, examples))
        for key, (problem, _) in asked.items()
    ]
    if mode == "tool":
        attempts = answer_with_programs(
            engine,
            requests,
            sampling,
            seed,
            rounds=recipe["tool_rounds"],
            execution=recipe["execution"],
            context=engine.context,
            cut=template == "chat",
            state=state,
        )
    else:
        journal = state / "completions.jsonl" if state else None
        done = generate_journalled(engine, requests, sampling, seed, journal, "answering")
        attempts = [Attempt(request.request_id, request.prompt) for request in requests]
        for attempt in attempts:
            attempt.add(done[attempt.request_id], done[attempt.request_id].text)
    rows = []
    for attempt in attempts:
        problem, sample = asked[attempt.request_id]
        rows.append(
            {
                **{name: problem[name] for name in _FROM_PROBLEM},
                **{name: getattr(attempt, name) for name in _FROM_ATTEMPT},
                "sample": sample,
                "gold": problem["answer"],
            }
        )
    return rows
