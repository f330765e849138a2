"""Says whether this machine lets a program use io_uring; exits with 1 where it does not."""

import ctypes
import errno
import platform
import sys

REFUSALS = {
    errno.ENOSYS: "absent from this kernel or sandbox",
    errno.EPERM: "blocked by seccomp or kernel.io_uring_disabled",
}


def main():
    if platform.machine() not in ("x86_64", "aarch64"):
        print("not probed on this processor")
        return 0
    # io_uring_setup(0, NULL) can only fail; how it fails tells whether the kernel would have listened.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(425, 0, None)
    refusal = REFUSALS.get(ctypes.get_errno())
    print(f"{refusal}: jobs run on plain threads" if refusal else "available")
    return 1 if refusal else 0


if __name__ == "__main__":
    sys.exit(main())
