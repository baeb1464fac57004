"""What a hub, a network, a disk or a repository can do wrong: for each its one line."""

import errno
import gzip
import json
import os
import re
import shutil

import huggingface_hub
import huggingface_hub.file_download
import pytest
from hub_server import hub, sha256
from jz3 import io
from jz3.io import UserError
from jz3.sources import checkpoints, splits
from test_hub_datasets import entry, lines, parquet, zstd
from tiny_weights import checkpoint_files

__all__ = ["hub"]
API = "GET /api/(models|datasets)/me/.*/revision"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
SHARD = "model-00002-of-00002.safetensors"


class World:
    """A hub with a model and a dataset, the environment, and the test's means to break them."""

    def __init__(self, hub, monkeypatch, tmp_path):
        self.hub, self.patch, self.tmp_path = hub, monkeypatch, tmp_path
        self.model, self.texts = hub.repo("me/tiny"), hub.repo("me/texts", "datasets")
        self.files = checkpoint_files(shards=2)
        self.model.commit(self.files)
        self.texts.commit({"a.jsonl": lines({"text": "one"})})
        self.storage = f"GET /cdn/{sha256(self.files[SHARD])}"  # of one file
        self.entry = {"kind": "hub", "repository": "me/tiny", "revision": "main"}

    def token(self, token):
        self.patch.setenv("HF_TOKEN", token)

    def without(self, *names, **more):
        """A commit that lacks some files, or has others."""
        rest = {name: body for name, body in self.files.items() if name not in names}
        self.model.commit(rest | more)

    def fetch_model(self):
        checkpoints.make(self.entry, self.tmp_path / "out", "mine", state=self.tmp_path / "state")

    def fetch_texts(self, *files, **changes):
        splits.fetch(entry(*(files or ["*"]), **changes), self.tmp_path / "out", "mine", {})


@pytest.fixture
def world(hub, monkeypatch, tmp_path):
    return World(hub, monkeypatch, tmp_path)


def refused(world, fetch, *args, **changes):
    """The line that a fetch ends with. It leaves no product."""
    try:
        fetch(*args, **changes)
    except UserError as error:
        line = str(error)
    else:
        raise AssertionError("nothing was wrong")
    assert not (world.tmp_path / "out").exists()
    assert "\n" not in line
    line = line.replace(world.hub.url, "URL").replace(str(world.tmp_path), "TMP")
    line = re.sub(r": [a-z_.]+\.json: ", ": FILE: ", line)  # the one that was first
    return re.sub(r"\b[0-9a-f]{40,64}\b", "DIGEST", line)


FAULTS = {}


def fault(line, kind="model"):
    """A way to break something, and the line that it ends with; `kind`: what is fetched then."""

    def register(function):
        FAULTS[function.__name__] = (function, line, kind)
        return function

    return register


# ---------------------------------------------------------------- who may read


@fault('checkpoint mine: hf://me/tiny@main: the hub does not accept HF_TOKEN (401): "User Access Token "hf_o" is expired". It is expired, revoked or mistyped: make a new one, or unset it for what is public.')  # fmt: skip
def expired_token(world):
    world.token("hf_old")


@fault('checkpoint mine: hf://me/tiny@main: the hub does not accept HF_TOKEN (401): "Invalid credentials in Authorization header". It is expired, revoked or mistyped: make a new one, or unset it for what is public.')  # fmt: skip
def mistyped_token(world):
    world.token("hf_raeder")


@fault('checkpoint mine: hf://me/tiny@main: FILE: gated (401): "Access to model me/tiny is restricted". Accept its licence on the hub\'s page and set HF_TOKEN.')  # fmt: skip
def gated_without_token(world):
    world.model.gated = True


@fault('checkpoint mine: hf://me/tiny@main: FILE: gated (403), and the account of HF_TOKEN has no access: "Access to model me/tiny is restricted". Accept its licence on the hub\'s page, or wait until its authors let you in; a fine-grained token needs the right to read gated repositories.')  # fmt: skip
def gated_without_access(world):
    world.model.gated = True
    world.token("hf_reader")


@fault('datasets.mine: hf://datasets/me/texts@main: a.jsonl: gated (401): "Access to model me/texts is restricted". Accept its licence on the hub\'s page and set HF_TOKEN.', "texts")  # fmt: skip
def gated_texts(world):
    world.texts.gated = True


@fault('checkpoint mine: hf://me/tiny@main: access denied (403): "Your token lacks the role read". Does HF_TOKEN have the right to read it?')  # fmt: skip
def forbidden(world):
    world.token("hf_reader")
    world.hub.fail(API, 403, message="Your token lacks the role read")


@fault("checkpoint mine: hf://me/tiny@main: the hub has disabled access to this repository (403). Take another.")  # fmt: skip
def disabled(world):
    world.hub.fail(API, 403, message="Access to this resource is disabled.")


# ---------------------------------------------------------------- what is not there


@fault("checkpoint mine: hf://me/tinny@main: no such repository (401), or a private one (HF_TOKEN is not set). Check owner/name.")  # fmt: skip
def no_repository(world):
    world.entry["repository"] = "me/tinny"


@fault("checkpoint mine: hf://me/tinny@main: no such repository (404), or one that the account of HF_TOKEN may not see. Check owner/name.")  # fmt: skip
def no_repository_for_this_account(world):
    world.entry["repository"] = "me/tinny"
    world.token("hf_reader")


@fault("checkpoint mine: hf://me/tiny@DIGEST: no such revision (404). Its commits are on the repository's page.")  # fmt: skip
def no_revision(world):
    world.entry["revision"] = "0" * 40


@fault("checkpoint mine: hf://me/tiny@main: FILE: listed by the hub, which does not give it (404). Run again later.")  # fmt: skip
def no_such_file(world):
    world.hub.fail("/resolve/.*/config.json", 404, code="EntryNotFound", message="Entry not found")


@fault("checkpoint mine: hf://me/tiny/main@main: not the name of a repository (Repo id must be in the form 'repo_name' or 'namespace/repo_name': 'me/tiny/main'. Use `repo_type` argument if needed). Write owner/name.")  # fmt: skip
def not_a_name(world):
    world.entry["repository"] = "me/tiny/main"


@fault("checkpoint mine: hf://me/tiny@main: the repository is empty at this revision. Take another.")  # fmt: skip
def empty_repository(world):
    world.model.commit({})


@fault("checkpoint mine: hf://me/tiny@DIGEST: the hub answers with commit DIGEST. Nothing was taken; check HF_ENDPOINT.")  # fmt: skip
def another_commit(world):
    old = next(iter(world.model.commits))
    world.without("tokenizer_config.json")
    world.entry["revision"] = old
    body = json.dumps({"id": "me/tiny", "sha": world.model.refs["main"]}).encode()
    world.hub.fail(API, 200, body=body)


# ---------------------------------------------------------------- the hub and the way to it


@fault('checkpoint mine: hf://me/tiny@main: too many requests (429): "We had to rate limit your IP". Run again in 3,600 s; with HF_TOKEN set the limit is higher.')  # fmt: skip
def too_many_requests(world):
    world.hub.fail(API, 429, message="We had to rate limit your IP", Retry_After="3600")


@fault("checkpoint mine: hf://me/tiny@main: model-00002-of-00002.safetensors: too many requests (429). Run again later.")  # fmt: skip
def too_many_requests_for_files(world):
    world.token("hf_reader")
    world.hub.fail(world.storage, 429)


@fault('checkpoint mine: hf://me/tiny@main: the hub is out of order (500): "Internal Error - We\'re working hard to fix this". Run again later.')  # fmt: skip
def broken_hub(world):
    world.hub.fail(API, 500, message="Internal Error - We're working hard to fix this")


@fault("checkpoint mine: hf://me/tiny@main: model-00002-of-00002.safetensors: the hub is out of order (503). Run again later.")  # fmt: skip
def broken_storage(world):
    world.hub.fail(world.storage, 503)


@fault("checkpoint mine: hf://me/tiny@main: FILE: the hub is out of order (502). Run again later.")  # fmt: skip
def broken_hub_at_a_file(world):
    world.hub.fail("HEAD .*/resolve/.*/config.json", 502)


@fault("checkpoint mine: hf://me/tiny@main: the hub cannot be reached ([Errno 111] Connection refused). Check the network, the proxy and HF_ENDPOINT, or fetch it elsewhere and give its folder (`kind: local` and `path`).")  # fmt: skip
def hub_away(world):
    world.patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


@fault("checkpoint mine: hf://me/tiny@main: FILE: the connection broke (Server disconnected without sending a response). Run again; finished files are kept.")  # fmt: skip
def hub_away_in_the_middle(world):
    world.hub.act("/resolve/|/cdn/", lambda handler: handler.connection.close())


@fault("checkpoint mine: hf://me/tiny@main: HF_HUB_OFFLINE is set. Unset it, or fetch it elsewhere and give its folder (`kind: local` and `path`).")  # fmt: skip
def switched_off(world):
    world.patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@fault("checkpoint mine: hf://me/tiny@main: the answer is not a hub's (Expecting value: line 1 column 1 (char 0)). A proxy's page, or a wrong HF_ENDPOINT?")  # fmt: skip
def login_page(world):
    world.hub.fail(".", 200, body=b"<html>Please log in to hotel-wifi</html>")


@fault("checkpoint mine: hf://me/tiny@main: the hub cannot be reached (Request URL is missing an 'http://' or 'https://' protocol). Check the network, the proxy and HF_ENDPOINT, or fetch it elsewhere and give its folder (`kind: local` and `path`).")  # fmt: skip
def no_address(world):
    world.patch.setenv("HF_ENDPOINT", "hub.example")


@fault("checkpoint mine: hf://me/tiny@main: model-00002-of-00002.safetensors: the connection broke (peer closed connection without sending complete message body (received 0 bytes, expected 96)). Run again; finished files are kept.")  # fmt: skip
def body_that_never_comes(world):
    world.hub.alter(world.storage, lambda body: b"")


@fault("checkpoint mine: hf://me/tiny@main: model-00002-of-00002.safetensors is damaged: sha256 DIGEST, the hub lists DIGEST. A proxy or mirror altered it: run again later, or set HF_ENDPOINT to another.")  # fmt: skip
def altered_bytes(world):
    world.hub.alter(world.storage, lambda body: body[:-1] + b"x")


@fault("checkpoint mine: hf://me/tiny@main: config.json is damaged: sha1 DIGEST, the hub lists DIGEST. A proxy or mirror altered it: run again later, or set HF_ENDPOINT to another.")  # fmt: skip
def altered_small_file(world):
    world.hub.alter("GET .*/resolve/.*/config.json", lambda body: body.replace(b"llama", b"lamma"))


@fault("datasets.mine: hf://datasets/me/texts@main: a.jsonl is damaged: sha1 DIGEST, the hub lists DIGEST. A proxy or mirror altered it: run again later, or set HF_ENDPOINT to another.", "texts")  # fmt: skip
def altered_texts(world):
    world.hub.alter("GET .*/resolve/", lambda body: body.replace(b"one", b"two"))


# ---------------------------------------------------------------- the disk


@fault("checkpoint mine: hf://me/tiny@main: 0.0 MB to download, 0.0 MB free in TMP/state/files. Free some space, and run again.")  # fmt: skip
def too_little_space(world):
    usage = shutil.disk_usage("/")._replace(free=10)
    world.patch.setattr(shutil, "disk_usage", lambda _: usage)


# ---------------------------------------------------------------- repositories found wanting


@fault("checkpoint mine: model-00002-of-00002.safetensors has 86 bytes, its header says 96: a piece of a file. Fetch it again.")  # fmt: skip
def half_of_the_weights(world):
    world.without(**{SHARD: world.files[SHARD][:-10]})


@fault("checkpoint mine: model-00002-of-00002.safetensors is no safetensors file, or a piece of one (16 bytes).")  # fmt: skip
def weights_that_are_none(world):
    world.without(**{SHARD: b"<html>404</html>"})


@fault("checkpoint mine: hf://me/tiny@main: model-00002-of-00002.safetensors is a git-lfs pointer, not the file: it was uploaded so. Take another revision, or another repository.")  # fmt: skip
def pointer(world):
    world.without(**{SHARD: POINTER.encode()})


@fault("checkpoint mine: hf://me/tiny@main: 1 of 2 weight files are missing (model-00002-of-00002.safetensors). Only safetensors weights are read.")  # fmt: skip
def shard_that_is_not_listed(world):
    world.without(SHARD)


@fault("checkpoint mine: model-00002-of-00002.safetensors lacks 1 tensors that model.safetensors.index.json puts there (t1). Index and weights are of different versions.")  # fmt: skip
def weights_of_another_version(world):
    world.without(**{SHARD: world.files["model-00001-of-00002.safetensors"]})


@fault("checkpoint mine: hf://me/tiny@main: model.safetensors.index.json names '../../model.safetensors', which is no weight file here.")  # fmt: skip
def index_that_leads_away(world):
    index = json.dumps({"weight_map": {"a": "../../model.safetensors"}}).encode()
    world.without(**{"model.safetensors.index.json": index})


@fault("checkpoint mine: hf://me/tiny@main: 1 of 1 weight files are missing (model.safetensors). Only safetensors weights are read. Convert its pickled ones, or take another revision.")  # fmt: skip
def pickled_weights(world):
    weights = [name for name in world.files if name.startswith("model")]
    world.without(*weights, **{"pytorch_model.bin": b"x"})


@fault("checkpoint mine: hf://me/tiny@main: no config.json; is this a Hugging Face checkpoint? It is an adapter: merge it into its base.")  # fmt: skip
def adapter(world):
    world.without("config.json", **{"adapter_config.json": b"{}"})


@fault("checkpoint mine: hf://me/tiny@main: no config.json; is this a Hugging Face checkpoint? Its GGUF files are for kind: gguf.")  # fmt: skip
def gguf_files(world):
    world.model.commit({"tiny.Q4_K_M.gguf": b"GGUF"})


@fault("checkpoint mine: hf://me/tiny@main: no tokenizer (tokenizer.json, tokenizer.model, vocab.json).")  # fmt: skip
def no_tokenizer(world):
    world.without("tokenizer.json")


@fault("checkpoint mine: hf://me/tiny@main: its only tokenizer is tokenizer.model, which needs the package sentencepiece (or tiktoken) in every environment. Install it, or take a repository with tokenizer.json.")  # fmt: skip
def tokenizer_that_nothing_reads(world):
    world.patch.setattr("importlib.util.find_spec", lambda name: None)
    world.without("tokenizer.json", **{"tokenizer.model": b"\n\x0e"})


@fault("checkpoint mine: hf://me/tiny@main: lists a file named 'tokenizer\\x1b[2J.json': not a safe name to write.")  # fmt: skip
def hostile_name(world):
    world.without(**{"tokenizer\x1b[2J.json": b"{}"})


# ---------------------------------------------------------------- texts


@fault('datasets.mine: hf://datasets/me/texts@main: no file matches "b*.jsonl". Did you mean "a.jsonl"? There are a.jsonl.', ["b*.jsonl"])  # fmt: skip
def no_file_matches(world):
    pass


@fault("datasets.mine: hf://datasets/me/texts@main: lists a file named 'x/../../../evil.jsonl': not a safe name to write.", ["**/*"])  # fmt: skip
def name_that_leads_away(world):
    world.texts.commit({"x/../../../evil.jsonl": lines({"text": "x"})})


@fault("datasets.mine: hf://datasets/me/texts@main: a.zip is of no kind that is read (.parquet, .jsonl, .ndjson, .json, .csv, .tsv; all but Parquet also with .gz, .bz2, .xz, .zst).", "texts")  # fmt: skip
def kind_that_is_not_read(world):
    world.texts.commit({"a.zip": b"PK"})


@fault('datasets.mine: hf://datasets/me/texts@main: b.jsonl: no column "text". Did you mean "texts"? Found: texts, n.', "texts")  # fmt: skip
def column_that_one_file_lacks(world):
    world.texts.commit({"a.jsonl": lines({"text": "x"}), "b.jsonl": lines({"texts": "x", "n": 1})})


@fault('datasets.mine: hf://datasets/me/texts@main: b.parquet: no column "text". Did you mean "txt"? Found: txt.', "texts")  # fmt: skip
def column_that_a_parquet_file_lacks(world):
    world.texts.commit({"a.jsonl": lines({"text": "x"}), "b.parquet": parquet(txt=["x"])})


@fault('datasets.mine: hf://datasets/me/texts@main: b.parquet: column "text" is int64, and string before. Take files of one kind.', "texts")  # fmt: skip
def column_of_two_types(world):
    world.texts.commit({"a.jsonl": lines({"text": "x"}), "b.parquet": parquet(text=[1])})


@fault('datasets.mine: hf://datasets/me/texts@main: a.jsonl, rows 1 to 2: the values of "text" do not fit one type (Expected bytes, got a \'dict\' object).', "texts")  # fmt: skip
def values_of_two_types(world):
    world.texts.commit({"a.jsonl": lines({"text": "x"}, {"text": {"a": 1}})})


@fault('datasets.mine: hf://datasets/me/texts@main: a.jsonl, rows 1 to 1: the values of "text" do not fit one type (Python int too large to convert to C long).', "texts")  # fmt: skip
def number_that_is_too_large(world):
    world.texts.commit({"a.jsonl": b'{"text": 1%s}\n' % (b"0" * 400)})


@fault("datasets.mine: hf://datasets/me/texts@main: b.parquet cannot be read (Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file). Is it damaged?", "texts")  # fmt: skip
def damaged_parquet(world):
    world.texts.commit({"a.parquet": parquet(text=["x"]), "b.parquet": parquet(text=["x"])[:-5]})


@fault("datasets.mine: hf://datasets/me/texts@main: a.parquet cannot be read (Corrupt snappy compressed data). Is it damaged?", "texts")  # fmt: skip
def damaged_pages(world):
    body = parquet(text=[str(number) for number in range(1000)])
    world.texts.commit({"a.parquet": body[:100] + bytes(200) + body[300:]})


@fault("datasets.mine: hf://datasets/me/texts@main: a.jsonl.gz cannot be read (Compressed file ended before the end-of-stream marker was reached). Is it damaged?", "texts")  # fmt: skip
def cut_gzip(world):
    world.texts.commit({"a.jsonl.gz": gzip.compress(lines({"text": "x" * 999}))[:-12]})


@fault("datasets.mine: hf://datasets/me/texts@main: a.jsonl.zst cannot be read (Truncated compressed stream). Is it damaged?", "texts")  # fmt: skip
def cut_zstd(world):
    world.texts.commit({"a.jsonl.zst": zstd(lines({"text": "x" * 999}))[:-12]})


@fault("datasets.mine: hf://datasets/me/texts@main: a.jsonl, line 2: not valid JSON (Expecting value: line 1 column 10 (char 9)). Is the file damaged?", "texts")  # fmt: skip
def cut_line(world):
    world.texts.commit({"a.jsonl": lines({"text": "x"}, {"text": "y"})[:-5]})


@fault("datasets.mine: hf://datasets/me/texts@main: a.jsonl, line 1: not valid JSON (nested too deeply). Is the file damaged?", "texts")  # fmt: skip
def many_brackets(world):
    world.texts.commit({"a.jsonl": b'{"text": ' + b"[" * 200_000 + b"\n"})


@fault("datasets.mine: hf://datasets/me/texts@main: a.jsonl, line 1: a list, where an object is expected.", "texts")  # fmt: skip
def rows_that_are_lists(world):
    world.texts.commit({"a.jsonl": lines(["text"])})


@fault("datasets.mine: hf://datasets/me/texts@main: a.jsonl, line 2: not valid JSON ('utf-8' codec can't decode byte 0xff in position 10: invalid start byte). Is the file damaged?", "texts")  # fmt: skip
def texts_that_are_no_text(world):
    world.texts.commit({"a.jsonl": lines({"text": "x"}) + b'{"text": "\xff"}\n'})


@fault("datasets.mine: hf://datasets/me/texts@main: a.jsonl is a git-lfs pointer, not the file: it was uploaded so. Take another revision, or another repository.", "texts")  # fmt: skip
def pointer_in_place_of_texts(world):
    world.texts.commit({"a.jsonl": POINTER})


@fault("datasets.mine: hf://datasets/me/texts@main: there are no rows.", "texts")  # fmt: skip
def no_rows(world):
    world.texts.commit({"a.jsonl": b""})


@fault("datasets.mine.revision: give the commit of me/texts.", "no revision")  # fmt: skip
def revision_that_is_empty(world):
    pass


@fault("datasets.mine.repository: there is no folder ./texts.", "no folder")  # fmt: skip
def folder_that_is_not_there(world):
    pass


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line_with_its_cause(world, name):
    function, line, kind = FAULTS[name]
    function(world)
    if kind == "model":
        found = refused(world, world.fetch_model)
    elif kind == "texts":
        found = refused(world, world.fetch_texts)
    elif kind == "no revision":
        found = refused(world, world.fetch_texts, revision="")
    elif kind == "no folder":
        found = refused(world, world.fetch_texts, repository="./texts")
    else:
        found = refused(world, world.fetch_texts, *kind)
    assert found == line


def test_there_are_as_many_faults_as_promised():
    assert len(FAULTS) >= 20


PASSING = {
    "too_many_requests", "too_many_requests_for_files", "broken_hub", "broken_storage",
    "broken_hub_at_a_file", "hub_away", "hub_away_in_the_middle", "body_that_never_comes",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted({*PASSING, "no_revision", "expired_token", "no_address", "switched_off", "cut_line"}))  # fmt: skip
def test_what_may_pass_is_told_from_what_somebody_must_mend(world, name):
    function, _, kind = FAULTS[name]
    function(world)
    with pytest.raises(UserError) as caught:
        world.fetch_model() if kind == "model" else world.fetch_texts()
    assert isinstance(caught.value, io.TryAgain) == (name in PASSING)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stays_a_full_disk(world, number):
    def full(*_, **__):
        raise OSError(number, os.strerror(number), "place")

    world.patch.setattr(huggingface_hub.file_download, "http_get", full)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        world.fetch_model()
    assert caught.value.errno == number
    assert not (world.tmp_path / "out").exists()


def test_a_full_disk_whoever_reports_it(world):
    def full(*_, **__):
        raise RuntimeError(
            "Data processing error: I/O error: No space left on device (os error 28)"
        )

    world.patch.setattr(huggingface_hub.file_download, "http_get", full)
    with pytest.raises(OSError, match="No space left on device"):
        world.fetch_texts()


def test_a_repository_found_wanting_is_not_downloaded(world):
    world.without(SHARD)
    for _ in range(5):
        refused(world, world.fetch_model)
    assert SHARD not in world.hub.fetched()
    assert "model-00001-of-00002.safetensors" not in world.hub.fetched()
    asked = [line for line in world.hub.asked if line.startswith("GET") and "/resolve/" in line]
    assert len(asked) == 4  # what lies beside the weights, once


def test_what_was_found_wanting_is_not_downloaded_again(world):
    world.without(**{SHARD: world.files[SHARD][:-10]})
    for _ in range(5):
        refused(world, world.fetch_model)
    assert sum("/cdn/" in line for line in world.hub.asked) == 2
