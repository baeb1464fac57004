"""Checks a configuration whole: every mistake in one message, each with its place and a hint."""

import csv
import glob
from pathlib import Path
from typing import Any

import jsonschema

from ..io import did_you_mean

# What each kind of checkpoint needs beside `kind` and `parameters`.
_CHECKPOINT_KEYS = {
    "gguf": {"source", "digits"},
    "hub": {"repository", "revision"},
    "local": {"path"},
    "random": {"hidden_size", "intermediate_size", "layers", "heads", "vocabulary"},
}

# Tables about the run itself, which need no entry (rules/tables.smk).
RUN_TABLES = ("cost", "influence")


def mistakes(config: dict[str, Any], schema: dict[str, Any], root: Path) -> list[str]:
    """Every mistake in `config`, one readable line each (empty: the configuration is sound).

    Shape first; names that refer to other entries, and files, only where the shape is right.
    `root` is the folder that relative paths start from.
    """
    found = _shape(config, schema)
    return found or _references(config) + _files(config, root)


def _shape(config: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema)
    lines = []
    for error in sorted(validator.iter_errors(config), key=lambda e: [str(p) for p in e.path]):
        place = ".".join(map(str, error.path))
        at = f"{place}: " if place else ""
        if error.validator == "additionalProperties":
            known = error.schema["properties"]
            for key in error.instance:
                if key not in known:
                    where = f"{place}.{key}" if place else key
                    lines.append(f"{where}: unknown key.{did_you_mean(str(key), known)}")
        elif error.validator == "required":
            for key in error.validator_value:
                where = f"{place}.{key}" if place else key
                line = f"{where}: missing. {_describe(error.schema, key)}".rstrip()
                if key not in error.instance and line not in lines:
                    lines.append(line)
        elif error.validator == "enum":
            hint = did_you_mean(str(error.instance), map(str, error.validator_value))
            choices = ", ".join(map(str, error.validator_value))
            lines.append(f'{at}"{error.instance}" is not one of {choices}.{hint}')
        elif error.validator == "type":
            found = _type_name(error.instance)
            line = f"{at}expected {error.validator_value}, found {found} ({error.instance!r})."
            if error.validator_value in ("number", "integer") and _numeric(error.instance):
                line += " Write it without quotes, and 1e-4 as 1.0e-4."
            lines.append(line)
        elif error.validator == "pattern" and "propertyNames" in error.schema_path:
            lines.append(f'{at}"{error.instance}" is not a name (lower case, digits, underscores).')
        else:
            lines.append(f"{at}{error.message}.")
    return lines


def _describe(schema: dict[str, Any], key: str) -> str:
    return schema.get("properties", {}).get(key, {}).get("description", "")


def _type_name(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "nothing" if value is None else names.get(type(value), "object")


def _numeric(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, str)


def _references(config: dict[str, Any]) -> list[str]:
    """Names that must be entries elsewhere, and keys that go together."""
    lines: list[str] = []

    def refer(place: str, name: str, section: str, entries: dict[str, Any] | None = None) -> None:
        known = config[section] if entries is None else entries
        if name not in known:
            hint = did_you_mean(name, known) or f" Known: {', '.join(known) or 'none'}."
            lines.append(f'{place}: there is no "{name}" in {section}.{hint}')

    for name, entry in config["checkpoints"].items():
        place = f"checkpoints.{name}"
        wanted = _CHECKPOINT_KEYS[entry["kind"]]
        for key in sorted(wanted - entry.keys()):
            lines.append(f"{place}.{key}: missing (kind {entry['kind']} needs it).")
        for key in sorted(entry.keys() - wanted - {"kind", "parameters", "active_parameters"}):
            lines.append(f"{place}.{key}: not used by kind {entry['kind']}; remove it.")
        if "source" in entry:
            refer(f"{place}.source", entry["source"], "sources")
    for name, entry in config["corpus"]["sources"].items():
        place = f"corpus.sources.{name}"
        _exactly_one(lines, place, entry, ["files", "sources", "datasets", "packages"])
        for key in ("sources", "datasets"):
            for other in entry.get(key, []):
                refer(f"{place}.{key}", other, key)
    for name, entry in config["benchmarks"].items():
        for split, part in entry["splits"].items():
            place = f"benchmarks.{name}.splits.{split}"
            _exactly_one(lines, place, part, ["generator", "source", "dataset", "files"])
            if "generator" in part and "problems" not in part:
                lines.append(f"{place}.problems: missing (a generator needs a number).")
            if "generator" not in part:
                lines += [f"{place}.{k}: missing." for k in ("fields", "take") if k not in part]
                for key, template in part.get("fields", {}).items():
                    if key != "choices" and "{" not in template:
                        lines.append(
                            f'{place}.fields.{key}: "{template}" names no column; columns stand in'
                            f" braces, as in {{{template or 'question'}}}."
                        )
            if "source" in part:
                refer(f"{place}.source", part["source"], "sources")
            if "dataset" in part:
                refer(f"{place}.dataset", part["dataset"], "datasets")
    teacher = config["teacher"]
    if teacher["model"] not in teacher["prices"]:
        lines.append(
            f'teacher.prices: no price for "{teacher["model"]}".'
            + (did_you_mean(teacher["model"], teacher["prices"]) or " Add its entry.")
        )
    if not teacher["base_url"] and not teacher["serve"]["command"]:
        lines.append("teacher: set base_url, or serve.command for a local server.")
    if teacher["serve"]["source"] and not teacher["base_url"]:
        refer("teacher.serve.source", teacher["serve"]["source"], "sources")
    for name, entry in config["distillation"].items():
        place = f"distillation.{name}"
        if (entry["pick"] == "influence") != ("influence" in entry):
            lines.append(f"{place}: `influence` goes with `pick: influence`, and only with it.")
        if "influence" in entry:
            refer(f"{place}.influence", entry["influence"], "influence")
        if "quota" in entry and entry["pick"] != "influence":
            lines.append(f"{place}: `quota` goes with `pick: influence`, and only with it.")
        for source in entry.get("quota", {}):
            refer(f"{place}.quota", source, "corpus.sources", config["corpus"]["sources"])
    for name, entry in config["synthesizers"].items():
        place = f"synthesizers.{name}"
        if "released" in entry:
            refer(f"{place}.released", entry["released"], "checkpoints")
            extra = sorted(entry.keys() - {"released"})
            lines += [f"{place}.{k}: not used beside `released`; remove it." for k in extra]
            continue
        missing = [k for k in ("base", "recipe", "distillation") if k not in entry]
        lines += [f"{place}.{k}: missing." for k in missing]
        if not missing:
            refer(f"{place}.base", entry["base"], "checkpoints")
            refer(f"{place}.recipe", entry["recipe"], "recipes")
            for other in entry["distillation"]:
                refer(f"{place}.distillation", other, "distillation")
    for name, entry in config["influence"].items():
        place = f"influence.{name}"
        refer(f"{place}.synthesizer", entry["synthesizer"], "synthesizers")
        refer(f"{place}.reference.base", entry["reference"]["base"], "checkpoints")
        refer(f"{place}.reference.recipe", entry["reference"]["recipe"], "recipes")
        for number, target in enumerate(entry["targets"]):
            _refer_split(
                lines,
                refer,
                config,
                f"{place}.targets.{number}",
                target["benchmark"],
                target["split"],
            )
    for name, entry in config["corpora"].items():
        place = f"corpora.{name}"
        if "released" in entry:
            refer(f"{place}.released", entry["released"], "datasets")
            extra = sorted(entry.keys() - {"released", "mode"})
            lines += [f"{place}.{k}: not used beside `released`; remove it." for k in extra]
            continue
        wanted = ("synthesizer", "prompts", "shards", "sampling", "filters")
        lines += [f"{place}.{k}: missing." for k in wanted if k not in entry]
        if "synthesizer" in entry:
            refer(f"{place}.synthesizer", entry["synthesizer"], "synthesizers")
    for name, entry in config["finetuning"].items():
        place = f"finetuning.{name}"
        if not entry.keys() & {"benchmarks", "datasets", "files"}:
            lines.append(f"{place}: give benchmarks, datasets or files.")
        for other in entry.get("benchmarks", []):
            _refer_split(lines, refer, config, f"{place}.benchmarks", other, "train")
        for other in entry.get("datasets", []):
            refer(f"{place}.datasets", other, "datasets")
    for name, entry in config["models"].items():
        place = f"models.{name}"
        refer(f"{place}.base", entry["base"], "checkpoints")
        trained = "pretrain" in entry or "finetune" in entry
        if trained != ("recipe" in entry):
            lines.append(f"{place}: `recipe` goes with pretrain or finetune, and only with them.")
        if "recipe" in entry:
            refer(f"{place}.recipe", entry["recipe"], "recipes")
        for other in entry.get("pretrain", []):
            refer(f"{place}.pretrain", other, "corpora")
        for other in entry.get("finetune", []):
            refer(f"{place}.finetune", other, "finetuning")
    for name, entry in config["tables"].items():
        if name in RUN_TABLES:
            lines.append(f"tables.{name}: every run makes a table of this name; rename yours.")
        for other in entry["models"]:
            refer(f"tables.{name}.models", other, "models")
        for other in entry["benchmarks"]:
            _refer_split(lines, refer, config, f"tables.{name}.benchmarks", other, "test")
    lines += _asking(config)
    return lines or _cycles(config)


def _exactly_one(lines: list[str], place: str, entry: dict[str, Any], keys: list[str]) -> None:
    given = [key for key in keys if key in entry]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        lines.append(f"{place}: give exactly one of {', '.join(keys)} (found {found}).")


def _refer_split(lines, refer, config, place: str, benchmark: str, split: str) -> None:
    refer(place, benchmark, "benchmarks")
    if benchmark in config["benchmarks"] and split not in config["benchmarks"][benchmark]["splits"]:
        lines.append(f'{place}: benchmark "{benchmark}" has no {split} split.')


def _asking(config: dict[str, Any]) -> list[str]:
    """Models that a table asks in a way that they or a benchmark are not set up for."""
    lines = []
    for name, table in config["tables"].items():
        for model, entry in config["models"].items():
            if model not in table["models"]:
                continue
            if table["mode"] == "tool" and entry["template"] == "plain":
                lines.append(f'tables.{name}.models: "{model}" has no tool mode (template plain).')
            elif table["mode"] == "cot" and entry.get("shots"):
                lines += [
                    f"benchmarks.{benchmark}.shots: missing (models.{model} is shown examples)."
                    for benchmark in table["benchmarks"]
                    if "shots" not in config["benchmarks"].get(benchmark, {"shots": {}})
                ]
    return list(dict.fromkeys(lines))


def _cycles(config: dict[str, Any]) -> list[str]:
    """An influence run whose synthesizer depends on that run's own picks can never start."""

    def needs(synthesizer: str, seen: tuple[str, ...]) -> str:
        if synthesizer in seen:
            return " -> ".join([*seen, synthesizer])
        for distillation in config["synthesizers"][synthesizer].get("distillation", []):
            entry = config["distillation"][distillation]
            if "influence" in entry:
                next_one = config["influence"][entry["influence"]]["synthesizer"]
                if circle := needs(next_one, (*seen, synthesizer)):
                    return circle
        return ""

    circles = {name: needs(name, ()) for name in config["synthesizers"]}
    ends = [(n, c) for n, c in circles.items() if c.endswith(f"-> {n}")]
    return [f"synthesizers.{name}: needs itself ({circle})." for name, circle in ends]


def _files(config: dict[str, Any], root: Path) -> list[str]:
    """Files that the configuration names and that must be there before anything starts."""
    lines = []

    def exist(place: str, patterns: list[str]) -> None:
        for pattern in patterns:
            if not glob.glob(str(root / pattern), recursive=True):
                lines.append(f"{place}: no file matches {pattern}.")

    for name, entry in config["corpus"]["sources"].items():
        exist(f"corpus.sources.{name}.files", entry.get("files", []))
    for name, entry in config["benchmarks"].items():
        exist(f"benchmarks.{name}.shots.file", [entry["shots"]["file"]] if "shots" in entry else [])
        for split, part in entry["splits"].items():
            exist(f"benchmarks.{name}.splits.{split}.files", part.get("files", []))
    for name, entry in config["finetuning"].items():
        exist(f"finetuning.{name}.files", entry.get("files", []))
    for mode, folder in config["prompts"].items():
        exist(f"prompts.{mode}", [f"{folder}/*.md", f"{folder}/examples.jsonl"])
    for name, entry in config["tables"].items():
        if entry["paper"]:
            exist(f"tables.{name}.paper", [entry["paper"]])
    for name, model in config["models"].items():
        papers = {t["paper"] for t in config["tables"].values() if name in t["models"]} - {""}
        if "paper_row" in model and not lines:
            rows = set()
            for paper in papers:
                with (root / paper).open(encoding="utf-8", newline="") as stream:
                    rows |= {row["model"] for row in csv.DictReader(stream)}
            if rows and model["paper_row"] not in rows:
                hint = did_you_mean(model["paper_row"], rows)
                lines.append(
                    f'models.{name}.paper_row: the paper has no "{model["paper_row"]}".{hint}'
                )
    return lines


def document(schema: dict[str, Any]) -> str:
    """The schema as a Markdown page: one line per key, in the schema's order."""
    lines = [
        "# Configuration",
        "",
        "Made from `rules/schemas/config.schema.yaml` by `make docs`. `<name>` stands for a name",
        "of your choice. Nothing has a default in the code: `config.yaml` and `config.paper.yaml`",
        "hold every key, an overlay holds what differs.",
        "",
        "| key | kind | what it is |",
        "|---|---|---|",
    ]

    def walk(part: dict[str, Any], path: str) -> None:
        if "$ref" in part:
            part = {**schema["$defs"][part["$ref"].rsplit("/", 1)[1]], **part}
        if path:
            kind = "one of " + ", ".join(part["enum"]) if "enum" in part else part.get("type", "")
            text = part.get("description", "").replace("|", "\\|")
            lines.append(f"| `{path}` | {kind} | {text} |")
        for key, inner in part.get("properties", {}).items():
            walk(inner, f"{path}.{key}" if path else key)
        for key, step in (("additionalProperties", ".<name>"), ("items", "[]")):
            inner = part.get(key)
            if isinstance(inner, dict) and (
                inner.get("properties") or "additionalProperties" in inner
            ):
                walk(inner, path + step)

    walk(schema, "")
    return "\n".join(lines) + "\n"
