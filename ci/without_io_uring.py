"""Runs a command where io_uring is refused, as in many containers: `python3 ci/without_io_uring.py COMMAND...`.

A seccomp filter answers io_uring_setup with EPERM, for the command and all that it starts.
"""

import ctypes
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
IO_URING_SETUP = 425
# The number of the system call; is it that one; then EPERM; otherwise whatever it does.
FILTER = [
    (0x20, 0, 0, 0),
    (0x15, 0, 1, IO_URING_SETUP),
    (0x06, 0, 0, 0x00050000 | 1),
    (0x06, 0, 0, 0x7FFF0000),
]


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def main():
    if platform.machine() not in ("x86_64", "aarch64"):
        sys.exit("the number of io_uring_setup is not known on this processor")
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in FILTER))
    program = Program(len(FILTER), ctypes.cast(code, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        sys.exit("no_new_privs: " + os.strerror(ctypes.get_errno()))
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        sys.exit("the filter: " + os.strerror(ctypes.get_errno()))
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
