"""One process at a time, by a lock on a file that names its holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_held: set[int] = set()


class LockedError(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def hold(path: Path, purpose: str) -> Iterator[None]:
    """Holds an exclusive lock on `path` while the context lasts, and leaves no file behind.

    The kernel releases the lock when the process dies, so a file that a killed process left is simply taken over.
    Raises `LockedError`, which names the holder, at once when somebody else has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(path, purpose)
    _held.add(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        # The name is for whoever is refused; on a full disk there is none, and the lock holds all the same.
        with contextlib.suppress(OSError):
            os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        # Unlinked while locked: whoever opened the file before sees, once it has the lock, that the name is gone or
        # names another file, and starts again. Unlinking after the release would delete the next holder's file.
        path.unlink(missing_ok=True)
        _held.discard(descriptor)
        os.close(descriptor)


def _acquire(path: Path, purpose: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise LockedError(f"{purpose}: {path} is held by process {holder}") from None
        if _is_named(descriptor, path):
            return descriptor
        os.close(descriptor)


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _leave_to_parent() -> None:
    """What a forked child holds too would outlive the death of the process that asked for it."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
