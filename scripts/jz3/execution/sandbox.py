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

# System calls by name: their numbers on (x86_64, aarch64), None where there is none.
_MACHINES = {"x86_64": 0, "aarch64": 1}
_ARCHITECTURE = (0xC000003E, 0xC00000B7)  # AUDIT_ARCH

# Refused with EPERM. What math needs is files to read, memory, threads and time; this lists what
# reaches other processes, the network, the disk or the machine.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # sockets
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "bind": (49, 200),
    "listen": (50, 201), "socketpair": (53, 199), "accept4": (288, 242),
    # new processes and programs
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    # signals to other processes
    "kill": (62, 129), "rt_sigqueueinfo": (129, 138), "tkill": (200, 130),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    # the file system
    "truncate": (76, 45),
    "rename": (82, None), "mkdir": (83, None), "rmdir": (84, None), "creat": (85, None),
    "link": (86, None), "unlink": (87, None), "symlink": (88, None), "chmod": (90, None),
    "fchmod": (91, 52), "chown": (92, None), "fchown": (93, 55), "lchown": (94, None),
    "utime": (132, None), "mknod": (133, None), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16), "utimes": (235, None), "mkdirat": (258, 34), "mknodat": (259, 33),
    "fchownat": (260, 54), "futimesat": (261, None), "unlinkat": (263, 35), "renameat": (264, 38),
    "linkat": (265, 37), "symlinkat": (266, 36), "fchmodat": (268, 53), "utimensat": (280, 88),
    "renameat2": (316, 276), "fchmodat2": (452, 452),
    # shared memory, queues, io_uring
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190),
    "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192), "msgget": (68, 186),
    "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # other processes
    "ptrace": (101, 117), "setpriority": (141, 140), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "perf_event_open": (298, 241),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "bpf": (321, 280), "userfaultfd": (323, 282),
    # the machine and its file systems
    "syslog": (103, 116), "uselib": (134, None), "pivot_root": (155, 41), "adjtimex": (159, 171),
    "chroot": (161, 51), "acct": (163, 89), "settimeofday": (164, 170), "mount": (165, 40),
    "umount2": (166, 39), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142),
    "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, None),
    "ioperm": (173, None), "init_module": (175, 105), "delete_module": (176, 106),
    "quotactl": (179, 60), "clock_settime": (227, 112), "kexec_load": (246, 104),
    "unshare": (272, 97), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "clock_adjtime": (305, 266), "setns": (308, 268), "finit_module": (313, 273),
    "kexec_file_load": (320, 294), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442),
}  # fmt: skip
# Allowed or refused by what they are given.
EXAMINED: dict[str, tuple[int | None, int | None]] = {
    "clone": (56, 220), "tgkill": (234, 131), "prlimit64": (302, 261),
    "open": (2, None), "openat": (257, 56),
}  # fmt: skip
# Refused as if the kernel had no such call: C libraries then fall back to one that is examined.
DENIED = {"clone3": (435, 435), "openat2": (437, 437)}
LANDLOCK = {
    "landlock_create_ruleset": (444, 444), "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}  # fmt: skip
_X32 = 0x40000000  # set in the numbers of a second, smaller set of calls on x86_64
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
    column = _MACHINES[machine]
    steps = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, _ARCHITECTURE[column]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _refuse(errno.EPERM)),
    ]
    for calls, error in ((REFUSED, errno.EPERM), (DENIED, errno.ENOSYS)):
        for numbers in calls.values():
            if (number := numbers[column]) is not None:
                steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _refuse(error))]
    conditions = (
        ("clone", 0, _ANY_BIT, _THREAD, True, errno.EPERM),
        ("tgkill", 0, _EQUAL, own_process, True, errno.EPERM),
        ("prlimit64", 0, _EQUAL, 0, True, errno.EPERM),
        ("openat", 2, _ANY_BIT, _WRITES, False, errno.EROFS),
        ("open", 1, _ANY_BIT, _WRITES, False, errno.EROFS),
    )
    for name, argument, test, value, allowed_if, error in conditions:
        if (number := EXAMINED[name][column]) is None:
            continue
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
    wide = struct.calcsize("P") == 8  # bytes of a pointer
    if not (sys.platform.startswith("linux") and machine in _MACHINES and wide):
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
    return bool(libc.prctl(seccomp, by_filter, ctypes.c_char_p(program), 0, 0) == 0)


def _read_only_beneath(libc: ctypes.CDLL, readable: list[str]) -> None:
    """Landlock: no reading but beneath these paths. Without Landlock nothing changes."""
    create, add, restrict = (numbers[0] for numbers in LANDLOCK.values())  # as on aarch64
    all_rights, read_file, read_directory = (1 << 13) - 1, 1 << 2, 1 << 3
    rules = libc.syscall(create, ctypes.c_char_p(struct.pack("=Q", all_rights)), 8, 0)
    if rules < 0:
        return
    for path in readable:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        rights = read_file | read_directory if os.path.isdir(path) else read_file
        libc.syscall(add, rules, 1, ctypes.c_char_p(struct.pack("=Qi", rights, descriptor)), 0)
        os.close(descriptor)
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
        if tree.body and isinstance(last := tree.body[-1], ast.Expr):
            del tree.body[-1]
            shown = ast.Expression(last.value)
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
