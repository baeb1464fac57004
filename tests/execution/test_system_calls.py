"""The table of system calls, against the kernel's headers, and the filter that is made of it."""

import errno
import re
import struct
from pathlib import Path

import pytest
from jz3.execution import system_calls

# Where distributions put the numbers; those of aarch64 are the kernel's generic ones.
HEADERS = {
    "x86_64": (
        "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        "/usr/include/asm/unistd_64.h",
    ),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}
TABLES = (
    system_calls.ALLOWED, system_calls.WRITING, system_calls.EXAMINED, system_calls.OPENING,
)  # fmt: skip
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
ME, THREAD = 77, 0x003D0F00
F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ = 8, 10, 15, 1024, 1026, 1031


def in_header(machine):
    for path in map(Path, HEADERS[machine]):
        if path.exists():
            # Calls with a 32-bit twin are defined under another prefix in the generic header.
            named = re.findall(r"#define\s+__NR(?:3264)?_(\w+)\s+(\d+)\b", path.read_text())
            found = {name: int(number) for name, number in named}
            return found | {"newfstatat": found.get("newfstatat", found.get("fstatat"))}
    return pytest.skip(f"no kernel headers for {machine} here")


@pytest.mark.parametrize("machine", system_calls.MACHINES)
def test_numbers_are_the_kernels(machine):
    kernel, column = in_header(machine), system_calls.MACHINES[machine]
    newest = max(kernel.values())
    for table in TABLES:
        for name, numbers in table.items():
            if numbers[column] is None:
                assert name not in kernel
            elif numbers[column] <= newest or name in kernel:  # else the headers are older
                assert kernel.get(name) == numbers[column], name


def test_no_call_stands_in_two_tables():
    names = [name for table in TABLES for name in table]
    assert len(names) == len(set(names))


def decide(program, architecture, number, arguments=()):
    """What the kernel would return for a call: the filter, interpreted."""
    values = [0] * 16
    values[0], values[1] = number, architecture
    for position, value in enumerate(arguments):
        values[4 + 2 * position], values[5 + 2 * position] = value & 0xFFFFFFFF, value >> 32
    steps = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    place, loaded = 0, 0
    while True:
        code, yes, no, value = steps[place]
        place += 1
        if code == 0x06:
            return value
        if code == 0x20:
            loaded = values[value // 4]
        else:
            truth = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
            place += yes if truth else no


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("machine", system_calls.MACHINES)
def test_only_what_is_listed_is_allowed(machine, writable):
    """Every number there is, and those of kernels to come."""
    column, program = system_calls.MACHINES[machine], system_calls.assemble(machine, ME, writable)
    architecture = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]
    assert decide(program, architecture ^ 1, 0) == KILL
    allowed = system_calls.ALLOWED | (TABLES[1] | TABLES[3] if writable else {})
    numbers = {call[column] for call in allowed.values()}
    examined = system_calls.EXAMINED | ({} if writable else system_calls.OPENING)
    examined = {call[column] for call in examined.values()}
    for number in (*range(600), 2**30, 2**30 + 1, 2**32 - 1):
        if number in examined:
            continue
        verdict = decide(program, architecture, number)
        if number in numbers:
            assert verdict == ALLOW, number
        else:
            newer = 425 <= number < 2**30
            assert verdict == REFUSE | (errno.ENOSYS if newer else errno.EPERM), number


@pytest.mark.parametrize(
    ("name", "arguments", "allowed"),
    [
        ("clone", [THREAD], True),
        ("clone", [THREAD | 0x400000], True),
        ("clone", [0], False),
        ("clone", [17], False),  # a process
        ("clone", [THREAD | 0x10000000], False),  # CLONE_NEWUSER
        ("clone", [THREAD | 0x00002000], False),  # CLONE_PTRACE
        ("tgkill", [ME], True),
        ("tgkill", [ME + 1], False),
        ("prlimit64", [0, 7, 0], True),
        ("prlimit64", [0, 7, 0x7F0000000000], False),  # sets a limit
        ("prlimit64", [0, 7, 0x1000], False),
        ("prlimit64", [ME, 7, 0], False),
        ("fcntl", [1, 3], True),
        ("fcntl", [1, 1030], True),
        *(("fcntl", [1, command], False) for command in
          (F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ, 12, 1033)),
        ("ioctl", [1, 0x5401], True),
        ("ioctl", [1, 0x5413], True),
        *(("ioctl", [1, command], False) for command in
          (0x40086602, 0xC0045877, 0x5412, 0x5452, 0x8901, 0x4004667F, 0x541C)),
        ("prctl", [15], True),
        *(("prctl", [option], False) for option in (1, 4, 8, 22, 28, 36, 53, 0x59616D61)),
        ("socketpair", [1, 1], True),
        ("socketpair", [2, 1], False),
        ("sendto", [3, 9, 9, 0, 0], True),
        ("sendto", [3, 9, 9, 0, 0x1000], False),
        ("sendto", [3, 9, 9, 0, 0x100000000], False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("machine", system_calls.MACHINES)
def test_arguments_decide(machine, name, arguments, allowed):
    program = system_calls.assemble(machine, ME, True)
    number = system_calls.EXAMINED[name][system_calls.MACHINES[machine]]
    architecture = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]
    verdict = decide(program, architecture, number, arguments)
    assert verdict == (ALLOW if allowed else REFUSE | errno.EPERM)


def test_without_a_folder_files_are_opened_for_reading():
    program = system_calls.assemble("x86_64", ME, False)
    for number, at in ((2, 1), (257, 2)):
        for flags, verdict in ((0, ALLOW), (0x80000, ALLOW), (1, None), (2, None), (0o100, None)):
            arguments = [0, 0, 0]
            arguments[at] = flags
            expected = verdict or REFUSE | errno.EPERM
            assert decide(program, 0xC000003E, number, arguments) == expected
