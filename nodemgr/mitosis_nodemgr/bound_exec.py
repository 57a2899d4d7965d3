"""Becomes another program that the kernel kills when the manager dies: `python bound_exec.py MANAGER_PID ARGV...`.

It is a program of its own because the request has to be made between fork and exec, and a process with gRPC's threads
cannot run Python code there: gRPC's own fork handlers crash it. It imports only the standard library.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
EXIT_NOT_FOUND = 127


def main() -> int:
    """Makes the request and runs the program; returns only when the program cannot be run."""
    manager_pid, argv = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != manager_pid:
        return 128 + signal.SIGKILL
    # Python ignores it, and ignored signals stay so across exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - the program is the suite's hook
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - the hook's output is where it is read
        return EXIT_NOT_FOUND


if __name__ == "__main__":
    sys.exit(main())
