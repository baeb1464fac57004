"""From passages to problem rows, and the two programs that do it, with a tiny model."""

import importlib
import json

import pytest

pytest.importorskip("torch")

from jz3 import io, records
from jz3.corpus.sampling import draw_candidates, draw_pairs
from jz3.generation import Generated
from jz3.synthesis import write
from jz3.workflow import recipes
from tiny_model import make_model

IDS = [f"passage{i}" for i in range(20)]
LEVELS = ["grade", "high"]


# ---------------------------------------------------------------- draws


def test_pairs_depend_on_the_set_only_and_grow_by_adding():
    pairs = draw_pairs(IDS, LEVELS, 12, 3)
    assert len(set(pairs)) == 12
    assert draw_pairs(IDS[::-1], LEVELS[::-1], 12, 3) == pairs
    assert draw_pairs(IDS, LEVELS, 20, 3)[:12] == pairs
    assert draw_pairs(IDS, LEVELS, 12, 4) != pairs


def test_zero_pairs_means_every_passage_once_per_level():
    pairs = draw_pairs(IDS, LEVELS, 0, 3)
    assert sorted(pairs) == sorted((p, level) for p in IDS for level in LEVELS)
    assert pairs[:12] == draw_pairs(IDS, LEVELS, 12, 3)


def test_candidates_leave_out_what_was_distilled():
    drawn = draw_candidates(IDS, IDS[:5], LEVELS, 8, 3)
    assert len({passage for passage, _ in drawn}) == 8
    assert not {passage for passage, _ in drawn} & set(IDS[:5])
    assert {level for _, level in drawn} == set(LEVELS)
    assert len(draw_candidates(IDS, IDS[:5], LEVELS, 100, 3)) == 15
    # leaving one out changes no other passage's level
    levels = dict(draw_candidates(IDS, [], LEVELS, 20, 3))
    assert all(levels[passage] == level for passage, level in drawn)


# ---------------------------------------------------------------- rows

PROMPT = {
    "request_id": "r1", "passage_id": "p1", "source": "web", "level": "grade", "mode": "cot",
    "prompt": "the prompt",
}  # fmt: skip
WHOLE = "[Problem]:\nWhat is 1+1?\n\n[Solution]:\nIt is 2. The answer is \\boxed{2}."


def test_a_whole_completion_becomes_a_kept_row():
    row = write.problem_row(PROMPT, Generated("r1", WHOLE, "stop", 9, 30))
    assert row["question"] == "What is 1+1?"
    assert row["answer"] == "2"
    assert (row["status"], row["parsed"], row["completion_tokens"]) == ("kept", True, 30)
    assert row["completion"] == WHOLE
    assert set(row) == set(records.PROBLEMS.names)


def test_truncated_and_unparsed_completions_become_rows_too():
    cut = write.problem_row(PROMPT, Generated("r1", WHOLE, "length", 9, 30))
    assert (cut["status"], cut["parsed"]) == ("truncated", True)
    noise = write.problem_row(PROMPT, Generated("r1", "noise", "stop", 9, 2))
    assert (noise["status"], noise["parsed"], noise["question"]) == ("unparsed", False, "")
    other = write.problem_row(PROMPT | {"request_id": "r2"}, Generated("r2", "", "stop", 9, 1))
    assert other["problem_id"] != noise["problem_id"]


# ---------------------------------------------------------------- programs


def texts():
    for i in range(12):
        text = f"Passage number {i} tells of {i * 3} apples."
        yield {
            "passage_id": records.passage_id(text), "source": "web", "kind": "web",
            "document_id": f"d{i}", "position": 0, "text": text,
        }  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_model(folder / "model")
    passages = list(texts())
    io.write_table(folder / "passages.parquet", passages, records.PASSAGES, io.provenance("test"))
    picks = [
        {"passage_id": p["passage_id"], "source": "web", "level": "grade", "mode": "cot",
         "score": None, "text": p["text"]}
        for p in passages[:8]
    ]  # fmt: skip
    io.write_table(folder / "picks.parquet", picks, records.PICKS, io.provenance("test"))
    (folder / "prompts").mkdir()
    for level in LEVELS:
        (folder / "prompts" / f"{level}.md").write_text(f"{level}\n{{passage}}\n## New Problem\n")
    return folder


RECIPE = {
    "mode": "cot", "prompts": 6, "shards": 2, "passages": 3,
    "sampling": {"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 8},
    "engine": "transformers", "batch": 4, "dtype": "float32", "threads": 1,
}  # fmt: skip


TOLD = {
    "draw_prompts": recipes.DrawPrompts,
    "synthesize": recipes.Synthesize,
    "synthesize_candidates": recipes.SynthesizeCandidates,
}


def run(name, *options, **changes):
    program = importlib.import_module(name)
    recipe = {k: v for k, v in (RECIPE | changes).items() if k in TOLD[name].model_fields}
    line = ["--seed", 3, "--recipe", json.dumps(recipe), *options]
    program.main(program.parser().parse_args([str(part) for part in line]))


def draw(folder, output, **changes):
    options = ["--passages", folder / "passages.parquet", "--prompts", folder / "prompts"]
    run("draw_prompts", *options, "--output", output, **changes)


def candidates(folder, *options, **changes):
    given = ["--passages", folder / "passages.parquet", "--prompts", folder / "prompts"]
    run("synthesize_candidates", *given, "--synthesizer", folder / "model", *options, **changes)


def test_shards_divide_the_drawn_prompts_and_keep_them_when_more_are_drawn(world, tmp_path):
    def drawn(output):
        tables = sorted(output.iterdir())
        return [io.read_rows(table, records.PROMPTS) for table in tables]

    draw(world, tmp_path / "few")
    parts = drawn(tmp_path / "few")
    assert [len(part) for part in parts] == [3, 3]
    rows = [row for part in parts for row in part]
    ids = [p["passage_id"] for p in texts()]
    assert {(row["passage_id"], row["level"]) for row in rows} == set(draw_pairs(ids, LEVELS, 6, 3))
    for row in rows:
        text = next(p["text"] for p in texts() if p["passage_id"] == row["passage_id"])
        assert row["prompt"] == f"{row['level']}\n{text}\n## New Problem\n"
    draw(world, tmp_path / "more", prompts=9, shards=4)
    parts = drawn(tmp_path / "more")
    assert [len(part) for part in parts] == [3, 2, 2, 2]
    more = {row["request_id"] for part in parts for row in part}
    assert {row["request_id"] for row in rows} < more


def test_more_shards_than_prompts(world, tmp_path):
    with pytest.raises(io.UserError, match="6 prompts cannot fill 9 shards: lower `shards`"):
        draw(world, tmp_path / "o", shards=9)
    assert not (tmp_path / "o").exists()


def test_synthesize_writes_the_rows_of_a_shard_and_repeats_them(world, tmp_path):
    draw(world, tmp_path / "prompts")
    shard = tmp_path / "prompts" / "00001.parquet"
    options = ["--prompts", shard, "--synthesizer", world / "model"]
    options += ["--state", tmp_path / "state", "--output", tmp_path / "1.parquet"]
    run("synthesize", *options)
    rows = io.read_rows(tmp_path / "1.parquet", records.PROBLEMS)
    asked = io.read_rows(shard, records.PROMPTS)
    kept = ("passage_id", "source", "level", "mode", "prompt")
    assert [[row[k] for k in kept] for row in rows] == [[row[k] for k in kept] for row in asked]
    assert {row["status"] for row in rows} <= {"truncated", "unparsed"}
    first = (tmp_path / "1.parquet").read_bytes()
    journal = tmp_path / "state" / "completions.jsonl"
    assert len(journal.read_text().splitlines()) == 3
    run("synthesize", *options)
    assert (tmp_path / "1.parquet").read_bytes() == first
    assert len(journal.read_text().splitlines()) == 3
    # what the synthesizer is belongs to the journal's key
    other = json.loads((world / "model" / "generation_config.json").read_text())
    (world / "model" / "generation_config.json").write_text(json.dumps(other | {"top_k": 3}))
    run("synthesize", *options[:-1], tmp_path / "2.parquet")
    assert io.read_rows(tmp_path / "2.parquet", records.PROBLEMS) == rows


def test_candidates_without_a_whole_problem_are_the_users_mistake(world, tmp_path):
    options = ["--exclude", world / "picks.parquet", "--output", tmp_path / "c.parquet"]
    with pytest.raises(io.UserError, match="none of its 3 completions is a whole problem"):
        candidates(world, *options)
    assert not (tmp_path / "c.parquet").exists()


def test_no_passage_left_for_candidates(world, tmp_path):
    ids = [{"passage_id": p["passage_id"], "source": "", "level": "", "mode": "", "score": None,
            "text": ""} for p in texts()]  # fmt: skip
    io.write_table(tmp_path / "all.parquet", ids, records.PICKS, io.provenance("test"))
    options = ["--exclude", tmp_path / "all.parquet", "--output", tmp_path / "c.parquet"]
    with pytest.raises(io.UserError, match="no candidate is left"):
        candidates(world, *options)


def test_candidates_that_parse_are_kept(world, tmp_path, monkeypatch):
    # The tiny model cannot write a problem; its completions are replaced by ones that can.
    def answer(engine, requests, sampling, seed, journal_path, what):
        kinds = [(WHOLE, "stop"), ("noise", "stop"), (WHOLE, "length")]
        return {
            r.request_id: Generated(r.request_id, *kinds[i % 3], 5, 5)
            for i, r in enumerate(requests)
        }

    monkeypatch.setattr(write, "generate_journalled", answer)
    candidates(world, "--output", tmp_path / "c.parquet", passages=6)
    rows = io.read_rows(tmp_path / "c.parquet", records.PROBLEMS)
    assert [row["status"] for row in rows] == ["kept", "unparsed", "truncated"] * 2
    assert len({row["problem_id"] for row in rows}) == 6
