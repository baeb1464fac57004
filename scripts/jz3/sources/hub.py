"""The hub: what a repository lists at one commit, and its files, checked by the hub's digests.

A revision is resolved once and everything is taken at that commit. Nothing is ever answered from a
cache in the hub's place: where it cannot be asked, that is an error, one line with its cause.
"""

import concurrent.futures
import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

import httpx2

from .. import program
from ..io import TryAgain, UserError

Kind = Literal["model", "dataset"]
Answer = TypeVar("Answer")

COMMIT = re.compile(r"[0-9a-f]{40}")
POINTER = b"version https://git-lfs.github.com/spec/"
_PARALLEL = 4
_WAITS = (1, 2, 4, 8)  # seconds between tries of what passes by itself
_LONGEST_WAIT = 300  # the hub counts requests in windows of five minutes
_PASSING = (429, 500, 502, 503, 504)
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class File:
    """A file as the hub lists it: `sha256` where it is a large one, else git's digest alone."""

    size: int
    sha256: str
    blob: str


@dataclass(frozen=True)
class Repository:
    """What a repository holds at a commit. `what` names it in messages."""

    what: str
    hub: str | None  # address, where it is not the public one
    kind: Kind
    name: str
    revision: str
    commit: str
    files: dict[str, File]

    def fetch(self, paths: Iterable[str], folder: Path | None = None) -> dict[str, Path]:
        """Download files, or take those that are there, and check each against its digest.

        They lie in `folder` as in the repository, or in the hub's cache. Raises UserError for
        whatever fails, and OSError where the disk is full.
        """
        paths = list(dict.fromkeys(paths))
        if folder:  # pieces of a run that was killed: the library begins each file anew
            for piece in folder.glob(".cache/huggingface/download/**/*.incomplete"):
                piece.unlink(missing_ok=True)
        for path in paths:
            self._check_name(path)
        self._check_space(paths, folder)
        total = sum(self.files[path].size for path in paths)
        with program.Progress(total >> 20, self.name, "MiB") as bar:
            pool = concurrent.futures.ThreadPoolExecutor(_PARALLEL)
            stop = threading.Event()
            counted = _counted(bar, stop)
            jobs = {path: pool.submit(self._fetch, path, folder, counted, stop) for path in paths}
            try:
                concurrent.futures.wait(
                    jobs.values(), return_when=concurrent.futures.FIRST_EXCEPTION
                )
                failed = [job.exception() for job in jobs.values() if job.done()]
                if any(failed):
                    raise min(filter(None, failed), key=_telling)
                return {path: job.result() for path, job in jobs.items()}
            finally:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def record(self, paths: Iterable[str]) -> dict[str, Any]:
        """Where a product came from, for its provenance: repository, commit, files and digests."""
        return {
            "repository": self.name,
            "revision": self.revision,
            "commit": self.commit,
            "files": {path: self.files[path].sha256 or self.files[path].blob for path in paths},
        }

    def _check_name(self, path: str) -> None:
        pure = PurePosixPath(path)
        steps = path.split("/")
        hostile = pure.is_absolute() or ".." in steps or "" in steps or "." in steps
        if hostile or "\\" in path or not path.isprintable() or len(os.fsencode(pure.name)) > 200:
            raise UserError(f"{self.what}: lists a file named {path!r}: not a safe name to write.")

    def _check_space(self, paths: list[str], folder: Path | None) -> None:
        from huggingface_hub import constants

        place = folder or Path(constants.HF_HUB_CACHE)
        there = {path for path in paths if folder and (folder / path).is_file()}
        if not folder:
            there = {path for path in paths if self._cached(path)}
        wanted = sum(self.files[path].size for path in paths if path not in there)
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if wanted > free:
            advice = "Free some space" + ("" if folder else " or set HF_HOME to a larger disk")
            raise UserError(
                f"{self.what}: {_gigabytes(wanted)} to download, {_gigabytes(free)} free in"
                f" {place}. {advice}, and run again."
            )

    def _cached(self, path: str) -> bool:
        import huggingface_hub

        found = huggingface_hub.try_to_load_from_cache(
            self.name, path, revision=self.commit, repo_type=self.kind
        )
        return isinstance(found, str)

    def _fetch(self, path: str, folder: Path | None, bar: type, stop: threading.Event) -> Path:
        import huggingface_hub

        def download(again: bool) -> str:
            bar()  # where another file has failed, this one is not begun
            return huggingface_hub.hf_hub_download(
                self.name,
                path,
                repo_type=self.kind,
                revision=self.commit,
                local_dir=folder,
                force_download=again,
                endpoint=self.hub,
                etag_timeout=10,
                tqdm_class=bar,
            )

        wrong = ""
        for again in (False, True):
            with explained(self.what, path):
                place = Path(_patiently(functools.partial(download, again), stop))
            wrong = _difference(place, self.files[path])
            if not wrong:
                self._check_pointer(path, place)
                return place
            program.warn(f"{self.what}: {path}: {wrong}; fetched again")
        place.unlink()
        raise UserError(
            f"{self.what}: {path} is damaged: {wrong}. A proxy or mirror altered it: run again"
            " later, or set HF_ENDPOINT to another."
        )

    def _check_pointer(self, path: str, place: Path) -> None:
        if is_pointer(place):
            raise UserError(
                f"{self.what}: {path} is a git-lfs pointer, not the file: it was uploaded so. Take"
                " another revision, or another repository."
            )


def endpoint() -> str | None:
    """The hub's address where it is not the public one."""
    return os.environ.get("HF_ENDPOINT") or None


def is_pointer(path: Path) -> bool:
    """Whether a file is what git-lfs leaves in place of one that was not fetched."""
    with path.open("rb") as stream:
        return stream.read(len(POINTER)) == POINTER


def look(kind: Kind, name: str, revision: str, what: str) -> Repository:
    """Resolve a revision and list the files there. `what` is the entry, for messages.

    Raises UserError where the hub does not answer, or with another commit than a pinned one.
    """
    import huggingface_hub
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils.tqdm import disable_progress_bars

    prefix = "datasets/" if kind == "dataset" else ""
    what = f"{what}: hf://{prefix}{name}@{revision}"
    api = huggingface_hub.HfApi(endpoint=endpoint())
    disable_progress_bars()  # ours tells the same in plain lines
    with explained(what):
        info = _patiently(
            lambda: api.repo_info(name, repo_type=kind, revision=revision, timeout=20)
        )
        commit = str(info.sha)
        if COMMIT.fullmatch(revision) and commit != revision:
            raise UserError(
                f"{what}: the hub answers with commit {commit}. Nothing was taken; check"
                " HF_ENDPOINT."
            )
        tree = api.list_repo_tree(name, repo_type=kind, revision=commit, recursive=True)
        listed = [entry for entry in tree if isinstance(entry, RepoFile)]
    if not listed:
        raise UserError(f"{what}: the repository is empty at this revision. Take another.")
    files = {
        entry.path: File(
            entry.lfs.size if entry.lfs else entry.size,
            entry.lfs.sha256 if entry.lfs else "",
            entry.blob_id,
        )
        for entry in listed
    }
    if revision != commit:
        program.say(f"{what}: is commit {commit}")
    return Repository(what, endpoint(), kind, name, revision, commit, files)


# ---------------------------------------------------------------- digests


def _difference(path: Path, file: File) -> str:
    """How a file differs from what the hub lists; "" where it does not."""
    size = path.stat().st_size
    if size != file.size:
        return f"{size:,} bytes, the hub lists {file.size:,}"
    if file.sha256:
        hasher, expected = hashlib.sha256(), file.sha256
    else:  # git's digest of a file
        hasher, expected = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), file.blob
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            hasher.update(chunk)
    found = hasher.hexdigest()
    return "" if found == expected else f"{hasher.name} {found}, the hub lists {expected}"


# ---------------------------------------------------------------- progress


def _counted(bar: program.Progress, stop: threading.Event) -> type:
    """A class for the hub's library that counts the bytes of all files in one bar of ours.

    Once `stop` is set, it ends the downloads that use it.
    """
    lock = threading.Lock()
    received = 0

    class Counted:
        def __init__(self, *_: object, **__: object) -> None:
            if stop.is_set():
                raise concurrent.futures.CancelledError

        def update(self, count: float | None = 1) -> None:
            nonlocal received
            if stop.is_set():
                raise concurrent.futures.CancelledError
            with lock:
                received += int(count or 0)
                bar.update((received >> 20) - bar.done)

        def nothing(self, *_: object, **__: object) -> None:
            pass

        update_transfer = set_postfix_str = set_transfer_postfix_str = close = nothing
        set_description = set_description_str = refresh = reset = nothing

        def __enter__(self) -> "Counted":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    return Counted


# ---------------------------------------------------------------- what can go wrong


def _patiently(call: Callable[[], Answer], stop: threading.Event | None = None) -> Answer:
    """Call again, after a while, where the hub is busy or the network broke; not once stopped."""
    from huggingface_hub import errors

    for wait in (*_WAITS, None):
        try:
            return call()
        except (httpx2.TransportError, errors.HfHubHTTPError) as error:
            response = getattr(error, "response", None)
            status = response.status_code if response is not None else None
            asked = _asked_wait(response)
            offline = isinstance(error, errors.OfflineModeIsEnabled)
            hopeless = status is not None and status not in _PASSING
            stopped = stop is not None and stop.is_set()
            if wait is None or offline or hopeless or stopped or asked > _LONGEST_WAIT:
                raise
            program.warn(f"the hub: {_one_line(error)}; asked again in {max(wait, asked)} s")
            time.sleep(max(wait, asked))
    raise AssertionError


def _asked_wait(response: Any) -> int:
    """Seconds that a server asks to wait (0: it names none)."""
    text = response.headers.get("Retry-After", "") if response is not None else ""
    return int(text) if text.isdecimal() else 0


@contextlib.contextmanager
def explained(what: str, path: str = "") -> Iterator[None]:
    """Turn whatever the hub's library raises into one line with its cause and what to do.

    What may pass by itself is a TryAgain; a full disk stays the error that it is.
    """
    from huggingface_hub import errors

    place = f"{what}: {path}" if path else what
    try:
        yield
    except UserError:
        raise
    except (
        errors.HFValidationError,
        errors.OfflineModeIsEnabled,
        errors.EntryNotFoundError,
        errors.XetDownloadError,
        httpx2.HTTPError,
        httpx2.InvalidURL,
        OSError,
        ValueError,  # JSON of a login page
        KeyError,  # JSON of something else than a hub
        TypeError,
        RuntimeError,  # of the library for the hub's own protocol
    ) as error:
        if (full := _full_disk(error)) is not None:
            raise full from None
        kind = TryAgain if _may_pass(error) else UserError
        raise kind(f"{place}: {_cause(error, what)}") from None


def is_refusal(error: BaseException) -> bool:
    """Whether an error is the network's, the hub's or a full disk's, which `explained` knows.

    That a file is not there is none: the datasets library looks for many that are not.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError):
        return bool(error.response.status_code != 404)
    return isinstance(error, httpx2.TransportError) or _full_disk(error) is not None


def _telling(error: BaseException) -> int:
    """The order in which downloads that failed are told of: some were stopped for another."""
    return 2 * isinstance(error, concurrent.futures.CancelledError) + isinstance(error, TryAgain)


def _may_pass(error: BaseException) -> bool:
    """Whether a later try may end well without anybody's doing."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return _may_pass(error.__cause__)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return False
    if isinstance(error, errors.HfHubHTTPError):
        return bool(error.response.status_code in _PASSING)
    wrong = httpx2.UnsupportedProtocol | httpx2.ProxyError
    transport = isinstance(error, httpx2.TransportError) and not isinstance(error, wrong)
    return transport or "Consistency check" in str(error)


def _full_disk(error: BaseException | None) -> OSError | None:
    """The error of a full disk, whoever reports it."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return error
    if error is not None and "No space left on device" in str(error):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return None


def _cause(error: BaseException, what: str) -> str:
    """What went wrong and what to do about it."""
    from huggingface_hub import errors

    elsewhere = "or fetch it elsewhere and give its folder (" + (
        "`repository: /path`)" if "datasets/" in what else "`kind: local` and `path`)"
    )
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return _cause(error.__cause__, what)  # "no connection" of the library hides the reason
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE is set. Unset it, {elsewhere}."
    if isinstance(error, errors.HFValidationError):
        return f"not the name of a repository ({_one_line(error)}). Write owner/name."
    if isinstance(error, httpx2.ReadError | httpx2.RemoteProtocolError):
        return f"the connection broke ({_one_line(error)}). Run again; finished files are kept."
    if isinstance(error, httpx2.TransportError | httpx2.InvalidURL | httpx2.TooManyRedirects):
        return (
            f"the hub cannot be reached ({_one_line(error)}). Check the network, the proxy and"
            f" HF_ENDPOINT, {elsewhere}."
        )
    if isinstance(error, errors.FileMetadataError | json.JSONDecodeError | KeyError | TypeError):
        return (
            f"the answer is not a hub's ({_one_line(error)}). A proxy's page, or a wrong"
            " HF_ENDPOINT?"
        )
    if isinstance(error, OSError) and "Consistency check" in str(error):
        return f"broke off ({_one_line(error).partition('. This is')[0]}). Run again."
    return f"{type(error).__name__}: {_one_line(error)}."


def _refusal(error: Any) -> str:
    """A status that the hub answered with."""
    from huggingface_hub import errors, get_token

    response = error.response
    status, token = response.status_code, bool(get_token())
    said = _said(error)
    if isinstance(error, errors.GatedRepoError):
        if not token:
            return f"gated ({status}){said}. Accept its licence on the hub's page and set HF_TOKEN."
        return (
            f"gated ({status}), and the account of HF_TOKEN has no access{said}. Accept its licence"
            " on the hub's page, or wait until its authors let you in; a fine-grained token needs"
            " the right to read gated repositories."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"no such revision ({status}). Its commits are on the repository's page."
    if isinstance(error, errors.EntryNotFoundError):
        return f"listed by the hub, which does not give it ({status}). Run again later."
    if isinstance(error, errors.DisabledRepoError):
        return f"the hub has disabled access to this repository ({status}). Take another."
    if status == 401 and token and _refused_token():
        return (
            f"the hub does not accept HF_TOKEN (401){said}. It is expired, revoked or mistyped:"
            " make a new one, or unset it for what is public."
        )
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        hidden = "or one that the account of HF_TOKEN may not see" if token else (
            "or a private one (HF_TOKEN is not set)"
        )  # fmt: skip
        return f"no such repository ({status}), {hidden}. Check owner/name."
    if status == 403:
        return f"access denied ({status}){said}. Does HF_TOKEN have the right to read it?"
    if status == 429:
        wait = _asked_wait(response)
        when = f"in {wait:,} s" if wait else "later"
        more = "" if token else "; with HF_TOKEN set the limit is higher"
        return f"too many requests (429){said}. Run again {when}{more}."
    if status >= 500:
        return f"the hub is out of order ({status}){said}. Run again later."
    return f"HTTP {status}{said}. Is HF_ENDPOINT, where it is set, a hub?"


def _refused_token() -> bool:
    """Whether it is the token that the hub refuses: many a 401 means something else."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        huggingface_hub.HfApi(endpoint=endpoint()).whoami()
    except errors.HfHubHTTPError as error:
        return bool(error.response.status_code == 401)
    except (httpx2.HTTPError, OSError, ValueError):
        pass
    return False


def _said(error: Any) -> str:
    """The hub's own words."""
    text = " ".join((error.server_message or "").split())[:200].rstrip(".")
    return f': "{text}"' if text else ""


def _one_line(error: BaseException) -> str:
    text = str(error).partition("For more information")[0]
    return " ".join(text.split())[:300].rstrip(".") or type(error).__name__


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
