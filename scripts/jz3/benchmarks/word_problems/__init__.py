"""Word problems of one to three steps with computed answers, drawn from a seed.

Our own, in the style of primary-school books: a small training target and test set that may be
redistributed. No problem or wording comes from a published benchmark.
"""

from ...io import UserError, did_you_mean, digest, rng
from .counting import COUNTING
from .engine import Template, write
from .measure import MEASURE
from .money_and_time import MONEY_AND_TIME
from .shares import SHARES

TEMPLATES: tuple[Template, ...] = COUNTING + MONEY_AND_TIME + MEASURE + SHARES
SPLITS = ("train", "test")
_HELD_OUT_EVERY = 4  # every fourth test problem has a template that training never sees
_ATTEMPTS = 400


def _split_of(key: str) -> str:
    # Fixed by the problem itself, so that splits of any size and seed have nothing in common.
    return "test" if int(digest(key), 16) % 2 else "train"


def _template(templates: list[Template], seed: int, split: str, turn: int) -> Template:
    """Go round the templates, in a new order each time, so that all occur equally often."""
    order = sorted(templates, key=lambda template: template.name)
    rng(seed, split, "order", len(order), turn // len(order)).shuffle(order)
    return order[turn % len(order)]


def generate(split: str, problems: int, seed: int) -> list[dict[str, str]]:
    """Make `problems` distinct word problems: question, answer, solution, program, subject.

    `split` is train or test; a problem (its template and numbers) belongs to one of the two
    whatever the seed, and a quarter of the test problems come from templates that training never
    uses. Fewer problems are the first of more problems. `subject` is the template's name.

    Raises UserError on an unknown split or when the templates cannot give so many problems.
    """
    if split not in SPLITS:
        raise UserError(
            f'generator word_problems: unknown split "{split}" (train | test).'
            f"{did_you_mean(split, SPLITS)}"
        )
    seen = [template for template in TEMPLATES if not template.held_out]
    unseen = [template for template in TEMPLATES if template.held_out]
    made: list[dict[str, str]] = []
    keys: set[str] = set()
    for index in range(problems):
        held_out = split == "test" and index % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1
        if held_out:
            template = _template(unseen, seed, "unseen", index // _HELD_OUT_EVERY)
        else:
            turn = index - index // _HELD_OUT_EVERY if split == "test" else index
            template = _template(seen, seed, split, turn)
        for attempt in range(_ATTEMPTS):
            random_ = rng(seed, split, index, attempt)
            if attempt % 20 == 19:  # this one may have no problem left
                template = random_.choice(unseen if held_out else seen)
            fields, key = write(template, random_)
            if key not in keys and _split_of(key) == split:
                break
        else:
            raise UserError(
                f"generator word_problems: no further distinct problem after {index} of the"
                f" {problems} asked for (split {split}). Lower `problems`."
            )
        keys.add(key)
        made.append(fields)
    return made
