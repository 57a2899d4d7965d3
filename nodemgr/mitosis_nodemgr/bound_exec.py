"""Becomes another program that the kernel kills when the manager dies: `bound_exec.py MANAGER_PID FILES ARGV...`.

FILES is the soft limit of open files that the program gets, because the manager has raised its own.

It is a program of its own because the requests have to be made between fork and exec, and a process with gRPC's threads
cannot run Python code there: gRPC's own fork handlers crash it. It imports only the standard library.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
EXIT_NOT_FOUND = 127


def main() -> int:
    """Makes the requests and runs the program; returns only when the program cannot be run."""
    manager_pid, open_files, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != manager_pid:
        return 128 + signal.SIGKILL
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    # Python ignores it, and ignored signals stay so across exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - the program is the suite's hook
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - the hook's output is where it is read
        return EXIT_NOT_FOUND


if __name__ == "__main__":
    sys.exit(main())
