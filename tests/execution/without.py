"""Run a command on a kernel that lacks something: its system calls answer ENOSYS (or EPERM).

python without.py landlock,seccomp,namespaces COMMAND ...
"""

import ctypes
import os
import platform
import struct
import sys

COLUMN = {"x86_64": 0, "aarch64": 1}[platform.machine()]
PRCTL, UNSHARE = ((157, 167)[COLUMN], (272, 97)[COLUMN])
ALLOW, NO_SUCH_CALL, NOT_PERMITTED = 0x7FFF0000, 0x00050000 | 38, 0x00050000 | 1
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06


def steps(lacking):
    """The filter, as (code, jump if true, jump if false, value)."""
    yield (LOAD, 0, 0, 0)
    for number in (444, 445, 446) if "landlock" in lacking else ():
        yield from ((EQUAL, 0, 1, number), (RETURN, 0, 0, NO_SUCH_CALL))
    if "namespaces" in lacking:
        yield from ((EQUAL, 0, 1, UNSHARE), (RETURN, 0, 0, NOT_PERMITTED))
    if "seccomp" in lacking:  # prctl(PR_SET_SECCOMP), PR_GET_SECCOMP
        yield from ((EQUAL, 0, 4, PRCTL), (LOAD, 0, 0, 16), (EQUAL, 1, 0, 22))
        yield from ((EQUAL, 0, 1, 21), (RETURN, 0, 0, NO_SUCH_CALL))
    yield (RETURN, 0, 0, ALLOW)


def main():
    lacking, *command = sys.argv[1:]
    code = b"".join(struct.pack("=HBBI", *step) for step in steps(lacking.split(",")))
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
