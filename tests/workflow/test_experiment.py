"""What follows from an experiment: sharing, identity and conduct, and where products lie."""

from pathlib import Path

import pytest
import yaml
from jz3 import program
from jz3.workflow import recipes
from jz3.workflow.experiment import Cell, Experiment
from jz3.workflow.layout import Layout

ROOT = Path(__file__).parents[2]


def load(name, **sections):
    config = yaml.safe_load((ROOT / name).read_text())
    return Experiment.model_validate(config | sections)


@pytest.fixture(scope="module")
def paper():
    return load("config.paper.yaml")


@pytest.fixture(scope="module")
def layout(paper):
    return Layout(paper)


# ---------------------------------------------------------------- what is made here


def test_what_is_trained_written_and_released(paper, layout):
    assert "released_cot" not in paper.trained_synthesizers
    assert layout.synthesizer("released_cot") == "<results>/sources/models/synthesis_7b"
    assert layout.synthesizer("boosted_cot") == "<results>/synthesizers/boosted_cot/model"
    assert "released_tool" not in paper.written_corpora
    assert layout.corpus_table("released_tool") == (
        "<results>/sources/datasets/corpus_pt_tool.parquet"
    )
    assert layout.corpus_table("cot") == "<results>/synthesis/cot/problems.parquet"
    assert "base_7b" not in paper.trained_models
    assert layout.model("base_7b") == "<results>/sources/models/mistral_7b"
    assert layout.model("jiuzhang_7b") == "<results>/models/jiuzhang_7b/model"
    assert len(layout.histories()) == len(paper.trained_synthesizers) + len(paper.trained_models)


def test_entries_share_what_they_agree_in(paper):
    for product in ("candidates", "reference", "gradients"):
        assert paper.maker("adam_cot", product) == "main_cot"
        assert paper.maker("main_tool", product) == "main_tool"
    for product in ("features", "shards"):
        assert paper.maker("adam_cot", product) == "adam_cot"
    main = paper.influence["main_cot"].plain()
    mean = {**main, "aggregate": "mean"}
    lower = {**main, "lora": {**main["lora"], "rank": 8}}
    plain = {name: entry.plain() for name, entry in paper.influence.items()}
    more = load("config.paper.yaml", influence={**plain, "mean": mean, "lower": lower})
    assert more.maker("mean", "shards") == "main_cot"
    assert more.maker("lower", "candidates") == "main_cot"
    assert more.maker("lower", "reference") == "lower"
    assert more.sharers("main_cot", "shards") == ["main_cot", "mean"]
    assert Layout(more).candidates("lower") == "<results>/influence/main_cot/candidates.parquet"


def test_candidates_avoid_what_their_readers_have_seen(paper, layout):
    assert paper.earlier_picks("main_cot") == ["random_cot"]
    assert paper.picked_by("main_cot") == 2930
    assert paper.picked_by("nobody") == 0
    [path] = layout.earlier_picks("main_cot")
    assert path == "<results>/distillation/random_cot/picks.parquet"


def test_examples_are_the_models_number_or_the_benchmarks(paper, layout):
    assert paper.shots(Cell("base_7b", "cot", "gsm8k")) == 5
    assert paper.shots(Cell("jiuzhang_7b", "cot", "aqua")) == 5
    assert paper.shots(Cell("jiuzhang_7b", "cot", "gsm8k")) == 0
    assert paper.shots(Cell("base_7b", "tool", "gsm8k")) == 0
    assert layout.shots("jiuzhang_7b", "cot", "gsm8k") == []
    assert layout.shots("base_7b", "cot", "gsm8k") == ["resources/shots/word_problems.jsonl"]


def test_evaluations_that_tables_share_are_named_once(paper, layout):
    assert len(paper.all_evaluations) == len(set(paper.all_evaluations))
    assert layout.evaluations("ablations")[0] == "<results>/evaluation/base_7b/cot/gsm8k"
    assert set(layout.evaluations("ablations")) <= set(layout.evaluations())


def test_sizes_of_test_sets():
    miniature = load("config.yaml")
    assert miniature.subsets("main") == ["asdiv"]
    assert miniature.whole_sizes("main") == {"asdiv": 2305}
    assert miniature.split("asdiv", "test").taken == 200
    assert Layout(miniature).split_files("word_problems", "test") == []
    assert Layout(miniature).split_files("asdiv", "test") == ["<results>/sources/files/asdiv"]


# ---------------------------------------------------------------- identity and conduct

CONDUCT = [
    ("teacher", {"base_url": "http://elsewhere", "budget_dollars": 1.0, "attempts": 9}),
    ("execution", {"workers": 3}),
]


def test_conduct_is_no_part_of_what_products_are(paper):
    config = paper.plain()
    for section, values in CONDUCT:
        config[section] = {**config[section], **values}
    config["recipes"]["student"]["save_steps"] = 7
    config["sources"]["svamp"]["places"] = ["https://elsewhere/test.jsonl"]
    config["checkpoints"]["mistral_7b"]["parameters"] = 9.0
    config |= {"name": "other", "results": "elsewhere"}
    config["sizing"]["gpu_memory_gb"] = 40
    other = Experiment.model_validate(config)
    assert other.identity() == paper.identity()
    assert other.conduct() != paper.conduct()


def test_of_vllm_only_what_can_change_bytes_is_identity(paper):
    told = recipes.synthesize(paper, "cot").identity()
    assert told["vllm"].keys() == {"context", "quantization", "speculative_tokens"}
    assert "caches" not in told
    config = paper.plain()
    config["compute"]["generation"] = "transformers"
    other = Experiment.model_validate(config)
    assert "vllm" not in recipes.synthesize(other, "cot").identity()  # nothing is made again


def test_places_are_identity_where_nothing_else_pins_the_bytes(paper):
    assert recipes.fetch_file(paper, "mawps").identity().keys() == {"sha256", "places"}
    assert recipes.fetch_file(paper, "svamp").identity().keys() == {"sha256"}


def test_a_recipe_is_what_identity_and_conduct_make_together(paper):
    for made in (
        recipes.ask_teacher(paper, "random_cot"),
        recipes.train_model(paper, "jiuzhang_7b"),
        recipes.fetch_file(paper, "svamp"),
        recipes.fetch_model(paper, "mistral_7b"),
        recipes.answer_benchmark(paper, "jiuzhang_7b", "cot", "gsm8k"),
        recipes.synthesize(paper, "cot"),
        recipes.execute_solutions(paper),
        recipes.build_table(paper, "main"),
        recipes.prepare_benchmark(paper, "gsm8k", "train"),
        recipes.pick_passages(paper, "high_value_cot"),
    ):
        both = program.joined(made.identity(), made.conduct())
        assert type(made).model_validate(both) == made
    assert "save_steps" not in recipes.train_model(paper, "jiuzhang_7b").identity()
    assert "shots" not in recipes.answer_benchmark(paper, "jiuzhang_7b", "tool", "gsm8k").identity()
