"""What vLLM's own processes, one per GPU that shares a model, import before they begin.

vLLM mixes `Attached` into its worker, which imports this module there and nowhere else.
"""

from ..processes import die_with_parent

die_with_parent()  # they hold a GPU's memory, and wait for each other rather than look around


class Attached:
    """Adds nothing to a worker."""
