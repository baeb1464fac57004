"""Names of the filters, and how a corpus asks for one: apart from what they need to run."""

import math
from collections.abc import Mapping

from .. import io

# What the limit means that a filter takes; "": it takes none.
LIMITS = {
    "parsed": "",
    "complete": "",
    "asks": "",
    "self_contained": "",
    "single": "",
    "language": "",
    "length": "words of a question at most; a solution may have six times as many",
    "repetition": "share of runs of twelve words that may repeat earlier ones",
    "markers": "",
    "encoding": "",
    "refusal": "",
    "latex": "",
    "personal_data": "",
    "executed": "",
    "answer_agrees": "",
    "near_duplicate": "",
    "template_duplicate": "problems kept of one template, its numbers apart",
    "contaminated": "",
}


def named(entry: str | Mapping[str, float]) -> tuple[str, float]:
    """The name and the limit (0 without one) of an entry of a corpus's `filters`.

    Raises UserError where there is no such filter, or it wants a limit or takes none.
    """
    if not isinstance(entry, str | Mapping) or (isinstance(entry, Mapping) and len(entry) != 1):
        raise io.UserError(f"{entry!r} is not one filter; write its name, or {{name: limit}}.")
    name = entry if isinstance(entry, str) else next(iter(entry))
    if name not in LIMITS:
        hint = io.did_you_mean(str(name), LIMITS)
        raise io.UserError(f'"{name}" is not one of {", ".join(LIMITS)}.{hint}')
    wanted = LIMITS[name]
    if isinstance(entry, str) and wanted:
        raise io.UserError(f"filter {name} takes a limit: {{{name}: {wanted}}}.")
    if isinstance(entry, Mapping) and not wanted:
        raise io.UserError(f"filter {name} takes no limit; write its name alone.")
    limit = 0.0 if isinstance(entry, str) else entry[name]
    number = isinstance(limit, int | float) and not isinstance(limit, bool)
    if not (number and 0 <= limit < math.inf):
        raise io.UserError(f"filter {name}: the limit is {limit!r}, not a number from 0 on.")
    return name, limit
