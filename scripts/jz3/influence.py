"""How much a synthetic problem would help on the targets: influence by gradients (§ 3.3).

The paper follows LESS (Xia et al. 2024, arXiv 2402.04333). For a candidate z, reference
checkpoints i with mean learning rates e_i, and a subtask t with target problems V_t:

    score_t(z) = sum_i e_i / (sum_j e_j) * mean over z' in V_t of cos(feature_i(z), gradient_i(z'))

where gradient_i is the plain gradient of the LoRA weights and feature_i(z) the update that Adam
would make for z alone, with its moments at checkpoint i. The cosine is linear in the unit vector of
z', so each subtask is represented exactly by the mean of its unit gradients: no projection, and no
store of candidates' gradients. The total is the maximum (or the mean) over the subtasks.

Memory, with D LoRA weights (1.8 million in the miniature, 109 million for a 7B model at rank 128):
scoring holds one model, one checkpoint's moments and its targets, (2 + subtasks) x D floats;
`target_directions` holds one model and one batch's gradients, samples x D floats, and on writing
all targets, subtasks x checkpoints x D floats.
"""

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from . import gradients, io, reference, templates
from .examples import worked_example
from .gradients import Sample, SampleGradients
from .reference import Checkpoint

FEATURES = ("released", "adam")
AGGREGATES = ("max", "mean")
BATCH_TOKENS = 1024  # computed together, padding included; no result depends on it
SAVE_SECONDS = 30  # between saves of an unfinished subtask's sum


# ---------------------------------------------------------------- formulas


def adam_feature(
    gradient: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    *,
    step: int,
    betas: tuple[float, float],
    eps: float,
    form: str,
) -> torch.Tensor:
    """The direction Adam would step for `gradient`, given its moments after `step` updates.

    gradient: (samples, weights); first, second: (weights,), exp_avg and exp_avg_sq. form
    "released", as in LESS's code: eps inside the root, no bias correction. form "adam", as the
    optimizer steps: bias correction at step + 1, eps outside the root.
    """
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    if form == "released":
        return first / (second + eps).sqrt()
    corrected = second / (1 - betas[1] ** (step + 1))
    return first / (1 - betas[0] ** (step + 1)) / (corrected.sqrt() + eps)


def combine(cosines: list[list[float]], learning_rates: list[float]) -> list[float]:
    """Scores by subtask: cosines (checkpoints x subtasks), weighted by learning rate.

    The weights sum to 1. Raises UserError where all learning rates are zero.
    """
    whole = sum(learning_rates)
    if not whole > 0:
        raise io.UserError(
            "The reference run had learning rate 0 in every epoch: too few updates for its"
            " warm-up. Give it more candidates or epochs, or a smaller global_batch."
        )
    return [
        sum(rate / whole * cosine for rate, cosine in zip(learning_rates, column, strict=True))
        for column in zip(*cosines, strict=True)
    ]


def aggregate(scores: list[float], how: str) -> float:
    """One number from the subtasks' scores: "max" as in LESS, or "mean"."""
    return max(scores) if how == "max" else sum(scores) / len(scores)


def check(feature: str, aggregation: str) -> None:
    """UserError where one of the two switches has a value that is not known."""
    for key, value, known in (
        ("feature", feature, FEATURES),
        ("aggregate", aggregation, AGGREGATES),
    ):
        if value not in known:
            raise io.UserError(
                f'influence.{key}: "{value}" is not known; use {" or ".join(known)}.'
                f"{io.did_you_mean(value, known)}"
            )


# ---------------------------------------------------------------- unfinished work


@contextlib.contextmanager
def unfinished(state: Path | None, key: object) -> Iterator[Path]:
    """A folder for unfinished work (see `io.resume_directory`), removed once the block succeeds.

    Without `state` it is a temporary one.
    """
    if state is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
    else:
        folder = io.resume_directory(state, key)
        yield folder
        shutil.rmtree(folder)


# ---------------------------------------------------------------- what to train on and aim at


def share_of(rows: list[dict], share: float, seed: int) -> list[dict]:
    """A `share` (0 to 1, rounded up) of the candidates, drawn by seed and problem_id."""
    drawn = sorted(rows, key=lambda row: io.rng(seed, "reference", row["problem_id"]).random())
    count = -int(-share * len(rows) // 1)
    if not 0 < share <= 1 or not count:
        raise io.UserError(f"influence.reference.share: {share} is not between 0 and 1.")
    return drawn[:count]


def subtasks(targets: list[dict], tables: list[list[dict]], seed: int) -> dict[str, list[dict]]:
    """Target problems by subtask: the benchmark's name, or benchmark:subject with `by_subject`.

    `tables` holds the benchmark rows of each entry of `targets`; drawn are its `problems` (0: all)
    among those with a worked solution, spread evenly over the subjects with `by_subject`. Raises
    UserError where there are fewer.
    """
    made: dict[str, list[dict]] = {}
    for target, rows in zip(targets, tables, strict=True):
        place = f"{target['benchmark']}/{target['split']}"
        worked = [row for row in rows if row["solution"].strip()]
        if not worked:
            raise io.UserError(
                f"influence target {place}: no problem has a worked solution. Choose another"
                " split, or give its `fields` a solution."
            )
        if target["problems"] > len(worked):
            raise io.UserError(
                f"influence target {place}: {target['problems']} problems wanted, {len(worked)}"
                " have a worked solution. Lower `problems`."
            )
        groups: dict[str, list[dict]] = {}
        for row in sorted(
            worked, key=lambda row: io.rng(seed, "target", row["problem_id"]).random()
        ):
            subject = f":{row['subject']}" if target["by_subject"] else ""
            groups.setdefault(target["benchmark"] + subject, []).append(row)
        # Round by round, one of each subject: equal shares as far as the subjects reach.
        rounds = [
            (name, group[turn])
            for turn in range(max(map(len, groups.values())))
            for name, group in sorted(groups.items())
            if turn < len(group)
        ]
        for name, row in rounds[: target["problems"] or None]:
            made.setdefault(name, []).append(row)
    return made


def candidate_texts(rows: list[dict]) -> list[tuple[str, str, str]]:
    """(problem_id, prompt, output) of PROBLEMS rows: as a student would be trained on them."""
    return [
        (row["problem_id"], templates.question_text(row["question"], row["mode"]), row["solution"])
        for row in rows
    ]


def target_texts(rows: list[dict], mode: str) -> list[tuple[str, str, str]]:
    """(problem_id, prompt, output) of BENCHMARK rows with worked solutions, as a student sees them.

    In tool mode the worked program where the benchmark has one, its text where it has none.
    """
    return [
        (row["problem_id"], *(worked_example(row, mode) or worked_example(row, "cot")))
        for row in rows
    ]


def kept(rows: list[dict], path: str | Path) -> list[dict]:
    """The rows of a PROBLEMS table whose status is "kept"; UserError where there is none."""
    chosen = [row for row in rows if row["status"] == "kept"]
    if not chosen:
        raise io.UserError(
            f"{path}: none of the {len(rows)} candidates was kept. Ask for more passages, or look"
            " at the `status` column for what rejected them."
        )
    return chosen


# ---------------------------------------------------------------- directions of the targets


def target_directions(
    model,
    checkpoints: list[Checkpoint],
    samples: dict[str, list[Sample]],
    output: Path,
    state: Path,
    origin: dict,
    advance: Callable[[int], None] = lambda count: None,
    tokens: int = BATCH_TOKENS,
) -> None:
    """Write, per checkpoint, each subtask's mean of unit gradients: what `Scorer` aims at.

    `output` (safetensors): a tensor `epoch-<k>` (subtasks, D) float32 per checkpoint; the key
    "jz3" of its metadata names subtasks, their sample counts, the LoRA weights in the order of D,
    and the checkpoints' digests. Sums run in float64. `state`: folder for sums of unfinished
    subtasks, saved now and then; `advance(n)` is told of every n samples done. Raises UserError
    naming the sample whose loss or gradient is not finite.
    """
    shapes = gradients.weight_shapes(model)
    whole = sum(rows * columns for _, (rows, columns) in shapes)
    sums = {}
    with SampleGradients(model) as sample_gradients:
        for checkpoint in checkpoints:
            reference.set_weights(model, checkpoint)
            for number, chosen in enumerate(samples.values()):
                path = state / f"epoch-{checkpoint.epoch}.{number}.safetensors"
                work = gradients.batches(chosen, tokens)
                total, done = _read_sum(path, whole)
                total = total.to(sample_gradients.device)
                advance(sum(len(batch) for batch in work[:done]))
                saved = time.monotonic()
                for position, batch in enumerate(work[done:], done + 1):
                    total += _unit_gradients(sample_gradients, shapes, batch)
                    advance(len(batch))
                    # When to save changes no number: a sum continues from exactly its own bits.
                    if position == len(work) or time.monotonic() - saved > SAVE_SECONDS:
                        with io.atomic(path) as temporary:
                            save_file({"sum": total.cpu()}, temporary, {"batches": str(position)})
                        saved = time.monotonic()
                sums[checkpoint.epoch, number] = path
    tensors = {}
    for checkpoint in checkpoints:
        rows = [
            (_read_sum(sums[checkpoint.epoch, number], whole)[0] / len(chosen)).float()
            for number, chosen in enumerate(samples.values())
        ]
        tensors[f"epoch-{checkpoint.epoch}"] = torch.stack(rows)
    description = {
        "subtasks": list(samples),
        "problems": [len(chosen) for chosen in samples.values()],
        "weights": shapes,
        "adapters": {f"epoch-{c.epoch}": c.adapter for c in checkpoints},
        "origin": origin,
    }
    with io.atomic(output) as temporary:
        # One key: safetensors writes several in random order.
        save_file(tensors, temporary, {"jz3": json.dumps(description, sort_keys=True)})


def _read_sum(path: Path, size: int) -> tuple[torch.Tensor, int]:
    if not path.exists():
        return torch.zeros(size, dtype=torch.float64), 0
    with safe_open(path, "pt") as file:
        return file.get_tensor("sum"), int(file.metadata()["batches"])


def _unit_gradients(
    sample_gradients: SampleGradients, shapes: list[list], batch: list[Sample]
) -> torch.Tensor:
    """Sum of the batch's gradients, each scaled to norm 1: (D,) float64."""
    found: dict[str, torch.Tensor] = {}
    sample_gradients(batch, lambda name, gradient: found.update({name: gradient.flatten(1)}))
    squares = sum(found[name].double().square().sum(1) for name, _ in shapes)
    scale = 1 / _norms(squares, batch)
    return torch.cat([scale @ found.pop(name).double() for name, _ in shapes])


def _norms(squares: torch.Tensor, batch: list[Sample]) -> torch.Tensor:
    """Roots of the samples' sums of squares; UserError naming one that is zero or not finite."""
    for sample, square in zip(batch, squares.tolist(), strict=True):
        if not 0 < square < float("inf"):
            raise io.UserError(
                f"problem {sample.identity}: its gradient has norm {square**0.5}, hence no"
                " direction. Try dtype float32, or drop the problem."
            )
    return squares.sqrt()


class Directions:
    """The file that `target_directions` wrote, checked against a reference and a model.

    Raises UserError where it was made with another reference or other LoRA weights.
    """

    def __init__(self, path: str | Path, checkpoints: list[Checkpoint], shapes: list[list]):
        self.path = Path(path)
        try:
            with safe_open(self.path, "pt") as file:
                described = json.loads((file.metadata() or {})["jz3"])
        except FileNotFoundError:
            raise io.UserError(f"{path}: no such file. Run target_gradients to make it.") from None
        except (SafetensorError, KeyError, OSError):
            raise io.UserError(
                f"{path}: not a file of target gradients. Delete and rerun."
            ) from None
        self.subtasks: list[str] = described["subtasks"]
        reference.check_weights(shapes, described["weights"], f"{path}: other LoRA weights")
        if described["adapters"] != {f"epoch-{c.epoch}": c.adapter for c in checkpoints}:
            raise io.UserError(
                f"{path}: made with another reference run than"
                f" {checkpoints[0].directory.parent}. Run target_gradients again."
            )

    def at(self, checkpoint: Checkpoint) -> torch.Tensor:
        """Mean unit gradients at a checkpoint: (subtasks, D) float32."""
        with safe_open(self.path, "pt") as file:
            return file.get_tensor(f"epoch-{checkpoint.epoch}")


# ---------------------------------------------------------------- scores of candidates


def score(
    model,
    checkpoints: list[Checkpoint],
    directions: Directions,
    samples: list[Sample],
    form: str,
    journal: io.Journal,
    advance: Callable[[int], None] = lambda count: None,
    tokens: int = BATCH_TOKENS,
) -> dict[Sample, list[float]]:
    """Score of each sample for each subtask of `directions`.

    `form`: see `adam_feature`. `journal` (key "batch") keeps the cosines of finished batches;
    batches depend on the samples alone, so a continued run gives the same bits. Raises UserError
    naming the sample whose loss or gradient is not finite.
    """
    work = gradients.batches(samples, tokens)
    with SampleGradients(model) as sample_gradients:
        for checkpoint in checkpoints:
            names = [f"epoch-{checkpoint.epoch}/{number}" for number in range(len(work))]
            if all(name in journal for name in names):
                advance(len(samples))
                continue
            reference.set_weights(model, checkpoint)
            cosines = _Cosines(sample_gradients, checkpoint, directions, form)
            for name, batch in zip(names, work, strict=True):
                if name not in journal:
                    journal.append({"batch": name, "cosines": cosines(batch)})
                advance(len(batch))
    rates = [checkpoint.learning_rate for checkpoint in checkpoints]
    scores = {}
    for number, batch in enumerate(work):
        found = [journal.records[f"epoch-{c.epoch}/{number}"]["cosines"] for c in checkpoints]
        for sample, by_checkpoint in zip(batch, zip(*found, strict=True), strict=True):
            scores[sample] = combine(list(by_checkpoint), rates)
    return scores


class _Cosines:
    """Mean cosines of candidates with the targets at one checkpoint: (samples x subtasks).

    Takes one LoRA matrix's gradients at a time; only sums of squares and products are kept.
    """

    def __init__(self, sample_gradients, checkpoint: Checkpoint, directions: Directions, form: str):
        self.sample_gradients, self.checkpoint, self.form = sample_gradients, checkpoint, form
        device = sample_gradients.device
        self.first, self.second = (
            {name: tensor.flatten().to(device) for name, tensor in moments.items()}
            for moments in checkpoint.moments()
        )
        shapes = gradients.weight_shapes(sample_gradients.model)
        pieces = directions.at(checkpoint).to(device)
        pieces = pieces.split([rows * columns for _, (rows, columns) in shapes], dim=1)
        self.targets = {name: piece for (name, _), piece in zip(shapes, pieces, strict=True)}

    def __call__(self, batch: list[Sample]) -> list[list[float]]:
        device, checkpoint = self.sample_gradients.device, self.checkpoint
        squares = torch.zeros(len(batch), dtype=torch.float64, device=device)
        subtasks = len(next(iter(self.targets.values())))
        products = torch.zeros(len(batch), subtasks, dtype=torch.float64, device=device)

        def take(name: str, gradient: torch.Tensor) -> None:
            feature = adam_feature(
                gradient.flatten(1),
                self.first[name],
                self.second[name],
                step=checkpoint.step,
                betas=checkpoint.betas,
                eps=checkpoint.eps,
                form=self.form,
            ).double()
            squares.add_(feature.square().sum(1))
            products.add_(feature @ self.targets[name].double().T)

        self.sample_gradients(batch, take)
        return (products / _norms(squares, batch)[:, None]).tolist()
