"""Checkpoints of a hub: what is taken, at which commit, and what a broken-off download leaves."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import fetch_model
import pytest
from hub_server import hub, sha256
from jz3 import io
from jz3.io import UserError
from jz3.sources import checkpoints
from tiny_weights import checkpoint_files

ROOT = Path(__file__).parents[2]
__all__ = ["hub"]


def entry(revision="main", name="me/tiny"):
    return {"kind": "hub", "repository": name, "revision": revision, "dtype": "float32"}


def test_only_what_belongs_to_the_checkpoint_is_downloaded(hub, tmp_path):
    files = checkpoint_files(shards=2)
    more = {
        "README.md": "# x", "pytorch_model.bin": b"pickle", "consolidated.safetensors": b"x" * 99,
        "adapter.safetensors": b"x" * 99, "onnx/model.safetensors": b"x" * 99,
        "original/tokenizer.model": b"x", "sub/config.json": "{}", ".gitattributes": "",
        "model.safetensors": b"an older one", "training_args.bin": b"x",
    }  # fmt: skip
    sha = hub.repo("me/tiny").commit(files | more)
    checkpoints.make(entry(), tmp_path / "out", "mine", state=tmp_path / "state")
    assert hub.fetched() == sorted(files)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted([*files, checkpoints.ORIGIN])
    for name, body in files.items():
        assert (tmp_path / "out" / name).read_bytes() == body
    origin = io.read_json(tmp_path / "out" / checkpoints.ORIGIN)
    assert (origin["repository"], origin["revision"], origin["commit"]) == ("me/tiny", "main", sha)
    shard = "model-00001-of-00002.safetensors"
    assert origin["files"][shard] == sha256(files[shard])
    assert not (tmp_path / "state").exists()


def test_the_program_keeps_a_record_beside_the_checkpoint(hub, tmp_path):
    sha = hub.repo("me/tiny").commit(checkpoint_files())
    weights = {key: value for key, value in entry().items() if key != "dtype"}
    record = tmp_path / "records" / "mine.json"
    fetch_model.main(
        argparse.Namespace(
            recipe={"weights": weights, "dtype": "float32"}, name="mine", source=None, seed=0,
            output=tmp_path / "out", state=tmp_path / "state", record=record,
        )
    )  # fmt: skip
    assert io.read_json(record)["commit"] == sha
    assert io.read_json(record) == io.read_json(tmp_path / "out" / checkpoints.ORIGIN)


def test_a_pinned_commit_is_what_comes_whatever_main_is(hub, tmp_path):
    old = checkpoint_files(value=1.0)
    sha = hub.repo("me/tiny").commit(old)
    hub.repo("me/tiny").commit(checkpoint_files(value=2.0))
    checkpoints.make(entry(sha), tmp_path / "out", "mine")
    assert (tmp_path / "out/model.safetensors").read_bytes() == old["model.safetensors"]


def test_finished_files_are_not_downloaded_again(hub, tmp_path):
    files = checkpoint_files(shards=2)
    hub.repo("me/tiny").commit(files)
    last = sha256(files["model-00002-of-00002.safetensors"])
    hub.fail(f"GET /cdn/{last}", 503)
    state = tmp_path / "state"
    with pytest.raises(UserError, match=r"model-00002.*out of order \(503\)"):
        checkpoints.make(entry(), tmp_path / "out", "mine", state=state)
    assert not (tmp_path / "out").exists()
    hub.faults.clear()
    hub.asked.clear()
    checkpoints.make(entry(), tmp_path / "out", "mine", state=state)
    assert hub.fetched() == ["model-00002-of-00002.safetensors"]
    assert not state.exists()


def test_files_of_another_commit_are_not_mixed_in(hub, tmp_path):
    repo = hub.repo("me/tiny")
    files = checkpoint_files(shards=2)
    repo.commit(files)
    hub.fail(f"GET /cdn/{sha256(files['model-00002-of-00002.safetensors'])}", 503)
    state = tmp_path / "state"
    with pytest.raises(UserError):
        checkpoints.make(entry(), tmp_path / "out", "mine", state=state)
    newer = checkpoint_files(shards=2, value=3.0)
    repo.commit(newer)
    checkpoints.make(entry(), tmp_path / "out", "mine", state=state)
    for name, body in newer.items():
        assert (tmp_path / "out" / name).read_bytes() == body


def test_pieces_of_a_killed_download_do_not_pile_up(hub, tmp_path):
    files = checkpoint_files(shards=2)
    hub.repo("me/tiny").commit(files)
    hub.fail(f"GET /cdn/{sha256(files['model-00002-of-00002.safetensors'])}", 404)
    state = tmp_path / "state"
    with pytest.raises(UserError):
        checkpoints.make(entry(), tmp_path / "out", "mine", state=state)
    piece = state / "files/.cache/huggingface/download/x.1234.incomplete"
    piece.write_bytes(b"x" * 99)
    with pytest.raises(UserError):
        checkpoints.make(entry(), tmp_path / "out", "mine", state=state)
    assert not piece.exists()


def test_a_torn_connection_goes_on_where_it_broke(hub, tmp_path):
    files = checkpoint_files(width=300_000)
    hub.repo("me/tiny").commit(files)
    body = files["model.safetensors"]
    hub.alter(f"GET /cdn/{sha256(body)}", lambda body: body[: len(body) // 2], times=1)
    checkpoints.make(entry(), tmp_path / "out", "mine")
    assert (tmp_path / "out/model.safetensors").read_bytes() == body
    assert sum("/cdn/" in line for line in hub.asked) == 2


def test_bytes_altered_once_are_fetched_again(hub, tmp_path, capfd):
    files = checkpoint_files()
    hub.repo("me/tiny").commit(files)
    hub.alter("GET /cdn/", lambda body: b"x" * len(body), times=1)
    checkpoints.make(entry(), tmp_path / "out", "mine")
    assert (tmp_path / "out/model.safetensors").read_bytes() == files["model.safetensors"]
    assert "fetched again" in capfd.readouterr().err


def test_a_busy_hub_is_asked_again_when_it_says(hub, tmp_path):
    hub.repo("me/tiny").commit(checkpoint_files())
    hub.fail("GET /api/models/me/tiny/revision", 429, times=1, Retry_After="7")
    hub.fail("GET /api/models/me/tiny/revision", 503, times=1)
    checkpoints.make(entry(), tmp_path / "out", "mine")
    assert hub.waits[:2] == [7, 2]


def test_gated_weights_come_to_a_member(hub, tmp_path, monkeypatch):
    hub.repo("me/tiny", gated=True).commit(checkpoint_files())
    monkeypatch.setenv("HF_TOKEN", "hf_member")
    checkpoints.make(entry(), tmp_path / "out", "mine")
    assert (tmp_path / "out/config.json").exists()


def test_a_local_folder_loses_foreign_weights_too(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    files = checkpoint_files(shards=2)
    for name, body in (files | {"adapter.safetensors": b"x"}).items():
        (source / name).write_bytes(body)
    local = {"kind": "local", "path": str(source)}
    checkpoints.make(local, tmp_path / "out", "mine")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(files)
    whole = files["model-00001-of-00002.safetensors"]
    (source / "model-00001-of-00002.safetensors").write_bytes(whole[:-10])
    with pytest.raises(UserError, match=r"model-00001.*a piece of a file"):
        checkpoints.make(local, tmp_path / "out", "mine")
    (source / "model-00001-of-00002.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )
    with pytest.raises(UserError, match=r"model-00001.* is a git-lfs pointer.*git lfs pull"):
        checkpoints.make(local, tmp_path / "out", "mine")


def test_the_program_says_one_line_and_keeps_no_product(hub, tmp_path):
    hub.repo("me/tiny").commit({"README.md": "nothing"})
    recipe = {"weights": entry() | {}, "dtype": "float32"}
    del recipe["weights"]["dtype"]
    command = [
        sys.executable, ROOT / "scripts/fetch_model.py", "--name", "mine",
        "--recipe", json.dumps(recipe), "--state", tmp_path / "state",
        "--output", tmp_path / "out", "--log", tmp_path / "log",
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.stderr.splitlines() == [
        "fetch_model: checkpoint mine: hf://me/tiny@main: no config.json; is this a Hugging Face"
        " checkpoint?"
    ]
    assert ended.returncode not in (0, 3)
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert not (tmp_path / "out").exists()
    shutil.rmtree(tmp_path / "state", ignore_errors=True)
