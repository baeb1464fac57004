import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jz3 import io

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = pa.schema([("name", pa.string()), ("count", pa.int32())])


def test_atomic_leaves_the_old_file_when_the_block_fails(tmp_path):
    path = tmp_path / "a.txt"
    io.write_text(path, "old")
    with pytest.raises(RuntimeError), io.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_atomic_replaces_a_directory_whole(tmp_path):
    path = tmp_path / "model"
    for content in ("one", "two"):
        with io.atomic(path) as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert [p.name for p in path.iterdir()] == ["two"]


@settings(deadline=None)  # the disk may be slow
@given(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 9)), min_size=1, max_size=5))
def test_tables_come_back_as_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    rows = [{"name": name, "count": count} for name, count in rows]
    io.write_table(path, rows, SCHEMA, io.provenance("test", seed=3))
    assert io.read_rows(path, SCHEMA) == rows
    assert io.table_origin(path)["seed"] == 3


def test_equal_tables_are_equal_bytes(tmp_path):
    for name in ("a", "b"):
        io.write_table(tmp_path / name, [{"name": "x", "count": 1}], SCHEMA, io.provenance("p"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_table_errors_name_file_and_column(tmp_path):
    path = tmp_path / "t.parquet"
    io.write_table(path, [{"name": "x", "count": 1}], SCHEMA, {})
    wanted = pa.schema([("nome", pa.string()), ("count", pa.int32())])
    with pytest.raises(io.UserError, match=r't\.parquet: column "nome".*Did you mean "name"'):
        io.read_table(path, wanted)
    with pytest.raises(io.UserError, match='unknown column "count"'):
        io.read_table(path, pa.schema([("name", pa.string())]))
    with pytest.raises(io.UserError, match='column "name" is string, expected int32'):
        io.read_table(path, pa.schema([("name", pa.int32()), ("count", pa.int32())]))
    lists = pa.schema([("name", pa.list_(pa.string())), ("count", pa.int32())])
    with pytest.raises(io.UserError, match='column "name" is string, expected list'):
        io.read_table(path, lists)  # Arrow has no such cast at all
    io.write_table(path, [], SCHEMA, {})
    with pytest.raises(io.UserError, match="the table is empty"):
        io.read_table(path, SCHEMA)
    path.write_bytes(b"PAR1 not really")
    for read in (lambda: io.read_table(path, SCHEMA), lambda: io.table_origin(path)):
        with pytest.raises(io.UserError, match=r"not a readable Parquet file.*Delete it and rerun"):
            read()


def test_nobody_is_told_to_delete_a_file_of_their_own(tmp_path):
    path = tmp_path / "mine.parquet"
    with pytest.raises(io.UserError, match=r"mine\.parquet: no such file\.$"):
        io.open_parquet(path, product=False).__enter__()
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(io.UserError, match=r"not a readable Parquet file \([^)]*\)\.$"):
        io.open_parquet(path, product=False).__enter__()


def test_running_out_of_memory_is_no_damaged_file(tmp_path):
    path = tmp_path / "t.parquet"
    io.write_table(path, [{"name": "x", "count": 1}], SCHEMA, {})
    with pytest.raises(MemoryError), io.open_parquet(path):
        raise pa.ArrowMemoryError("malloc of size 64 failed")


def test_journal_drops_a_torn_last_line_and_goes_on(tmp_path):
    path = tmp_path / "journal.jsonl"
    with io.Journal(path, "id") as journal:
        journal.append([{"id": "a", "value": 1}, {"id": "b", "value": 2}])
    with path.open("ab") as stream:
        stream.write(b'{"id": "c", "val')
    with io.Journal(path, "id") as journal:
        assert set(journal.records) == {"a", "b"}
        journal.append({"id": "c", "value": 3})
    with io.Journal(path, "id") as journal:
        assert journal.records["c"] == {"id": "c", "value": 3}


def test_journal_refuses_damage_in_the_middle(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"id": "a"}\n{broken\n{"id": "b"}\n')
    with pytest.raises(io.UserError, match="damaged at byte 12"):
        io.Journal(path, "id")


def _write_for_ever(path):
    with io.Journal(path, "id") as journal:
        for number in range(10**9):
            journal.append({"id": str(number), "filler": "x" * 1000})


def test_journal_survives_kill(tmp_path):
    path = tmp_path / "journal.jsonl"
    process = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(path,))
    process.start()
    while not path.exists() or path.stat().st_size < 20_000:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with io.Journal(path, "id") as journal:
        assert list(journal.records) == [str(n) for n in range(len(journal.records))]
        assert len(journal.records) >= 15


def test_resume_directory_keeps_work_of_the_same_key_only(tmp_path):
    state = io.resume_directory(tmp_path / "state", {"lr": 1})
    (state / "work").write_text("done")
    assert (io.resume_directory(tmp_path / "state", {"lr": 1}) / "work").exists()
    assert not (io.resume_directory(tmp_path / "state", {"lr": 2}) / "work").exists()


def test_random_choices_depend_on_seed_and_ids_only():
    assert io.rng(1, "a").random() == io.rng(1, "a").random()
    assert io.rng(1, "a").random() != io.rng(1, "b").random()
    assert io.rng(1, "a", "b").random() != io.rng(1, "ab").random()
    assert io.digest({"a": 1, "b": 2}) == io.digest({"b": 2, "a": 1})


def test_a_scan_holds_a_piece_of_the_file_only(tmp_path):
    path, rows = tmp_path / "large.parquet", 400_000
    draw = random.Random(1)
    texts = [draw.randbytes(100).hex() for _ in range(rows)]
    schema = pa.schema([pa.field("text", pa.string())])
    pieces = (pa.table({"text": texts[k : k + 5000]}, schema) for k in range(0, rows, 5000))
    io.write_table(path, pieces, schema, {})
    program = (
        "import sys, pyarrow as pa; from jz3 import io\n"
        "schema = pa.schema([pa.field('text', pa.string())])\n"
        "seen = sum(piece.num_rows for piece in io.scan_table(sys.argv[1], schema))\n"
        "print(seen, pa.default_memory_pool().max_memory())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
    )  # fmt: skip
    seen, held = map(int, done.stdout.split())
    assert seen == rows
    assert held < path.stat().st_size / 2
