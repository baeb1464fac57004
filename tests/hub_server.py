"""A hub of our own on the loopback interface: commits, large files behind redirects, gates, faults.

It answers what huggingface_hub and datasets ask, in the public hub's words, and keeps what it was
asked. `fail` and `alter` break it.
"""

import contextlib
import hashlib
import http.server
import json
import re
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

import huggingface_hub
import pytest
from huggingface_hub import constants

PAGE = 3  # entries of a listing per answer: more than one page in most tests
LARGE = (".safetensors", ".parquet", ".gz", ".bin", ".zst")


@dataclass
class Repo:
    """One repository: the files of each commit, and what branches point to."""

    commits: dict = field(default_factory=dict)
    refs: dict = field(default_factory=dict)
    gated: bool = False
    private: bool = False
    large: tuple = LARGE

    def commit(self, files, branch="main"):
        """Add a commit and return its digest."""
        content = {
            path: body.encode() if isinstance(body, str) else body for path, body in files.items()
        }
        text = repr(sorted((path, sha256(body)) for path, body in content.items()))
        sha = hashlib.sha1(f"{text}{len(self.commits)}".encode()).hexdigest()
        self.commits[sha] = content
        self.refs[branch] = sha
        return sha

    def at(self, revision):
        """The commit that a revision means, or None."""
        sha = self.refs.get(revision, revision)
        return sha if sha in self.commits else None


def sha256(body):
    return hashlib.sha256(body).hexdigest()


def blob(body):
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


@dataclass
class Fault:
    """What happens to requests that match: an answer of its own, or a change of the body."""

    pattern: str
    status: int = 0
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    times: int = 10**9
    change: object = None
    act: object = None


class Hub:
    """The server's contents and what it was asked: lines such as "GET /api/models/me/tiny"."""

    def __init__(self):
        self.repos = {}
        self.faults = []
        self.asked = []
        self.tokens = {"hf_reader": False, "hf_member": True}  # may it read what is gated?
        self.expired = {"hf_old"}
        self.content = {}
        self.url = ""

    def repo(self, name, kind="models", **options):
        return self.repos.setdefault((kind, name), Repo(**options))

    def fail(self, pattern, status, code="", message="", body=b"", times=10**9, **headers):
        """Answer requests that match with this status."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        if code:
            named["X-Error-Code"] = code
        if message:
            named["X-Error-Message"] = message
        self.faults.append(Fault(pattern, status, named, body, times))

    def alter(self, pattern, change, times=10**9):
        """Change the body of what matches; the announced length stays."""
        self.faults.append(Fault(pattern, times=times, change=change))

    def act(self, pattern, act, times=10**9):
        """Do something to the handler's connection instead of answering."""
        self.faults.append(Fault(pattern, times=times, act=act))

    def fetched(self):
        """Files that were asked for, by path."""
        asked = [line.split("/resolve/")[1] for line in self.asked if "/resolve/" in line]
        return sorted({unquote(path.split("/", 1)[1]) for path in asked})


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.serve()

    do_HEAD = do_POST = do_GET

    def serve(self):
        line = f"{self.command} {self.path}"
        self.hub.asked.append(line)
        length = int(self.headers.get("Content-Length") or 0)
        self.sent = self.rfile.read(length) if length else b""
        self.change = None
        for fault in self.hub.faults:
            if fault.times > 0 and re.search(fault.pattern, line):
                fault.times -= 1
                if fault.act:
                    return fault.act(self)
                if fault.change:
                    self.change = fault.change
                else:
                    return self.answer(fault.status, fault.body, fault.headers)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            return self.route()

    def answer(self, status, body=b"", headers=None):
        if isinstance(body, list | dict):
            body, headers = (
                json.dumps(body).encode(),
                {"Content-Type": "application/json"} | (headers or {}),
            )
        headers = dict(headers or {})
        announced = int(headers.pop("Content-Length", len(body)))
        if self.change and self.command == "GET" and status in (200, 206):
            body = self.change(body)
        self.send_response(status)
        for key, value in ({"Content-Length": str(announced)} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code, message):
        self.answer(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message})

    def route(self):
        parts = urlsplit(self.path)
        path = parts.path
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if path.startswith("/cdn/"):
            assert not token  # not for other hosts
            return self.file(self.hub.content[path.removeprefix("/cdn/")], {})
        if token in self.hub.expired:
            return self.error(401, "", f'User Access Token "{token[:4]}" is expired')
        if token and token not in self.hub.tokens:
            return self.error(401, "", "Invalid credentials in Authorization header")
        if path == "/api/whoami-v2":
            if not token:
                return self.error(401, "", "Invalid username or password.")
            return self.answer(200, {"name": "me", "type": "user"})
        found = re.fullmatch(
            r"/api/(models|datasets)/([^/]+/[^/]+)(?:/([^/]+)/([^/]+)(/.*)?)?", path
        )
        if found:
            return self.api(*found.groups(), parse_qs(parts.query))
        found = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if found:
            kind = "datasets" if found[1] else "models"
            return self.resolve(kind, found[2], unquote(found[3]), unquote(found[4]))
        return self.error(404, "", "Sorry, we can't find the page you are looking for.")

    def api(self, kind, name, action, revision, inner, query):
        repo = self.hub.repos.get((kind, name))
        token = bool(self.headers.get("Authorization"))
        if repo is None or (repo.private and not token):
            if token:
                return self.error(404, "RepoNotFound", "Repository not found")
            return self.error(401, "", "Invalid username or password.")
        sha = repo.at(unquote(revision or "main"))
        if sha is None:
            return self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = repo.commits[sha]
        if action in (None, "revision"):
            listed = [{"rfilename": path} for path in files]
            return self.answer(
                200,
                {"id": name, "sha": sha, "private": repo.private, "gated": repo.gated,
                 "disabled": False, "downloads": 0, "likes": 0, "tags": [], "siblings": listed},
            )  # fmt: skip
        entries = [self.entry(repo, path, body) for path, body in sorted(files.items())]
        folders = {
            "/".join(path.split("/")[:depth])
            for path in files
            for depth in range(1, path.count("/") + 1)
        }
        entries += [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
                    for path in sorted(folders)]  # fmt: skip
        if action == "paths-info":
            form = parse_qs(self.sent.decode())
            wanted = form.get("paths") or json.loads(self.sent or b"{}").get("paths", [])
            return self.answer(200, [entry for entry in entries if entry["path"] in wanted])
        if action == "tree":
            within = unquote(inner or "").strip("/")
            recursive = query.get("recursive", ["False"])[0].lower() == "true"
            shown = [
                entry for entry in entries
                if (not within or entry["path"].startswith(within + "/"))
                and (recursive or "/" not in entry["path"][len(within):].strip("/"))
            ]  # fmt: skip
            if within and not shown:
                return self.error(404, "EntryNotFound", f"{within} does not exist")
            start = int(query.get("cursor", ["0"])[0])
            headers = {}
            if start + PAGE < len(shown):
                flags = f"recursive={recursive}&cursor={start + PAGE}"
                headers["Link"] = f'<{self.hub.url}{urlsplit(self.path).path}?{flags}>; rel="next"'
            return self.answer(200, shown[start : start + PAGE], headers)
        return self.error(404, "", f"no such action: {action}")

    def entry(self, repo, path, body):
        entry = {"type": "file", "path": path, "size": len(body), "oid": blob(body)}
        if path.endswith(repo.large):
            entry["lfs"] = {"oid": sha256(body), "size": len(body), "pointerSize": 130}
        return entry

    def resolve(self, kind, name, revision, path):
        repo = self.hub.repos.get((kind, name))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if repo is None or (repo.private and not token):
            return self.error(404 if token else 401, "RepoNotFound", "Repository not found")
        if repo.gated and not self.hub.tokens.get(token):
            words = f"Access to model {name} is restricted"
            return self.error(403 if token else 401, "GatedRepo", words)
        sha = repo.at(revision)
        if sha is None:
            return self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        body = repo.commits[sha].get(path)
        if body is None:
            return self.error(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": sha, "ETag": f'"{blob(body)}"'}
        if path.endswith(repo.large):
            digest = sha256(body)
            self.hub.content[digest] = body
            port = self.hub.url.rsplit(":", 1)[1]
            headers |= {
                "X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(body)),
                "Location": f"http://localhost:{port}/cdn/{digest}",
            }  # fmt: skip
            return self.answer(302, b"", headers)
        return self.file(body, headers)

    def file(self, body, headers):
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not found:
            return self.answer(200, body, headers)
        start, end = int(found[1]), int(found[2] or len(body) - 1)
        headers = headers | {"Content-Range": f"bytes {start}-{end}/{len(body)}"}
        return self.answer(206, body[start : end + 1], headers)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A running hub, which the environment names; nobody waits, and nothing of the user's is read.

    `hub.waits` holds the seconds that were asked for.
    """
    made = Hub()
    handler = type("Handler", (_Handler,), {"hub": made})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    made.server = server
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for kind in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{kind}_proxy", raising=False)
        monkeypatch.delenv(f"{kind}_proxy".upper(), raising=False)
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))  # of programs that a test starts
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    made.waits = []
    monkeypatch.setattr(time, "sleep", made.waits.append)
    huggingface_hub.close_session()
    yield made
    huggingface_hub.close_session()
    server.shutdown()
    server.server_close()
