"""The sandbox's table of system calls, against the kernel's headers, and the filter made of it."""

import errno
import re
import struct
from pathlib import Path

import pytest
from jz3.execution import sandbox

# Where distributions put the numbers; those of aarch64 are the kernel's generic ones.
HEADERS = {
    "x86_64": (
        "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        "/usr/include/asm/unistd_64.h",
    ),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}
TABLES = (sandbox.REFUSED, sandbox.EXAMINED, sandbox.DENIED, sandbox.LANDLOCK)
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
ME, THREAD, READ, WRITE = 77, 0x00010000, 0, 1


def in_header(machine):
    for path in map(Path, HEADERS[machine]):
        if path.exists():
            # Calls with a 32-bit twin are defined under another prefix in the generic header.
            named = re.findall(r"#define\s+__NR(?:3264)?_(\w+)\s+(\d+)\b", path.read_text())
            return {name: int(number) for name, number in named}
    return pytest.skip(f"no kernel headers for {machine} here")


@pytest.mark.parametrize("machine", sandbox._MACHINES)
def test_numbers_are_the_kernels(machine):
    kernel, column = in_header(machine), sandbox._MACHINES[machine]
    newest = max(kernel.values())
    for table in TABLES:
        for name, numbers in table.items():
            if numbers[column] is None:
                assert name not in kernel
            elif numbers[column] <= newest or name in kernel:  # else the headers are older
                assert kernel.get(name) == numbers[column], name


def decide(program, architecture, number, arguments=()):
    """What the kernel would return for a call: the filter, interpreted."""
    values = [0] * 16
    values[0], values[1] = number, architecture
    for position, value in enumerate(arguments):
        values[4 + 2 * position] = value
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


@pytest.mark.parametrize("machine", sandbox._MACHINES)
def test_filter_decides_by_the_table(machine):
    column, program = sandbox._MACHINES[machine], sandbox._filter(machine, ME)
    architecture = sandbox._ARCHITECTURE[column]

    def asked(name, *arguments):
        number = next(table[name] for table in TABLES if name in table)[column]
        if number is None:
            return None
        return decide(program, architecture, number, arguments)

    assert decide(program, architecture ^ 1, 0) == KILL
    assert decide(program, architecture, 0x40000000) == REFUSE | errno.EPERM
    read = {"x86_64": 0, "aarch64": 63}[machine]
    assert decide(program, architecture, read) == ALLOW
    for name in sandbox.REFUSED:
        assert asked(name) in (None, REFUSE | errno.EPERM), name
    for name in sandbox.DENIED:
        assert asked(name) == REFUSE | errno.ENOSYS
    assert asked("clone", THREAD) == ALLOW
    assert asked("clone", 0) == REFUSE | errno.EPERM
    assert asked("tgkill", ME) == ALLOW
    assert asked("tgkill", ME + 1) == REFUSE | errno.EPERM
    assert asked("prlimit64", 0) == ALLOW
    assert asked("prlimit64", ME) == REFUSE | errno.EPERM
    assert asked("openat", 0, 0, READ) == ALLOW
    assert asked("openat", 0, 0, WRITE) == REFUSE | errno.EROFS
    assert asked("open", 0, READ) in (None, ALLOW)
    assert asked("open", 0, WRITE) in (None, REFUSE | errno.EROFS)
