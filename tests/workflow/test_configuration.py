import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
import yte
from jz3.workflow import schema
from jz3.workflow.checks import mistakes
from jz3.workflow.experiment import Experiment
from jz3.workflow.keys import Part, inside, members
from project import change

ROOT = Path(__file__).parents[2]
SHIPPED = ["config.yaml", "config.paper.yaml", "config.workstation.yaml"]


def load(name):
    return yaml.safe_load((ROOT / name).read_text())


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_are_sound(name):
    assert mistakes(load(name), ROOT) == []


def parts(annotation=Experiment):
    """Every part that a configuration may have, kind by kind."""
    for _, part in members(annotation):
        yield part
        for field in part.model_fields.values():
            inner = field.annotation
            yield from parts(inner if any(members(inner)) else inside(inner))


def test_shipped_configurations_have_the_same_keys():
    for name in SHIPPED:
        assert set(load(name)) == set(Experiment.model_fields)
    for part in parts():  # nothing has a default: a key is given, or it is not there
        for name, field in part.model_fields.items():
            assert field.is_required() or field.default is None, f"{part.__name__}.{name}"


def test_every_key_is_described():
    assert len(set(parts())) > 30
    for part in parts():
        assert part.__doc__, part
        assert part.model_config == Part.model_config, part
        for name, field in part.model_fields.items():
            assert field.description, f"{part.__name__}.{name}"
            assert field.description.endswith((".", "`")), f"{part.__name__}.{name}"


MISTAKES = [
    ("benchmarks.asdiv.splits.test.fields.question", "passage", 'benchmarks.asdiv.splits.test.fields.question: "passage" names no column; columns stand in braces, as in {passage}.'),
    ("models.jiuzhang.template", "plain", 'tables.tool.models: "jiuzhang" has no tool mode (template plain).'),
    ("benchmarks.asdiv.shots.file", "resources/shots/asdiv.jsonl", "benchmarks.asdiv.shots.file: no file matches resources/shots/asdiv.jsonl."),
    ("recipes.student.learning_rte", 0.1, 'recipes.student.learning_rte: unknown key. Did you mean "learning_rate"?'),
    ("recipes.student.epochs", ..., "recipes.student.epochs: missing. Passes over the data."),
    ("recipes.student.learning_rate", "1e-4", "expected number, found string ('1e-4'). Write it without quotes, and 1e-4 as 1.0e-4."),
    ("recipes.student.epochs", 0, "recipes.student.epochs: 0 is less than the minimum of 1."),
    ("recipes.student.schedule", "cosin", 'recipes.student.schedule: "cosin" is not one of cosine, linear, wsd. Did you mean "cosine"?'),
    ("compute.generation", "vlm", 'Did you mean "vllm"?'),
    ("models.finetuned.base", "smollm2_153m", 'models.finetuned.base: there is no "smollm2_153m" in checkpoints. Did you mean "smollm2_135m"?'),
    ("tables.main.benchmarks", ["asdvi"], 'tables.main.benchmarks: there is no "asdvi" in benchmarks. Did you mean "asdiv"?'),
    ("tables.main.models", ["jiuzang"], 'there is no "jiuzang" in models. Did you mean "jiuzhang"?'),
    ("corpus.sources.web.files", ["resources/corpus/wbe/*.txt"], "corpus.sources.web.files: no file matches resources/corpus/wbe/*.txt."),
    ("teacher.model", "gpt-5", 'teacher.prices: no price for "gpt-5". Add its entry.'),
    ("distillation.random_cot.pick", "influence", "distillation.random_cot: `influence` goes with `pick: influence`"),
    ("distillation.random_cot.quota", {"web": 0.5}, "distillation.random_cot: `quota` goes with `pick: influence`"),
    ("distillation.high_value_cot.quota", {"wbe": 0.5}, 'distillation.high_value_cot.quota: there is no "wbe" in corpus.sources. Did you mean "web"?'),
    ("influence.main.projection.kind", "sjl", 'influence.main.projection.kind: "sjl" is not one of none, rademacher, sjlt. Did you mean "sjlt"?'),
    ("influence.main.shards", 0, "influence.main.shards: 0 is less than the minimum of 1."),
    ("checkpoints.smollm2_135m.source", ..., "checkpoints.smollm2_135m.source: missing (kind gguf needs it)."),
    ("sources.asdiv.sha256", "abc", "sources.asdiv.sha256:"),
    ("finetuning.sft.benchmarks", ["asdiv"], 'finetuning.sft.benchmarks: benchmark "asdiv" has no train split.'),
    ("synthesizers.initial.distillation", ["high_value_cot"], "synthesizers.initial: needs itself (initial -> initial)."),
    ("corpora.cot.filters", ["parsd"], 'corpora.cot.filters.0: "parsd" is not one of'),
    ("sizing.card", "a100", 'sizing: there is no "a100" in sizing.cards. Known: none.'),
    ("teacher.serve.checkpoint", "smollm2_135m", "teacher.serve: give source or checkpoint, not both."),
    ("recipes.student.optimizer", "adam", 'recipes.student.optimizer: "adam" is not one of adamw, adafactor. Did you mean "adamw"?'),
    ("recipes.reference.optimizer", "adafactor", "recipes.reference.optimizer: influence.main needs adamw, and its moments."),
    ("models.base.recipe", "student", "models.base: `recipe` goes with pretrain or finetune, and only with them."),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_has_one_readable_line(path, value, message):
    found = mistakes(change(load("config.yaml"), path, value), ROOT)
    assert len(found) == 1
    assert message in found[0]
    assert "\n" not in found[0]


def test_all_mistakes_come_at_once():
    config = load("config.yaml")
    for path, value in [("seed", "x"), ("compute.thread", 2), ("recipes.student.epochs", ...)]:
        config = change(config, path, value)
    assert len(mistakes(config, ROOT)) == 3


def test_an_empty_section_is_a_type_mistake_and_no_traceback():
    found = mistakes(change(load("config.yaml"), "teacher", None), ROOT)
    assert found == ["teacher: expected object, found nothing (None)."]


def test_the_schema_and_the_page_are_made_from_the_types():
    assert (ROOT / schema.PAGE).read_text() == schema.page(), "run `make docs`"
    assert (ROOT / schema.SCHEMA).read_text() == schema.schema(), "run `make docs`"


@pytest.mark.parametrize("name", SHIPPED)
def test_editors_find_the_schema_and_it_admits_what_the_types_admit(name):
    first = (ROOT / name).read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={schema.SCHEMA}"
    validator = jsonschema.Draft202012Validator(json.loads(schema.schema()))
    assert list(validator.iter_errors(load(name))) == []
    for path, value in [("seed", "x"), ("recipes.student.epochs", 0), ("corpora.Bad", {})]:
        assert list(validator.iter_errors(change(load(name), path, value))), path


def test_profiles_name_existing_rules_only():
    rules = set()
    for file in (ROOT / "rules").glob("*.smk"):
        rules |= set(re.findall(r"^rule (\w+):", file.read_text(), flags=re.MULTILINE))
    for profile in (ROOT / "profiles").glob("*/profile.yaml"):
        text = profile.read_text()
        profile = yte.process_yaml(text)
        named = set()
        for key in ("set-threads", "set-resources", "groups"):
            named |= set(profile.get(key, {}))
        assert named <= rules
    assert len(rules) > 30


def test_every_rule_is_documented_and_logged():
    for file in (ROOT / "rules").glob("*.smk"):
        for name, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", file.read_text(), re.M):
            assert body.lstrip().startswith('"""'), name
            if "shell:" in body and "output:" in body:
                assert f'code_version("{name}.py")' in body, name
                assert "log:" in body, name
                assert "benchmark:" in body or "output:" not in body, name
                assert (ROOT / f"scripts/{name}.py").is_file(), name


def test_examples_for_a_model_need_a_file_of_examples():
    config = change(load("config.yaml"), "models.base.shots", 2)
    assert mistakes(config, ROOT) == []
    config = change(config, "benchmarks.asdiv.shots", ...)
    assert mistakes(config, ROOT) == [
        "benchmarks.asdiv.shots: missing (models.base is shown examples)."
    ]
