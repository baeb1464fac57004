"""Ask the teacher for a problem per prompt; what was answered once is never asked again.

The teacher is an OpenAI-compatible endpoint: a provider's (teacher.base_url, with OPENAI_API_KEY
in the environment) or a server that is started here for the length of the job.
"""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jz3 import io, program, prompts, records
from jz3.distillation import batches, local_server, teacher
from jz3.distillation.journal import TeacherJournal
from jz3.workflow import recipes
from jz3.workflow.messages import accepts

WAYS = ("length_parameter", "system", "extra_body", "send", "tokens_per_minute")


def make_teacher(recipe: dict[str, Any], base_url: str, key: str, seed: int) -> teacher.Teacher:
    """The teacher of a recipe, at `base_url`. Raises UserError for want of a price."""
    input_price, output_price = teacher.price_of(recipe["model"], recipe["prices"])
    ways = {name: recipe[name] for name in WAYS}
    price = recipe["prices"][recipe["model"]]
    if recipe["batch"]:
        ways["discount"] = price.get("batch_discount", 0.0)
    return teacher.Teacher(
        base_url=base_url,
        model=recipe["model"],
        api_key=key,
        temperature=recipe["temperature"],
        max_tokens=recipe["max_tokens"],
        input_price=input_price,
        output_price=output_price,
        cached_price=price.get("cached_input"),
        budget=recipe["budget_dollars"],
        schema=prompts.structured_schema(recipe["mode"]) if recipe["structured"] else None,
        concurrency=recipe["concurrency"],
        requests_per_minute=recipe["requests_per_minute"],
        timeout=recipe["timeout_seconds"],
        attempts=recipe["attempts"],
        models=() if recipe["base_url"] else None,  # a server of ours has one model
        seed=seed,
        **ways,
    )


@contextlib.contextmanager
def endpoint(options: argparse.Namespace) -> Iterator[str]:
    """The base URL to ask at; a server of our own runs meanwhile where none is configured."""
    recipe = options.recipe
    if recipe["base_url"]:
        yield recipe["base_url"].rstrip("/")
        return
    serve = recipe["serve"]
    log = (options.log or options.output).with_suffix(".server.log")
    with local_server.local_server(
        serve["command"], str(options.model or ""), recipe["threads"], serve["ready_seconds"], log
    ) as base_url:
        yield base_url


def main(options: argparse.Namespace) -> None:
    """Read prompts, ask, write completions in the order of the prompts."""
    recipe = options.recipe
    rows = io.read_rows(options.prompts, records.PROMPTS)
    examples = prompts.load_examples(options.examples, recipe["mode"], recipe["structured"])
    plain = make_teacher(recipe, "", "", options.seed)
    requests = [
        (row["request_id"], plain.body(row["request_id"], row["prompt"], examples)) for row in rows
    ]
    with TeacherJournal(recipe["journal"] or options.journal) as journal:
        done, missing = teacher.answered(requests, journal)
        if done:
            program.say(f"ask_teacher: {len(done)} of {len(requests)} answered before")
        if missing:
            with endpoint(options) as base_url:
                key = teacher.api_key(base_url, recipe["api_key_env"])
                asked = make_teacher(recipe, base_url, key, options.seed)
                ask = batches.ask if recipe["batch"] else teacher.ask
                done = ask(asked, requests, journal)
    table = [
        {
            "request_id": row["request_id"],
            "prompt_digest": io.digest(row["prompt"]),
            **done[row["request_id"]],
        }
        for row in rows
    ]
    origin = program.origin(__file__, options, [options.prompts, options.examples])
    io.write_table(options.output, table, records.COMPLETIONS, origin)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--prompts", type=Path, required=True)
    arguments.add_argument("--examples", type=Path, required=True, help="examples.jsonl")
    arguments.add_argument(
        "--journal", type=Path, required=True, help="SQLite file, shared by jobs"
    )
    arguments.add_argument("--model", type=Path, help="GGUF file for {model} of serve.command")
    arguments.add_argument("--output", type=Path, required=True)
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.AskTeacher))
