"""Turn one entry of the configuration's `checkpoints` into a plain Hugging Face checkpoint.

The recipe is that entry with `dtype` added. The result is a folder that transformers and vLLM
load as it is.
"""

from pathlib import Path

from jz3 import program
from jz3.sources import checkpoints


def main(options):
    """Make the checkpoint."""
    checkpoints.make(
        options.recipe,
        options.output,
        options.name,
        gguf=options.source,
        seed=options.seed,
        state=options.state,
    )


if __name__ == "__main__":
    arguments = program.parser(__doc__)
    arguments.add_argument("--name", required=True, help="name of the checkpoint")
    arguments.add_argument("--source", type=Path, help="the GGUF file, for kind gguf")
    arguments.add_argument("--output", required=True, type=Path, help="folder to make")
    program.run(main, arguments)
