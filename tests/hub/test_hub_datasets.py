"""Datasets of a hub and of folders: what is read of which files, at which commit."""

import bz2
import gzip
import io as streams
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import hub, sha256
from jz3 import io
from jz3.io import UserError
from jz3.sources import readers, splits

ROOT = Path(__file__).parents[2]
__all__ = ["hub"]


def entry(*files, **changes):
    made = {"repository": "me/texts", "revision": "main", "subset": "", "files": list(files),
            "split": "train", "columns": ["text"]}  # fmt: skip
    return made | changes


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(**columns):
    out = streams.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def fetch(tmp_path, *args, **changes):
    """The rows that come, and the table's provenance."""
    splits.fetch(entry(*args, **changes), tmp_path / "out.parquet", "mine", {"program": "x"})
    origin = io.table_origin(tmp_path / "out.parquet")
    return pq.read_table(tmp_path / "out.parquet").to_pylist(), origin


def zstd(body):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(body)
    return sink.getvalue().to_pybytes()


def test_files_whose_other_columns_differ_are_one_table(hub, tmp_path):
    files = {
        "train/a.jsonl": lines({"text": "one", "meta": {"id": 1}}, {"text": "two", "meta": "x"}),
        "train/b.jsonl.gz": gzip.compress(lines({"text": "three", "meta": [1, "a", None]})),
        "train/c.jsonl.zst": zstd(lines({"meta": 3, "text": "four", "more": {"a": {"b": 1}}})),
        "train/d.jsonl.bz2": bz2.compress(lines({"text": None}, {"other": 1, "text": "five"})),
        "train/e.jsonl.xz": lzma.compress(lines({"text": "six"})),
        "train/f.parquet": parquet(meta=[1], text=["seven"]),
        "train/g.json": json.dumps([{"text": "eight", "meta": 0.5}]),
        "train/h.csv": b'\xef\xbb\xbfmeta,text\n1,"ni\nne"\n',
        "train/i.tsv": "text\tmeta\nten\t\n",
        "test/a.jsonl": "not read",
        "README.md": "# texts",
    }
    sha = hub.repo("me/texts", "datasets").commit(files)
    rows, origin = fetch(tmp_path, "train/*")
    assert [row["text"] for row in rows] == [
        "one", "two", "three", "four", None, "five", "six", "seven", "eight", "ni\nne", "ten",
    ]  # fmt: skip
    assert hub.fetched() == sorted(name for name in files if name.startswith("train/"))
    found = origin["hub"]
    assert (found["repository"], found["revision"], found["commit"]) == ("me/texts", "main", sha)
    assert found["files"]["train/b.jsonl.gz"] == sha256(files["train/b.jsonl.gz"])
    assert len(found["files"]) == 9


def test_where_leaves_out_what_is_null(hub, tmp_path):
    rows = [
        {"source": "stackexchange-math", "text": "yes"}, {"source": None, "text": "null"},
        {"text": "none"}, {"source": "web", "text": "no"},
    ]  # fmt: skip
    hub.repo("me/texts", "datasets").commit({"a.jsonl": lines(*rows)})
    where = {"column": "source", "contains": "stackexchange"}
    assert fetch(tmp_path, "a.jsonl", where=where)[0] == [{"text": "yes"}]
    with pytest.raises(UserError, match='there are no rows with "books" in "source"'):
        fetch(tmp_path, "a.jsonl", where={"column": "source", "contains": "books"})
    hub.repo("me/texts", "datasets").commit({"a.jsonl": lines({"source": 3, "text": "x"})})
    with pytest.raises(UserError, match=r'datasets.mine.where: column "source".* is int64, not'):
        fetch(tmp_path, "a.jsonl", where=where)


def test_a_pinned_commit_is_what_comes_and_nothing_is_downloaded_twice(hub, tmp_path):
    repo = hub.repo("me/texts", "datasets")
    old = repo.commit({"a.jsonl": lines({"text": "old"})})
    repo.commit({"a.jsonl": lines({"text": "new"})})
    assert fetch(tmp_path, "*", revision=old)[0] == [{"text": "old"}]
    assert fetch(tmp_path, "*")[0] == [{"text": "new"}]
    hub.asked.clear()
    assert fetch(tmp_path, "*", revision=old)[0] == [{"text": "old"}]
    assert hub.fetched() == []


def test_a_hub_that_is_away_never_means_another_commit(hub, tmp_path):
    repo = hub.repo("me/texts", "datasets")
    old = repo.commit({"a.jsonl": lines({"text": "old"})})
    fetch(tmp_path, "*", revision=old)
    new = repo.commit({"a.jsonl": lines({"text": "new"})})
    hub.server.server_close()
    (tmp_path / "out.parquet").unlink()
    hub.act(".", lambda handler: handler.connection.close())
    for revision in (new, "main"):
        with pytest.raises(UserError, match="the hub cannot be reached"):
            fetch(tmp_path, "*", revision=revision)
    assert not (tmp_path / "out.parquet").exists()


def test_patterns_keep_to_their_folder_and_are_taken_in_order(hub, tmp_path):
    files = {
        f"{place}.jsonl": lines({"text": place})
        for place in ("b", "a", "x/a", "x/y/a", "data/web/0.20-1", "data/web/0.10-1")
    }
    hub.repo("me/texts", "datasets").commit(files)
    taken = {
        ("*.jsonl",): ["a", "b"],
        ("b.jsonl", "*.jsonl"): ["b", "a"],
        ("x/**/*.jsonl",): ["x/a", "x/y/a"],
        ("data/web/0.[2-9]*.jsonl",): ["data/web/0.20-1"],
        ("*/*.jsonl",): ["x/a"],
    }
    for patterns, expected in taken.items():
        assert [row["text"] for row in fetch(tmp_path, *patterns)[0]] == expected


def test_types_are_those_of_all_files(hub, tmp_path):
    files = {
        "a.jsonl": lines({"text": None, "n": 1}),
        "b.jsonl": lines({"text": "x", "n": 1.5}),
        "c.parquet": parquet(text=pa.array(["y"], pa.large_string()), n=pa.array([2], pa.int8())),
    }
    hub.repo("me/texts", "datasets").commit(files)
    rows, _ = fetch(tmp_path, "*", columns=["text", "n"])
    expected = [{"text": None, "n": 1.0}, {"text": "x", "n": 1.5}, {"text": "y", "n": 2.0}]
    assert rows == expected


def test_ways_of_storing_text_are_no_types(hub, tmp_path):
    words = pa.array(["x", "y", None]).dictionary_encode()
    files = {"a.parquet": parquet(text=words), "b.parquet": parquet(text=["z"])}
    hub.repo("me/texts", "datasets").commit(files)
    where = {"column": "text", "contains": "x"}
    assert [row["text"] for row in fetch(tmp_path, "*")[0]] == ["x", "y", None, "z"]
    assert fetch(tmp_path, "*", where=where)[0] == [{"text": "x"}]


def test_odd_names_and_a_slash_behind_the_address(hub, tmp_path, monkeypatch):
    names = [
        "a b.jsonl",
        "a#b.jsonl",
        "a%20b.jsonl",
        "a?b=c&d.jsonl",
        "naïve 数.jsonl",
        "[a].jsonl",
    ]
    hub.repo("me/texts", "datasets").commit({n: lines({"text": n}) for n in names})
    monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
    assert sorted(row["text"] for row in fetch(tmp_path, "*")[0]) == sorted(names)
    assert fetch(tmp_path, "[[]a].jsonl")[0] == [{"text": "[a].jsonl"}]


def test_long_files_come_in_pieces(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "_ROWS", 10)
    monkeypatch.setattr(readers, "_BYTES", 200)
    texts = [f"{number} " * (number % 50 + 1) for number in range(95)]
    files = {
        "a.jsonl": lines(*({"text": text} for text in texts)),
        "b.parquet": parquet(text=texts),
    }
    hub.repo("me/texts", "datasets").commit(files)
    assert [row["text"] for row in fetch(tmp_path, "*")[0]] == texts * 2


def test_lone_surrogates_are_replaced_and_said(hub, tmp_path, capfd):
    body = b'{"text": "a\\ud800b", "tags": ["\\udfff"]}\n'
    hub.repo("me/texts", "datasets").commit({"a.jsonl": body})
    rows, _ = fetch(tmp_path, "*", columns=["text", "tags"])
    assert rows == [{"text": "a\ufffdb", "tags": ["\ufffd"]}]
    assert "lone surrogates" in capfd.readouterr().err


def test_a_local_folder_needs_no_revision(tmp_path):
    folder = tmp_path / "texts"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.jsonl").write_bytes(lines({"text": "x", "n": 1}))
    rows, origin = fetch(tmp_path, "sub/*", repository=str(folder), revision="")
    assert rows == [{"text": "x"}]
    assert "hub" not in origin
    (folder / "sub" / "b.jsonl").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    with pytest.raises(UserError, match=r"sub/b.jsonl is a git-lfs pointer.*git lfs pull"):
        fetch(tmp_path, "sub/*", repository=str(folder), revision="")
    (folder / "sub" / "b.jsonl").unlink()
    assert fetch(tmp_path, repository=str(folder), revision="")[0] == [{"text": "x"}]


# ---------------------------------------------------------------- subsets, by the library

CARD = """---
configs:
- config_name: good
  data_files:
  - split: train
    path: ["data/good/*.jsonl", "data/fair/*.jsonl"]
  - split: test
    path: data/test.jsonl
---
# texts
"""


def program(tmp_path, hub, *args, **changes):
    """What the program writes or says: the datasets library reads the hub's address at its start."""
    recipe = json.dumps(entry(*args, **changes))
    command = [
        sys.executable, ROOT / "scripts/fetch_dataset.py", "--name", "mine", "--recipe", recipe,
        "--output", tmp_path / "out.parquet", "--log", tmp_path / "log",
        "--record", tmp_path / "record.json",
    ]  # fmt: skip
    environment = os.environ | {"HF_HUB_OFFLINE": "0"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ended.returncode == 0:
        return pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert ended.returncode != 3, (tmp_path / "log").read_text()
    (line,) = ended.stderr.splitlines()
    return line


def test_a_subset_is_what_its_card_says_at_that_commit(hub, tmp_path):
    files = {
        "README.md": CARD,
        "data/good/a.jsonl": lines({"text": "one", "meta": {"id": 1}}),
        "data/good/b.jsonl": lines({"text": "two", "meta": "x"}),
        "data/fair/a.jsonl": lines({"text": "three", "meta": [{"a": 1}]}),
        "data/test.jsonl": lines({"text": "test"}),
        "data/table.csv": "text,n\nfour,1\n",
        "data/bad/a.jsonl": "not read",
    }
    repo = hub.repo("me/texts", "datasets")
    sha = repo.commit(files)
    repo.commit(files | {"data/good/a.jsonl": lines({"text": "another"})})
    rows = program(tmp_path, hub, subset="good", revision=sha)
    assert [row["text"] for row in rows] == ["one", "two", "three"]
    origin = io.table_origin(tmp_path / "out.parquet")
    assert origin["hub"]["commit"] == sha
    assert sorted(origin["hub"]["files"]) == [
        "data/fair/a.jsonl", "data/good/a.jsonl", "data/good/b.jsonl",
    ]  # fmt: skip
    assert io.read_json(tmp_path / "record.json") == origin["hub"]
    assert "data/bad/a.jsonl" not in hub.fetched()


def test_a_split_that_nobody_describes_is_found_by_names(hub, tmp_path):
    files = {"data/train-00000-of-00001.parquet": parquet(text=["a"], n=[1]),
             "data/test-00000-of-00001.parquet": parquet(text=["b"])}  # fmt: skip
    hub.repo("me/texts", "datasets").commit(files)
    assert program(tmp_path, hub) == [{"text": "a"}]
    line = program(tmp_path, hub, split="tset")
    assert line.endswith('no split "tset". Did you mean "test"? There are train, test.')


def test_what_only_the_library_reads(hub, tmp_path):
    card = "---\nconfigs:\n- config_name: table\n  data_files: data/*.csv\n---\n"
    hub.repo("me/texts", "datasets").commit({"README.md": card, "data/a.csv": "text,n\nfour,1\n"})
    assert program(tmp_path, hub, subset="table") == [{"text": "four"}]
    line = program(tmp_path, hub, subset="tabel")
    assert "the datasets library cannot load it (BuilderConfig 'tabel' not found" in line
    line = program(tmp_path, hub, subset="table", columns=["txet"])
    assert line.endswith('no column "txet". Did you mean "text"? Found: text, n.')


def test_a_gate_before_a_subset_says_so(hub, tmp_path):
    repo = hub.repo("me/texts", "datasets", gated=True)
    repo.commit({"README.md": CARD, "data/good/a.jsonl": lines({"text": "one"})})
    line = program(tmp_path, hub, subset="good")
    assert "datasets.mine: hf://datasets/me/texts@main: README.md: gated (401)" in line
    assert line.endswith("Accept its licence on the hub's page and set HF_TOKEN.")
