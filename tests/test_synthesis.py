"""From passages to problem rows, and the two programs that do it, with a tiny model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from jz3 import io, records, synthesis  # noqa: E402
from jz3.generation import Generated  # noqa: E402
from test_generation import make_model  # noqa: E402

SCRIPTS = Path(synthesis.__file__).parents[1]
IDS = [f"passage{i}" for i in range(20)]
LEVELS = ["grade", "high"]


# ---------------------------------------------------------------- draws


def test_pairs_depend_on_the_set_only_and_grow_by_adding():
    pairs = synthesis.draw_pairs(IDS, LEVELS, 12, 3)
    assert len(set(pairs)) == 12
    assert synthesis.draw_pairs(IDS[::-1], LEVELS[::-1], 12, 3) == pairs
    assert synthesis.draw_pairs(IDS, LEVELS, 20, 3)[:12] == pairs
    assert synthesis.draw_pairs(IDS, LEVELS, 12, 4) != pairs


def test_zero_pairs_means_every_passage_once_per_level():
    pairs = synthesis.draw_pairs(IDS, LEVELS, 0, 3)
    assert sorted(pairs) == sorted((p, level) for p in IDS for level in LEVELS)
    assert pairs[:12] == synthesis.draw_pairs(IDS, LEVELS, 12, 3)


def test_shards_divide_the_pairs():
    pairs = synthesis.draw_pairs(IDS, LEVELS, 0, 3)
    parts = [synthesis.shard_of(pairs, k, 3) for k in range(3)]
    assert sorted(sum(parts, [])) == sorted(pairs)
    assert [len(part) for part in parts] == [14, 13, 13]
    for shard in (-1, 3):
        with pytest.raises(io.UserError, match="counted 0 to 2"):
            synthesis.shard_of(pairs, shard, 3)


def test_candidates_leave_out_what_was_distilled():
    drawn = synthesis.draw_candidates(IDS, IDS[:5], LEVELS, 8, 3)
    assert len({passage for passage, _ in drawn}) == 8
    assert not {passage for passage, _ in drawn} & set(IDS[:5])
    assert {level for _, level in drawn} == set(LEVELS)
    assert len(synthesis.draw_candidates(IDS, IDS[:5], LEVELS, 100, 3)) == 15
    # leaving one out changes no other passage's level
    levels = dict(synthesis.draw_candidates(IDS, [], LEVELS, 20, 3))
    assert all(levels[passage] == level for passage, level in drawn)


# ---------------------------------------------------------------- rows

PROMPT = {
    "request_id": "r1", "passage_id": "p1", "source": "web", "level": "grade", "mode": "cot",
    "prompt": "the prompt",
}  # fmt: skip
WHOLE = "[Problem]:\nWhat is 1+1?\n\n[Solution]:\nIt is 2. The answer is \\boxed{2}."


def test_a_whole_completion_becomes_a_kept_row():
    row = synthesis.problem_row(PROMPT, Generated("r1", WHOLE, "stop", 9, 30))
    assert row["question"] == "What is 1+1?"
    assert row["answer"] == "2"
    assert (row["status"], row["parsed"], row["completion_tokens"]) == ("kept", True, 30)
    assert row["completion"] == WHOLE
    assert set(row) == set(records.PROBLEMS.names)


def test_truncated_and_unparsed_completions_become_rows_too():
    cut = synthesis.problem_row(PROMPT, Generated("r1", WHOLE, "length", 9, 30))
    assert (cut["status"], cut["parsed"]) == ("truncated", True)
    noise = synthesis.problem_row(PROMPT, Generated("r1", "noise", "stop", 9, 2))
    assert (noise["status"], noise["parsed"], noise["question"]) == ("unparsed", False, "")
    other = synthesis.problem_row(PROMPT | {"request_id": "r2"}, Generated("r2", "", "stop", 9, 1))
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
    "engine": "transformers", "batch": 4, "dtype": "float32", "threads": 1, "gpus": 0,
}  # fmt: skip


def run(program, folder, *options, **changes):
    return subprocess.run(
        [sys.executable, SCRIPTS / program, "--passages", folder / "passages.parquet",
         "--prompts", folder / "prompts", "--synthesizer", folder / "model", "--seed", "3",
         "--recipe", json.dumps(RECIPE | changes), *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_synthesize_writes_the_rows_of_a_shard_and_repeats_them(world, tmp_path):
    options = ["--shard", "1", "--state", tmp_path / "state", "--output", tmp_path / "1.parquet"]
    result = run("synthesize.py", world, *options)
    assert result.returncode == 0, result.stderr
    rows = io.read_rows(tmp_path / "1.parquet", records.PROBLEMS)
    ids = [p["passage_id"] for p in texts()]
    drawn = synthesis.draw_pairs(ids, LEVELS, 6, 3)[1::2]
    assert [(row["passage_id"], row["level"]) for row in rows] == drawn
    assert {row["status"] for row in rows} <= {"truncated", "unparsed"}
    assert all(row["prompt"].startswith(row["level"] + "\nPassage") for row in rows)
    first = (tmp_path / "1.parquet").read_bytes()
    journal = tmp_path / "state" / "completions.jsonl"
    assert len(journal.read_text().splitlines()) == 3
    again = run("synthesize.py", world, *options)
    assert again.returncode == 0
    assert (tmp_path / "1.parquet").read_bytes() == first


def test_candidates_without_a_whole_problem_are_the_users_mistake(world, tmp_path):
    options = ["--exclude", world / "picks.parquet", "--output", tmp_path / "c.parquet"]
    result = run("synthesize_candidates.py", world, *options)
    assert result.returncode == 1
    assert "none of its 3 completions is a whole problem" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "c.parquet").exists()
