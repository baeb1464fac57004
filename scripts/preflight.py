"""Say whether a run can start: what was found on the nodes and here, one line each.

Ends with an error where anything would make a job fail.
"""

import functools
import socket
from pathlib import Path

from jz3 import io, program
from jz3.workflow import preflight


def main(options) -> None:
    """Print all findings; fail if one of them does."""
    config = options.recipe
    checks = [
        functools.partial(preflight.software, preflight.PACKAGES["head"]),
        functools.partial(preflight.secrets, config),
        functools.partial(preflight.cached, config, Path(config["results"])),
        functools.partial(preflight.budget, config),
    ]
    here = {"kind": "head", "host": socket.gethostname(), "findings": preflight.examine(checks)}
    failed = 0
    for report in [here, *map(io.read_json, options.nodes)]:
        print("\n".join(preflight.lines(report)))
        failed += len(preflight.failures(report))
    if failed:
        raise io.UserError(f"{failed} of these would make jobs fail; mend them first.")


if __name__ == "__main__":
    parser = program.parser(__doc__)
    parser.add_argument("--nodes", type=Path, nargs="+", required=True, help="findings of nodes")
    program.run(main, parser)
