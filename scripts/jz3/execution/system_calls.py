"""The seccomp filter: which system calls a model-written program may make.

An allow-list by name: a call that a later kernel adds is refused until it is listed here. Calls
that reach other processes by one of their arguments are allowed with the arguments that do not.
"""

import errno
import os
import struct

# Numbers on (x86_64, aarch64), None where a machine has no such call.
MACHINES = {"x86_64": 0, "aarch64": 1}
_ARCHITECTURE = (0xC000003E, 0xC00000B7)  # AUDIT_ARCH

Table = dict[str, tuple[int | None, int | None]]

ALLOWED: Table = {
    # files that are open, and what they are called
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66),
    "pread64": (17, 67), "pwrite64": (18, 68), "preadv": (295, 69), "pwritev": (296, 70),
    "preadv2": (327, 286), "pwritev2": (328, 287), "close": (3, 57), "close_range": (436, 436),
    "lseek": (8, 62), "fstat": (5, 80), "stat": (4, None), "lstat": (6, None),
    "newfstatat": (262, 79), "statx": (332, 291), "access": (21, None), "faccessat": (269, 48),
    "faccessat2": (439, 439), "readlink": (89, None), "readlinkat": (267, 78),
    "getxattr": (191, 8), "lgetxattr": (192, 9), "fgetxattr": (193, 10),
    "listxattr": (194, 11), "llistxattr": (195, 12), "flistxattr": (196, 13),
    "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "getdents": (78, None),
    "getdents64": (217, 61), "statfs": (137, 43), "fstatfs": (138, 44), "umask": (95, 166),
    "fsync": (74, 82), "fdatasync": (75, 83), "fadvise64": (221, 223), "sendfile": (40, 71),
    "copy_file_range": (326, 285), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24),
    "pipe": (22, None), "pipe2": (293, 59), "poll": (7, None), "ppoll": (271, 73),
    "select": (23, None), "pselect6": (270, 72), "epoll_create": (213, None),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None),
    "epoll_pwait": (281, 22), "eventfd2": (290, 19),
    # memory
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216),
    "madvise": (28, 233), "brk": (12, 214), "mincore": (27, 232), "membarrier": (324, 283),
    # time
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None),
    "times": (100, 153), "getitimer": (36, 102), "setitimer": (38, 103), "alarm": (37, None),
    # itself
    "exit": (60, 93), "exit_group": (231, 94), "futex": (202, 98),
    "set_robust_list": (273, 99), "get_robust_list": (274, 100), "rseq": (334, 293),
    "set_tid_address": (218, 96), "arch_prctl": (158, None), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "getcpu": (309, 168), "getpid": (39, 172),
    "gettid": (186, 178), "getppid": (110, 173), "getpgrp": (111, None), "getpgid": (121, 155),
    "getsid": (124, 156), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "getgroups": (115, 158), "getresuid": (118, 148),
    "getresgid": (120, 150), "getrusage": (98, 165), "getrlimit": (97, 163),
    "sysinfo": (99, 179), "uname": (63, 160), "getrandom": (318, 278),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136), "rt_sigsuspend": (130, 133), "rt_sigtimedwait": (128, 137),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128), "pause": (34, None),
    "wait4": (61, 260), "waitid": (247, 95),
    # pairs of sockets, which lead nowhere (asyncio wakes itself with one)
    "recvfrom": (45, 207), "getsockname": (51, 204), "getpeername": (52, 205),
    "getsockopt": (55, 209), "shutdown": (48, 210),
}  # fmt: skip
# Allowed where a bounded folder of the program's own is the only place that can be written.
WRITING: Table = {
    "creat": (85, None), "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47),
    "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "unlink": (87, None),
    "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "link": (86, None), "linkat": (265, 37), "symlink": (88, None),
    "symlinkat": (266, 36), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None),
    "utimensat": (280, 88),
}  # fmt: skip
# With arguments of `_clauses` only.
EXAMINED: Table = {
    "clone": (56, 220), "fcntl": (72, 25), "ioctl": (16, 29), "prctl": (157, 167),
    "prlimit64": (302, 261), "tgkill": (234, 131), "socketpair": (53, 199),
    "sendto": (44, 206),
}  # fmt: skip
# Likewise where nothing may be written; there a file can be opened for reading.
OPENING: Table = {
    "open": (2, None), "openat": (257, 56),
}  # fmt: skip
# From here on numbers are the same everywhere and calls are newer: refused as if the kernel had no
# such call, so that C libraries fall back to an older one.
_NEWER = 425
_X32 = 0x40000000  # set in the numbers of a second, smaller set of calls on x86_64

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000

_THREAD = 0x00010000  # CLONE_THREAD
_THREAD_FLAGS = 0x007D0F00  # all that C libraries ask for when they start a thread
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# F_DUPFD, F_GETFD to F_SETFL, F_GETLK to F_SETLKW, F_DUPFD_CLOEXEC: none names a process
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 1030)
# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# PR_SET_NAME, PR_GET_NAME, PR_GET_SECCOMP, PR_CAPBSET_READ, PR_GET_NO_NEW_PRIVS, PR_SET_VMA
_PRCTL = (15, 16, 21, 23, 39, 0x53564D41)
_UNIX = 1  # AF_UNIX

# What must hold of an argument: (its number, high half, test, values).
_Clause = tuple[int, bool, str, tuple[int, ...]]


def _clauses(own_process: int) -> dict[str, tuple[_Clause, ...]]:
    def only(argument: int, *values: int) -> _Clause:
        return (argument, False, "one of", values)

    def zero(argument: int) -> tuple[_Clause, _Clause]:
        return only(argument, 0), (argument, True, "one of", (0,))

    return {
        "clone": (
            (0, False, "some of", (_THREAD,)),
            (0, False, "none of", (0xFFFFFFFF ^ _THREAD_FLAGS,)),
        ),
        "fcntl": (only(1, *_FCNTL),),
        "ioctl": (only(1, *_IOCTL),),
        "prctl": (only(0, *_PRCTL),),
        "prlimit64": (only(0, 0), *zero(2)),  # reads its own limits, sets none
        "tgkill": (only(0, own_process),),
        "socketpair": (only(0, _UNIX),),
        "sendto": zero(4),  # no address
        "open": ((1, False, "none of", (_WRITES,)),),
        "openat": ((2, False, "none of", (_WRITES,)),),
    }


_Step = tuple[int, int, int, int]


def _checked(clauses: tuple[_Clause, ...]) -> list[_Step]:
    """Steps that allow a call if all clauses hold of its arguments, and refuse it otherwise."""
    refuse = (_RETURN, 0, 0, _REFUSE | errno.EPERM)
    steps: list[_Step] = []
    for argument, high, test, values in clauses:
        steps.append((_LOAD, 0, 0, 16 + 8 * argument + 4 * high))  # both machines: little-endian
        if test == "one of":
            steps += [(_EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
        elif test == "some of":
            steps.append((_ANY_BIT, 1, 0, values[0]))
        else:
            steps += [(_ANY_BIT, 0, 1, values[0])]
        steps.append(refuse)
    return [*steps, (_RETURN, 0, 0, _ALLOW)]


def assemble(machine: str, own_process: int, writable: bool) -> bytes:
    """The filter as sock_filter records (code, jump if true, jump if false, value).

    `own_process`: the id that the program has for itself; `writable`: its folder can be written,
    and nothing else can.
    """
    column = MACHINES[machine]
    steps: list[_Step] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, _ARCHITECTURE[column]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
    ]
    clauses = _clauses(own_process)
    free = ALLOWED | (WRITING | OPENING if writable else {})
    checked = EXAMINED | ({} if writable else OPENING)
    for numbers in free.values():
        if (number := numbers[column]) is not None:
            steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for name, numbers in checked.items():
        if (number := numbers[column]) is not None:
            body = _checked(clauses[name])
            steps += [(_EQUAL, 0, len(body), number), *body]
    steps += [
        (_AT_LEAST, 1, 0, _X32),
        (_AT_LEAST, 1, 0, _NEWER),
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
        (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
