"""The most likely mistakes in a configuration: the place, what is wrong, and a hint."""

from pathlib import Path

import pytest
import yaml
from jz3.workflow.checks import mistakes, repeated
from project import change

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())

# What is changed (`...`: left out), the line's beginning, and its hint.
MISTAKES = [
    # a typo in a key
    ({"sed": 1}, "sed: unknown key.", 'Did you mean "seed"?'),
    ({"compute.thread": 2}, "compute.thread: unknown key.", 'Did you mean "threads"?'),
    ({"models.base.tempalte": "chat"}, "models.base.tempalte: unknown key.", 'mean "template"?'),
    ({"teacher.price": {}}, "teacher.price: unknown key.", 'Did you mean "prices"?'),
    ({"checkpoints.smollm2_135m.digit": True}, "checkpoints.smollm2_135m.digit: unknown key.", 'mean "digits"?'),
    ({"corpora.cot.sampling.topp": 1.0}, "corpora.cot.sampling.topp: unknown key.", 'mean "top_p"?'),
    # a typo in a name
    ({"models.base.base": "smollm"}, 'models.base.base: there is no "smollm" in checkpoints.', 'mean "smollm2_135m"?'),
    ({"models.jiuzhang.pretrain": ["cott"]}, 'models.jiuzhang.pretrain: there is no "cott" in corpora.', 'mean "cot"?'),
    ({"corpora.cot.synthesizer": "bosted"}, 'corpora.cot.synthesizer: there is no "bosted"', 'mean "boosted"?'),
    ({"tables.main.models": ["gpt"]}, 'tables.main.models: there is no "gpt" in models.', "Known: base, finetuned, jiuzhang."),
    ({"influence.main.targets": [{"benchmark": "asdiv", "split": "train", "problems": 1, "by_subject": False}]}, 'influence.main.targets.0.benchmark: benchmark "asdiv" has no train split.', ""),
    ({"teacher.serve.source": "qwen"}, 'teacher.serve.source: there is no "qwen" in sources.', "Known: smollm2_135m_gguf"),
    ({"teacher.model": "gpt-5"}, 'teacher.prices: no price for "gpt-5".', "Add its entry."),
    ({"compute.generation": "vlm"}, 'compute.generation: "vlm" is not one of transformers, vllm, llamacpp.', 'mean "vllm"?'),
    ({"corpora.cot.filters": ["duplicates"]}, 'corpora.cot.filters.0: "duplicates" is not one of', 'mean "near_duplicate"?'),
    ({"corpora.cot.unlike": ["tool"]}, "corpora.cot.unlike: is filtered after itself (cot -> tool -> cot)", "take one out."),
    ({"corpora.cot.unlike": ["tol"]}, 'corpora.cot.unlike: there is no "tol" in corpora.', 'mean "tool"?'),
    ({"benchmarks.asdiv.splits.validation": {"generator": "word_problems", "problems": 1}}, 'benchmarks.asdiv.splits: "validation" is not one of train, test.', ""),
    ({"models.My-Model": {"base": "smollm2_135m", "template": "chat"}}, 'models: "My-Model" is not a name', "(lower case, digits, underscores)"),
    # nesting
    ({"train": 0, "compute.gpus": ...}, "compute.gpus: missing. GPUs per job.", ""),
    ({"evaluation.sampling": {"temperature": 0.0}}, "evaluation.sampling: unknown key.", ""),
    ({"recipes.learning_rate": 1.0e-4}, "recipes.learning_rate: expected object, found number (0.0001).", ""),
    # a wrong type, a quoted number, 1e-4 (a text for YAML), nothing
    ({"seed": "17"}, "seed: expected integer, found string ('17').", "Write it without quotes"),
    ({"recipes.student.learning_rate": "1e-4"}, "recipes.student.learning_rate: expected number", "1e-4 as 1.0e-4."),
    ({"recipes.student.epochs": 1.5}, "recipes.student.epochs: expected integer, found number (1.5).", ""),
    ({"teacher.structured": "yes"}, "teacher.structured: expected boolean", "Write true or false, without quotes."),
    ({"tables.main.models": "base"}, "tables.main.models: expected array", "Write it as a list, in [brackets]."),
    ({"checkpoints.smollm2_135m": {"kind": "hub", "repository": "a/b", "revision": 123, "parameters": 1}}, "checkpoints.smollm2_135m.revision: expected string", "Put it in quotes."),
    ({"teacher": None}, "teacher: expected object, found nothing (None).", ""),
    ({"compute.threads": None}, "compute.threads: expected integer, found nothing (None).", ""),
    # out of range
    ({"recipes.student.epochs": 0}, "recipes.student.epochs: 0 is less than the minimum of 1.", ""),
    ({"filtering.similarity": 70}, "filtering.similarity: 70 is greater than the maximum of 1.", ""),
    ({"evaluation.confidence": 1}, "evaluation.confidence: 1 is too large; it must be below 1.", ""),
    # missing
    ({"recipes.student.epochs": ...}, "recipes.student.epochs: missing.", "Passes over the data."),
    ({"checkpoints.smollm2_135m.source": ...}, "checkpoints.smollm2_135m.source: missing", "(kind gguf needs it)"),
    ({"benchmarks.word_problems.splits.test.problems": ...}, "benchmarks.word_problems.splits.test.problems: missing", "(a generator needs a number)"),
    # two that exclude each other, or what a kind has no use for
    ({"corpus.sources.web.packages": ["sympy"]}, "corpus.sources.web: give exactly one of files, sources, datasets, packages", "(found files and packages)"),
    ({"benchmarks.asdiv.splits.test.files": ["resources/shots/word_problems.jsonl"]}, "benchmarks.asdiv.splits.test: give exactly one of", "(found source and files)"),
    ({"checkpoints.smollm2_135m.repository": "a/b"}, "checkpoints.smollm2_135m.repository: not used by kind gguf", "remove it"),
    ({"synthesizers.initial.released": "smollm2_135m", "synthesizers.initial.recipe": ..., "synthesizers.initial.distillation": ...}, "synthesizers.initial.base: not used beside `released`", "remove it"),
    ({"distillation.random_cot.quota": {"web": 0.5}}, "distillation.random_cot: `quota` goes with `pick: influence`", "only with it"),
    ({"models.base.recipe": "student"}, "models.base: `recipe` goes with pretrain or finetune", "only with them"),
    ({"teacher.serve.command": ""}, "teacher: set base_url, or serve.command", "for a local server"),
    # circles, empty lists, names given twice
    ({"synthesizers.initial.distillation": ["high_value_cot"]}, "synthesizers.initial: needs itself", "(initial -> initial)"),
    ({"tables.main.models": []}, "tables.main.models: empty", "give at least one"),
    ({"finetuning.sft.benchmarks": ...}, "finetuning.sft: give benchmarks, datasets or files.", ""),
    ({"tables.main.models": ["base", "base"]}, 'tables.main.models: "base" stands there twice.', ""),
    ({"tables.cost": CONFIG["tables"]["main"]}, "tables.cost: every run makes a table of this name", "rename yours"),
    # files
    ({"corpus.sources.web.files": ["resources/corpus/wbe/*.txt"]}, "corpus.sources.web.files: no file matches", "resources/corpus/wbe/*.txt"),
    ({"models.base.paper_row": "JiuZhang"}, 'models.base.paper_row: the paper has no "JiuZhang".', ""),
]  # fmt: skip


def changed(changes):
    """A copy of the miniature with other values at dotted places."""
    config = CONFIG
    for place, value in changes.items():
        config = change(config, place, value)
    return config


@pytest.mark.parametrize(("changes", "line", "hint"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_mistake_has_its_place_what_is_wrong_and_a_hint(changes, line, hint):
    found = mistakes(changed(changes), ROOT)
    [told] = [one for one in found if one.startswith(line)]
    assert hint in told
    assert "\n" not in told
    assert not any(word in told for word in ("pydantic", "Input should", "type="))
    assert len(found) == 1 or "train" in changes  # which is also an unknown key


@pytest.mark.parametrize(
    "name", ["config.yaml", "config.paper.yaml", "config.workstation.yaml", "tests/config.yaml"]
)
def test_no_key_of_ours_stands_in_a_file_twice(name):
    assert list(repeated(ROOT / name)) == []


def test_a_key_that_a_file_gives_twice_is_told(tmp_path):
    file = tmp_path / "overlay.yaml"
    file.write_text("models:\n  a: {base: x}\n  b: {base: y}\n  a: {base: z}\n")
    assert list(repeated(file)) == [f"models.a: stands in {file} twice (line 4); keep one."]


def test_every_mistake_is_told_at_once():
    wanted = {"seed": "17", "compute.threads": 0, "recipes.student.epochs": ..., "sed": 1}
    found = mistakes(changed(wanted), ROOT)
    assert {line.split(":")[0] for line in found} == set(wanted)
