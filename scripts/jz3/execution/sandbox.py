"""Runs one program under limits: the child process of `programs`, never imported to run code.

    python -P -s -B sandbox.py PROGRAM SECONDS MEMORY_MB confined|open

Confined (Linux): a seccomp filter refuses sockets, new processes, signals to others, opening
files for writing and every change to the file system; where the kernel has Landlock, only
Python's own folders can be read. Neither needs privileges. Stands alone: it imports nothing of
ours, so that the program finds none of our modules loaded.

Exit status: 0 done, 1 the program failed, 97 it ran out of memory, 98 no confinement here.
"""

import ast
import ctypes
import errno
import io
import os
import platform
import resource
import struct
import sys
import types

OUT_OF_MEMORY, NOT_CONFINED = 97, 98

# ---------------------------------------------------------------- seccomp

# System calls refused with EPERM, by number. What math needs is files to read, memory, threads
# and time; this lists what reaches other processes, the network, the disk or the machine.
_REFUSED = {
    "x86_64": (
        41, 42, 43, 49, 50, 53, 288,  # sockets
        57, 58, 59, 322,  # fork, vfork, exec
        62, 129, 200, 297, 424, 434, 438,  # signals to other processes
        76, 82, 83, 84, 85, 86, 87, 88, 90, 91, 92, 93, 94, 132, 133, 188, 189, 190, 197, 198,
        199, 235, 258, 259, 260, 261, 263, 264, 265, 266, 268, 280, 316, 452,  # file system
        29, 64, 68, 240, 425, 426, 427,  # shared memory, queues, io_uring
        101, 141, 142, 144, 203, 248, 249, 250, 298, 310, 311, 312, 321, 323,  # other processes
        103, 134, 155, 159, 161, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 175, 176,
        179, 227, 246, 272, 303, 304, 305, 308, 313, 320, 428, 429, 430, 431, 432, 433, 442,
    ),
    "aarch64": (
        198, 199, 200, 201, 202, 203, 242,
        221, 281,
        129, 130, 138, 240, 424, 434, 438,
        5, 6, 7, 14, 15, 16, 33, 34, 35, 36, 37, 38, 45, 52, 53, 54, 55, 88, 276, 452,
        180, 186, 190, 194, 425, 426, 427,
        117, 118, 119, 122, 140, 217, 218, 219, 241, 270, 271, 272, 280, 282,
        39, 40, 41, 51, 60, 89, 97, 104, 105, 106, 112, 116, 142, 161, 162, 170, 171, 224, 225,
        264, 265, 266, 268, 273, 294, 428, 429, 430, 431, 432, 433, 442,
    ),
}  # fmt: skip
# Calls that depend on their arguments: (AUDIT_ARCH, clone, tgkill, prlimit64, open, openat)
_NUMBERS = {
    "x86_64": (0xC000003E, 56, 234, 302, 2, 257),
    "aarch64": (0xC00000B7, 220, 131, 261, None, 56),
}
_CLONE3, _OPENAT2, _X32 = 435, 437, 0x40000000
_THREAD = 0x00010000  # CLONE_THREAD
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000


def _refuse(number: int) -> int:
    return 0x00050000 | number


def _argument(index: int) -> int:
    """Offset of the low half of an argument (both architectures are little-endian)."""
    return 16 + 8 * index


def _filter(machine: str, own_process: int) -> bytes:
    """The seccomp program as sock_filter records (code, jump if true, jump if false, value)."""
    architecture, clone, tgkill, prlimit, open_, openat = _NUMBERS[machine]
    steps = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _refuse(errno.EPERM)),
    ]
    for number in _REFUSED[machine]:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _refuse(errno.EPERM))]
    for number in (_CLONE3, _OPENAT2):  # C libraries then fall back to calls that can be checked
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _refuse(errno.ENOSYS))]
    conditions = [
        (clone, 0, _ANY_BIT, _THREAD, True, errno.EPERM),
        (tgkill, 0, _EQUAL, own_process, True, errno.EPERM),
        (prlimit, 0, _EQUAL, 0, True, errno.EPERM),
        (openat, 2, _ANY_BIT, _WRITES, False, errno.EROFS),
    ]
    if open_ is not None:
        conditions.append((open_, 1, _ANY_BIT, _WRITES, False, errno.EROFS))
    for number, argument, test, value, allowed_if, error in conditions:
        steps += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, _argument(argument)),
            (test, 0 if allowed_if else 1, 1 if allowed_if else 0, value),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _refuse(error)),
        ]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


# ---------------------------------------------------------------- confinement


def confine(readable: list[str]) -> bool:
    """Confine this process for good; False where the platform cannot."""
    machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    if not sys.platform.startswith("linux") or machine not in _REFUSED or struct.calcsize("P") != 8:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    end_with_parent, no_new_privileges, seccomp, by_filter = 1, 38, 22, 2
    libc.prctl(end_with_parent, 9, 0, 0, 0)
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) != 0:
        return False
    _read_only_beneath(libc, readable)
    code = _filter(machine, os.getpid())
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    return libc.prctl(seccomp, by_filter, ctypes.c_char_p(program), 0, 0) == 0


def _read_only_beneath(libc: ctypes.CDLL, readable: list[str]) -> None:
    """Landlock: no reading but beneath these paths. Without Landlock nothing changes."""
    create, add, restrict = 444, 445, 446
    all_rights, read_file, read_directory = (1 << 13) - 1, 1 << 2, 1 << 3
    rules = libc.syscall(create, ctypes.c_char_p(struct.pack("=Q", all_rights)), 8, 0)
    if rules < 0:
        return
    for path in readable:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        rights = read_file | read_directory if os.path.isdir(path) else read_file
        libc.syscall(add, rules, 1, ctypes.c_char_p(struct.pack("=Qi", rights, place)), 0)
        os.close(place)
    libc.syscall(restrict, rules, 0)
    os.close(rules)


def _python_folders() -> list[str]:
    """Where Python, its packages and the C library are, and what they read at import."""
    return [
        sys.prefix, sys.base_prefix, *filter(None, sys.path), "/usr", "/lib", "/lib64",
        "/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/urandom", "/proc/cpuinfo",
        "/proc/meminfo", "/proc/self", "/sys/devices/system/cpu", os.getcwd(),
    ]  # fmt: skip


def _limit(seconds: int, memory_mb: int, confined: bool) -> None:
    limits = {
        resource.RLIMIT_CPU: (seconds, seconds + 1),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_FSIZE: (2**20, 2**20),
        resource.RLIMIT_NOFILE: (64, 64),
    }
    if sys.platform != "darwin":  # macOS refuses a limit on address space
        limits[resource.RLIMIT_AS] = (memory_mb * 2**20,) * 2
    if not confined:
        limits[resource.RLIMIT_NPROC] = (512, 512)
    for name, (soft, hard) in limits.items():
        ceiling = resource.getrlimit(name)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(name, (soft, hard))


# ---------------------------------------------------------------- the program


class _Printed(io.TextIOWrapper):
    """Standard output that knows whether anything was printed."""

    anything = False

    def write(self, text: str) -> int:
        if text.strip():
            self.anything = True
        return super().write(text)


def run(source: str) -> None:
    """Execute `source` as `__main__`.

    Where it prints nothing and ends in an expression, the value is shown as a notebook does.
    Random numbers start from a fixed state, so that running twice prints the same.
    """
    output = _Printed(sys.stdout.buffer, encoding="utf-8", errors="replace")
    sys.stdout = output
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = ["program.py"]
    if "random" in source:
        import random

        random.seed(0)
        if "numpy" in source:
            import numpy

            numpy.random.seed(0)
    try:
        tree = ast.parse(source, "program.py")
        shown = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            shown = ast.Expression(tree.body.pop().value)
        exec(compile(tree, "program.py", "exec"), module.__dict__)
        if shown is not None:
            value = eval(compile(shown, "program.py", "eval"), module.__dict__)
            if value is not None and not output.anything:
                print(repr(value))
    finally:
        output.flush()


def main() -> int:
    """Read the command line, limit and confine this process, run the program."""
    path, seconds, memory_mb, mode = sys.argv[1:]
    with open(path, encoding="utf-8") as stream:
        source = stream.read()
    _limit(int(seconds), int(memory_mb), mode == "confined")
    if mode == "confined" and not confine(_python_folders()):
        return NOT_CONFINED
    try:
        run(source)
    except MemoryError:
        return OUT_OF_MEMORY
    except SystemExit as end:
        if end.code in (None, 0):
            return 0
        print(f"SystemExit: {end.code}", file=sys.stderr)
        return 1
    except BaseException as error:
        text = str(error).strip().splitlines()
        print(f"{type(error).__name__}: {text[0] if text else ''}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
