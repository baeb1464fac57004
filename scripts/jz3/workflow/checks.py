"""Reads a configuration: every mistake at once, each in one line with its place and a hint."""

import csv
import glob
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from ..io import UserError, did_you_mean
from .entries import InfluentialDistillation, TrainedSynthesizer
from .experiment import RUN_TABLES, Experiment
from .keys import Part, about
from .messages import mistakes_of_shape


def read(config: dict[str, Any], root: Path, files: Iterable[Path] = ()) -> Experiment:
    """The experiment that a configuration describes.

    `root` is the folder that relative paths start from, `files` those that the configuration was
    read from. Raises UserError with every mistake.
    """
    if lines := [line for file in files for line in repeated(file)] + mistakes(config, root):
        count = f"{len(lines)} mistake{'s' if len(lines) > 1 else ''} in the configuration:"
        raise UserError("\n".join([count, *(f"  {line}" for line in lines)]))
    return Experiment.model_validate(config)


def repeated(file: Path) -> Iterator[str]:
    """Keys that a file gives twice: of such, YAML takes the last without a word."""

    def within(node: yaml.Node, place: str) -> Iterator[str]:
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                yield from within(item, place)
        if not isinstance(node, yaml.MappingNode):
            return
        seen = set()
        for key, value in node.value:
            at = f"{place}.{key.value}" if place else str(key.value)
            if key.value in seen:
                yield f"{at}: stands in {file} twice (line {key.start_mark.line + 1}); keep one."
            seen.add(key.value)
            yield from within(value, at)

    root = yaml.compose(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
    if root is not None:  # an empty file
        yield from within(root, "")


def mistakes(config: dict[str, Any], root: Path) -> list[str]:
    """Every mistake in `config`, one readable line each (empty: the configuration is sound).

    Shape first; names that refer to other entries, and files, only where the shape is right.
    """
    if lines := mistakes_of_shape(Experiment, config):
        return lines
    experiment = Experiment.model_validate(config)
    lines = [*_references(experiment), *_teacher(experiment), *_tables(experiment)]
    lines = lines or [*_moments(experiment), *_quantised(experiment)]
    return (lines or [*_circles(experiment), *_unlike(experiment)]) + _files(experiment, root)


def _keys(part: Part, place: str) -> Iterator[tuple[str, FieldInfo, Any]]:
    """Every key that is set, with its dotted place, in all parts within."""

    def within(value: Any, place: str) -> Iterator[tuple[str, FieldInfo, Any]]:
        if isinstance(value, Part):
            yield from _keys(value, place)
        elif isinstance(value, Mapping):
            for name, item in value.items():
                yield from within(item, f"{place}.{name}")
        elif isinstance(value, tuple):
            for number, item in enumerate(value):
                yield from within(item, f"{place}.{number}")

    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        at = f"{place}.{name}" if place else name
        if value is not None:
            yield at, field, value
            yield from within(value, at)


def _references(experiment: Experiment) -> Iterator[str]:
    """Names of entries that do not exist, and what a list holds twice."""
    for place, field, value in _keys(experiment, ""):
        if isinstance(value, tuple):
            # of what has settings of its own, such as {filter: limit}, the name
            names = [next(iter(item), "") if isinstance(item, dict) else item for item in value]
            names = [item for item in names if isinstance(item, str)]
            twice = [item for number, item in enumerate(names) if item in names[:number]]
            yield from (f'{place}: "{item}" stands there twice.' for item in dict.fromkeys(twice))
        told = about(field)
        if "names" in told:
            for name in dict.fromkeys([value] if isinstance(value, str) else value):
                yield from _refer(experiment, place, name, told["names"], told.get("split", ""))


def _refer(
    experiment: Experiment, place: str, name: str, section: str, split: str = ""
) -> Iterator[str]:
    entries: Any = experiment
    for word in section.split("."):
        entries = getattr(entries, word)
    if name not in entries:
        hint = did_you_mean(name, entries) or f" Known: {', '.join(entries) or 'none'}."
        yield f'{place}: there is no "{name}" in {section}.{hint}'
    elif split and split not in entries[name].splits:
        yield f'{place}: benchmark "{name}" has no {split} split.'


def _teacher(experiment: Experiment) -> Iterator[str]:
    teacher = experiment.teacher
    if teacher.model not in teacher.prices:
        hint = did_you_mean(teacher.model, teacher.prices) or " Add its entry."
        yield f'teacher.prices: no price for "{teacher.model}".{hint}'
    if teacher.serve.source and not teacher.base_url:
        yield from _refer(experiment, "teacher.serve.source", teacher.serve.source, "sources")


def _moments(experiment: Experiment) -> Iterator[str]:
    """References trained without the moments that candidates are valued by."""
    for name, entry in experiment.influence.items():
        if experiment.recipe_of(entry).optimizer == "adafactor":
            recipe = entry.reference.recipe
            yield f"recipes.{recipe}.optimizer: influence.{name} needs adamw, and its moments."


def _quantised(experiment: Experiment) -> Iterator[str]:
    """Quantised models that would be trained, and engines that run nothing else."""
    kept = experiment.quantised
    trained = {
        **{f"synthesizers.{n}.base": e.base for n, e in experiment.trained_synthesizers.items()},
        **{f"models.{n}.base": e.base for n, e in experiment.trained_models.items()},
        **{
            f"influence.{n}.reference.base": e.reference.base
            for n, e in experiment.influence.items()
        },
    }
    for place, base in trained.items():
        if base in kept:
            yield f'{place}: "{base}" is quantised, and cannot be trained.'
    if experiment.compute.generation == "llamacpp":
        for writer in dict.fromkeys(e.synthesizer for e in experiment.written_corpora.values()):
            if experiment.synthesizers[writer].start not in kept:
                text = f"llamacpp cannot run synthesizers.{writer}: not quantised."
                yield f"compute.generation: {text}"
        for model in dict.fromkeys(cell.model for cell in experiment.all_evaluations):
            if experiment.models[model].base not in kept:
                yield f"compute.generation: llamacpp cannot run models.{model}: not quantised."


def _tables(experiment: Experiment) -> Iterator[str]:
    """Tables that take a name of ours, or ask a model in a way that nobody is set up for."""
    lines: dict[str, None] = {}
    for name, table in experiment.tables.items():
        if name in RUN_TABLES:
            lines[f"tables.{name}: every run makes a table of this name; rename yours."] = None
        for model in experiment.models.keys() & set(table.models):
            entry = experiment.models[model]
            if table.mode == "tool" and entry.template == "plain":
                lines[f'tables.{name}.models: "{model}" has no tool mode (template plain).'] = None
            asked = table.benchmarks if table.mode == "cot" and entry.shots else ()
            for benchmark in experiment.benchmarks.keys() & set(asked):
                if experiment.benchmarks[benchmark].shots is None:
                    place = f"benchmarks.{benchmark}.shots"
                    lines[f"{place}: missing (models.{model} is shown examples)."] = None
    yield from sorted(lines)


def _circles(experiment: Experiment) -> list[str]:
    """An influence run whose synthesizer depends on that run's own picks can never start."""

    def needs(synthesizer: str, seen: tuple[str, ...]) -> str:
        if synthesizer in seen:
            return " -> ".join([*seen, synthesizer])
        entry = experiment.synthesizers[synthesizer]
        learned = entry.distillation if isinstance(entry, TrainedSynthesizer) else ()
        for name in learned:
            distillation = experiment.distillation[name]
            if isinstance(distillation, InfluentialDistillation):
                writer = experiment.influence[distillation.influence].synthesizer
                if circle := needs(writer, (*seen, synthesizer)):
                    return circle
        return ""

    circles = {name: needs(name, ()) for name in experiment.synthesizers}
    ends = [(n, c) for n, c in circles.items() if c.endswith(f"-> {n}")]
    return [f"synthesizers.{name}: needs itself ({circle})." for name, circle in ends]


def _unlike(experiment: Experiment) -> Iterator[str]:
    """Corpora filtered after one that is not filtered here, or after themselves."""
    corpora = experiment.written_corpora
    for name, entry in corpora.items():
        for other in entry.unlike:
            if other not in corpora:
                yield f'corpora.{name}.unlike: "{other}" is released; name corpora written here.'

    def after(corpus: str, seen: tuple[str, ...]) -> str:
        if corpus in seen:
            return " -> ".join([*seen, corpus])
        others = corpora[corpus].unlike if corpus in corpora else ()
        return next(filter(None, (after(other, (*seen, corpus)) for other in others)), "")

    for name in corpora:
        if (circle := after(name, ())).endswith(f"-> {name}"):
            yield f"corpora.{name}.unlike: is filtered after itself ({circle}); take one out."
            return


def _files(experiment: Experiment, root: Path) -> list[str]:
    """Files that the configuration names and that must be there before anything starts."""
    named: dict[str, tuple[str, ...]] = {}
    for name, entry in experiment.corpus.sources.items():
        named[f"corpus.sources.{name}.files"] = entry.files or ()
    for name, benchmark in experiment.benchmarks.items():
        if benchmark.shots:
            named[f"benchmarks.{name}.shots.file"] = (benchmark.shots.file,)
        for split, part in benchmark.splits.items():
            place = f"benchmarks.{name}.splits.{split}.files"
            named[place] = getattr(part, "files", None) or ()
    for name, finetuning in experiment.finetuning.items():
        named[f"finetuning.{name}.files"] = finetuning.files or ()
    for mode, folder in experiment.prompts.plain().items():
        named[f"prompts.{mode}"] = (f"{folder}/*.md", f"{folder}/examples.jsonl")
    for name, table in experiment.tables.items():
        named[f"tables.{name}.paper"] = (table.paper,) if table.paper else ()
    lines = [
        f"{place}: no file matches {pattern}."
        for place, patterns in named.items()
        for pattern in patterns
        if not glob.glob(str(root / pattern), recursive=True)
    ]
    return lines or list(_paper_rows(experiment, root))


def _paper_rows(experiment: Experiment, root: Path) -> Iterator[str]:
    """Models that replicate a row which no table of the paper has."""
    for name, model in experiment.models.items():
        papers = {t.paper for t in experiment.tables.values() if name in t.models} - {""}
        rows: set[str] = set()
        for paper in papers if model.paper_row else ():
            with (root / paper).open(encoding="utf-8", newline="") as stream:
                rows |= {row["model"] for row in csv.DictReader(stream)}
        if rows and model.paper_row and model.paper_row not in rows:
            hint = did_you_mean(model.paper_row, rows)
            yield f'models.{name}.paper_row: the paper has no "{model.paper_row}".{hint}'
