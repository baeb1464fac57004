"""Turn one entry of the configuration's `checkpoints` into a plain Hugging Face checkpoint.

--recipe: `weights`, that entry, and `dtype`. The result is a folder that transformers and vLLM
load as it is.
"""

import argparse
from pathlib import Path

from jz3 import io, program
from jz3.sources import checkpoints
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Make the checkpoint."""
    entry: checkpoints.Entry = options.recipe["weights"] | {"dtype": options.recipe["dtype"]}
    checkpoints.make(
        entry,
        options.output,
        options.name,
        gguf=options.source,
        seed=options.seed,
        state=options.state,
    )
    if options.record:
        origin = options.output / checkpoints.ORIGIN
        io.write_json(options.record, io.read_json(origin) if origin.is_file() else {})


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--name", required=True, help="name of the checkpoint")
    arguments.add_argument("--source", type=Path, help="the GGUF file, for kind gguf")
    arguments.add_argument("--output", required=True, type=Path, help="folder to make")
    arguments.add_argument("--record", type=Path, help="where it came from (JSON)")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.FetchModel))
