"""What holds a model-written program in: name spaces, a root of its own, Landlock, no privileges.

Every mechanism is tried and none is needed: `Mechanisms` says which ones the kernel granted, and
`sandbox` probes from inside what is open then. Linux only; imports nothing of ours but the filter.
"""

import contextlib
import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import system_calls

WORK = "/jz3-program"  # in the root of its own; nothing of Python lies there
_FOLDER_MB, _FOLDER_FILES = 32, 2048
_NOBODY = 65534

# <sched.h>, <sys/mount.h>, <linux/prctl.h>, <linux/landlock.h>
_NEW_MOUNTS, _NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_READ_ONLY, _NO_SETUID, _NO_DEVICES, _NO_PROGRAMS, _REMOUNT = 1, 2, 4, 8, 32
_BIND, _RECURSIVE, _PRIVATE, _DETACH = 4096, 16384, 1 << 18, 2
_END_WITH_PARENT, _DUMPABLE, _SECCOMP, _DROP_BOUND, _NO_NEW_PRIVILEGES = 1, 4, 22, 24, 38
# The same numbers on both machines
_MOUNT_SETATTR, _CREATE_RULES, _ADD_RULE, _RESTRICT = 442, 444, 445, 446
_PIVOT_ROOT, _CAPSET = {"x86_64": 155, "aarch64": 41}, {"x86_64": 126, "aarch64": 91}
_CAPABILITIES_3 = 0x20080522


class Mechanisms(NamedTuple):
    """What the kernel granted: name spaces with a root of its own, Landlock's version, seccomp."""

    namespaces: bool
    landlock: int
    seccomp: bool


def machine() -> str:
    """The kind of processor as `system_calls` names it; "" where there is no confinement."""
    name = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    wide = struct.calcsize("P") == 8  # bytes of a pointer
    known = sys.platform.startswith("linux") and wide and name in system_calls.MACHINES
    return name if known else ""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> int:
    """Call the C library; raise OSError where it says -1."""
    result: int = getattr(_libc(), name)(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def _bytes(path: str | None) -> bytes | None:
    return None if path is None else os.fsencode(path)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    _call(
        "mount", _bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags),
        _bytes(data) or None,
    )  # fmt: skip


# ---------------------------------------------------------------- name spaces


def enter_namespaces() -> bool:
    """Move this process into name spaces of its own; its next child is the first process there.

    False, and nothing changed that matters, where the kernel does not let this user.
    """
    if not machine():
        return False
    own = _NEW_MOUNTS | _NEW_UTS | _NEW_IPC | _NEW_PROCESSES | _NEW_NETWORK
    user, group = os.geteuid(), os.getegid()
    with contextlib.suppress(OSError):
        if user == 0:
            _call("unshare", own)
            return True
    try:
        _call("unshare", own | _NEW_USER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return False
    return True


def own_root(readable: Sequence[str]) -> int | None:
    """Make a root that holds these paths, read-only, and a folder to write in; no way back.

    For the first process of `enter_namespaces`. None where the kernel refuses a part of it; else a
    descriptor of a /proc that has no place in the new root, -1 where the kernel gives none.
    """
    base = "/proc"  # is everywhere, and nothing that is bound lies in it
    try:
        opened = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in readable}
        links = {path: f"/proc/self/fd/{descriptor}" for path, descriptor in opened.items()}
        _mount(None, "/", None, _RECURSIVE | _PRIVATE)
        held = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY)
        _mount("tmpfs", base, "tmpfs", _NO_SETUID | _NO_DEVICES, "mode=0755,size=1m,nr_inodes=1k")
        os.fchdir(held)
        for path in sorted(links, key=len):
            _show(links[path].rsplit("/", 1)[1], base, path)
        for descriptor in (held, *opened.values()):
            os.close(descriptor)
        for folder in ("/old", "/proc", WORK):
            os.makedirs(base + folder, exist_ok=True)
        with contextlib.suppress(OSError):  # one /tmp for programs that insist on it
            os.symlink(WORK, base + "/tmp")
        os.chdir(base)
        if _libc().syscall(_PIVOT_ROOT[machine()], b".", b"old") != 0:
            return None
        os.chdir("/")
        _call("umount2", b"/old", _DETACH)
        os.rmdir("/old")
        processes = _hidden_processes()
        _mount(None, "/", None, _REMOUNT | _BIND | _READ_ONLY | _NO_SETUID | _NO_DEVICES)
        renew_folder(first=True)
    except OSError:
        return None
    return processes


def _hidden_processes() -> int:
    try:
        _mount("proc", "/proc", "proc", _NO_SETUID | _NO_DEVICES | _NO_PROGRAMS)
        descriptor = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        _call("umount2", b"/proc", _DETACH)
    except OSError:  # refused in some containers
        return -1
    return descriptor


def _show(source: str, base: str, path: str) -> None:
    """Bind one path into the root being made, read-only with all that is mounted beneath."""
    target = base + path
    if os.path.exists(target):  # within one that is bound already
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(source, target, None, _BIND | _RECURSIVE)
    recursive, here = 0x8000, -100
    attributes = struct.pack("=QQQQ", _READ_ONLY | _NO_SETUID, 0, 0, 0)
    if _libc().syscall(_MOUNT_SETATTR, here, os.fsencode(target), recursive, attributes, 32) != 0:
        # A kernel before 5.12: this mount only, with the flags that it may not lose.
        kept = os.statvfs(target).f_flag & (_NO_DEVICES | _NO_PROGRAMS | 1024 | 2048)
        _mount(None, target, None, _REMOUNT | _BIND | _READ_ONLY | _NO_SETUID | kept)


def renew_folder(first: bool = False) -> None:
    """A new, empty, bounded folder at `WORK`, whatever was done to the last one."""
    if not first:
        os.chdir("/")
        _call("umount2", os.fsencode(WORK), _DETACH)
    options = f"mode=1777,size={_FOLDER_MB}m,nr_inodes={_FOLDER_FILES}"
    _mount("tmpfs", WORK, "tmpfs", _NO_SETUID | _NO_DEVICES | _NO_PROGRAMS, options)


def readable_paths(own_folder: str) -> list[str]:
    """Where Python, its packages and the C library are, and what they read; but not `own_folder`.

    Each as written and as it is behind links, those that exist.
    """
    named = [
        sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, "/usr", "/lib", "/lib64",
        "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/etc/fonts", *DEVICES,
    ]  # fmt: skip
    found = dict.fromkeys(
        path for name in named if name for path in (os.path.abspath(name), os.path.realpath(name))
    )
    return [path for path in found if os.path.exists(path) and path not in ("/", own_folder)]


DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")

# ---------------------------------------------------------------- Landlock


def landlock_version() -> int:
    """The kernel's version of Landlock, 0 without."""
    if not machine():
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULES, None, ctypes.c_size_t(0), 1)))


def landlock_rules(readable: Sequence[str], writable: str) -> int:
    """A descriptor of rules: read beneath these paths, write beneath one ("": nowhere).

    From version 4 on no TCP, from 6 on no signals and no abstract sockets out of it. -1 without.
    """
    version = landlock_version()
    if not version:
        return -1
    files = (1 << 13) - 1
    for since, right in ((2, 13), (3, 14), (5, 15)):  # moving between folders, cutting, devices
        files |= (1 << right) * (version >= since)
    run, write, read, list_ = 1, 2, 4, 8
    devices = (1 << 6) | (1 << 11)  # MAKE_CHAR, MAKE_BLOCK
    scopes = (files, 3 * (version >= 4), 3 * (version >= 6))
    attributes = struct.pack("=QQQ", *scopes)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    libc = _libc()
    rules: int = libc.syscall(_CREATE_RULES, attributes, ctypes.c_size_t(len(attributes)), 0)
    granted = dict.fromkeys((*readable, "/proc/cpuinfo", "/proc/meminfo"), read | list_)
    granted |= dict.fromkeys(DEVICES, read | write)
    if writable:
        granted[writable] = files & ~(devices | run)
    for path, rights in granted.items():
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if not os.path.isdir(path):
            rights &= read | write
        libc.syscall(_ADD_RULE, rules, 1, struct.pack("=Qi", rights, descriptor), 0)
        os.close(descriptor)
    return rules


# ---------------------------------------------------------------- the program's own process


def forget_bounds() -> None:
    """Empty the set of capabilities that any program started from here could ever gain."""
    for capability in range(64):
        if _libc().prctl(_DROP_BOUND, capability, 0, 0, 0) != 0:
            break


def end_with_parent() -> None:
    """Have this process killed when the one that started it ends, however it does."""
    _libc().prctl(_END_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


def confine(rules: int, namespaces: bool) -> Mechanisms:
    """Confine this process for good; what held. `rules`: of `landlock_rules`, or -1."""
    if not (name := machine()):
        return Mechanisms(False, 0, False)
    libc = _libc()
    if os.geteuid() == 0 or os.getuid() == 0:
        with contextlib.suppress(OSError):
            os.setgroups([])
        with contextlib.suppress(OSError):
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    libc.syscall(_CAPSET[name], struct.pack("=Ii", _CAPABILITIES_3, 0), bytes(24))
    end_with_parent()
    libc.prctl(_DUMPABLE, 0, 0, 0, 0)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return Mechanisms(namespaces, 0, False)
    version = 0
    if rules >= 0:
        version = landlock_version() if libc.syscall(_RESTRICT, rules, 0) == 0 else 0
        os.close(rules)
    code = system_calls.assemble(name, os.getpid(), namespaces)
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    by_filter = 2
    seccomp = libc.prctl(_SECCOMP, by_filter, program, 0, 0) == 0
    return Mechanisms(namespaces, version, seccomp)
