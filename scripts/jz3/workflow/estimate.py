"""What a run would take, added up from its plan (workload.py) into a table and notes for people."""

from collections.abc import Sequence
from itertools import groupby

from ..text import short
from . import workload
from .experiment import Experiment
from .settings import Sizing
from .sizing import Work

COLUMNS = (
    *("stage", "job", "jobs", "GPUs", "tokens"),
    *("GPU-hours", "of starts", "hours", "dollars", "disk"),
)


def hours(value: float) -> str:
    """Hours with one decimal, minutes below one hour."""
    if not value:
        return "-"
    return f"{value:,.1f}" if value >= 1 else f"{max(1, round(60 * value))} min"


def wall(works: Sequence[Work], settings: Sizing) -> float:
    """Hours that one stage takes: side by side where it uses GPUs, else one after the other."""
    if not any(work.gpus for work in works):
        return sum(work.jobs * work.whole_hours for work in works)
    together = sum(work.gpu_hours for work in works) / settings.gpus_at_once
    return max(together, *(work.whole_hours for work in works))


def in_stages(works: Sequence[Work], settings: Sizing) -> float:
    """Hours of the whole run, one stage after the other."""
    stages = [list(group) for _, group in groupby(works, key=lambda work: work.stage)]
    return sum(wall(group, settings) for group in stages)


def starts(works: Sequence[Work]) -> float:
    """Hours of GPUs (or of the machine) that pass while engines start, one in every job."""
    return sum(work.jobs * max(1, work.gpus) * work.start_hours for work in works)


def line(works: Sequence[Work], stage: str, job: str, settings: Sizing) -> list[str]:
    """One row of the table."""
    gpus = {work.gpus for work in works}
    nodes = {work.nodes for work in works}
    each = str(gpus.pop()) if len(gpus) == 1 else f"{min(gpus)}-{max(gpus)}"
    if nodes != {1}:
        each += f" on {max(nodes)} nodes"
    return [
        stage,
        job,
        f"{sum(work.jobs for work in works):,}",
        each if each != "0" else "-",
        short(sum(work.tokens for work in works)),
        hours(sum(work.gpu_hours for work in works)),
        hours(starts(works)),
        hours(wall(works, settings)),
        f"{sum(work.dollars for work in works):,.2f}" if any(w.dollars for w in works) else "-",
        short(sum(work.disk for work in works), "B"),
    ]


def rows(works: Sequence[Work], settings: Sizing) -> list[list[str]]:
    """The table: a row per entry (evaluations: per model and mode), and a total per stage."""
    made = []
    for stage, group in groupby(works, key=lambda work: work.stage):
        members = list(group)

        def entry(work: Work) -> tuple[str, str]:
            return work.rule, work.name.rsplit("/", 1)[0]

        for (rule, name), part in groupby(members, key=entry):
            made.append(line(list(part), stage, f"{rule} {name}", settings))
        if len(members) > 1:
            made.append(line(members, stage, "together", settings))
    return made


def time_of(experiment: Experiment) -> float:
    """Hours that a run takes."""
    return in_stages(list(workload.plan(experiment).values()), experiment.sizing)


def notes(experiment: Experiment, works: Sequence[Work]) -> list[str]:
    """What the table does not say."""
    settings, teacher = experiment.sizing, experiment.teacher
    time = in_stages(works, settings)
    gpu_hours = sum(work.gpu_hours for work in works)
    where = f"on {settings.gpus_at_once} GPUs at once" if gpu_hours else "on this machine"
    lines = [f"Time: about {time:,.1f} hours {where}, one stage after the other."]
    if gpu_hours and settings.gpu_hour_dollars:
        cost = gpu_hours * settings.gpu_hour_dollars
        lines.append(f"GPUs: {gpu_hours:,.0f} hours, {cost:,.0f} dollars at the price in `sizing`.")
    if settings.cards:
        on = (f"{name} {time_of(experiment.on_card(name)):,.1f} hours" for name in settings.cards)
        lines.append(f"On each card: {', '.join(on)}.")
    if lost := starts(works):
        count = sum(work.jobs for work in works if work.start_hours)
        unit = "GPU-hours" if gpu_hours else "hours"
        spent = f"{lost:,.1f} {unit}" if lost >= 1 else hours(lost)
        lines.append(f"Starts: {count:,} engines, one per job; {spent} of the above.")
    dollars = sum(work.dollars for work in works)
    if dollars:
        price = experiment.price
        most = sum(
            workload.new_requests(experiment, name)
            * (
                workload.lengths(experiment, entry.mode)[0] * price.input
                + teacher.max_tokens * price.output
            )
            for name, entry in experiment.distillation.items()
        )
        lines.append(
            f"Teacher: about {dollars:,.0f} dollars; {most / 1e6:,.0f} if every answer had the"
            " longest length; nothing is sent beyond teacher.budget_dollars,"
            f" {teacher.budget_dollars:,.0f}."
        )
    if state := workload.state_bytes(works):
        lines.append(
            f"Disk: up to {short(state, 'B')} more for the states of models that train at once; hub"
            " datasets, passages and the hub's cache (HF_HOME) are not counted."
        )
    lines.append("Problems that a filter will reject are counted as kept: training is overstated.")
    unknown = [
        f"{work.rule} {work.name}"
        for work in works
        if not work.hours and work.rule not in ("fetch_model", "ask_teacher")
    ]
    if unknown:
        lines.append(f"Not counted, their texts' length being unknown: {', '.join(unknown)}.")
    return lines


def table(lines: list[list[str]]) -> str:
    """Columns aligned by spaces: the first two to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in [list(COLUMNS), *lines]) for i in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [list(COLUMNS), *lines]
    )
