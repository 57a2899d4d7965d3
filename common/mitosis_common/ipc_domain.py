"""One manager's corner of shared memory: its name, its services, and the removal of everything in it.

Whatever a domain leaves anywhere on the machine is `/dev/shm/<prefix>*`: shared-memory segments, the directory with
iceoryx2's own files, and the lock that says that the manager lives. docs/adr/0011-ipc-domain.md has the reasons.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import iceoryx2

# Size of the first segments. They grow by powers of two when a message is larger.
INITIAL_MESSAGE_BYTES = 4096
# An order names one task at most.
MAX_ORDER_BYTES = 128
# Orders that a worker may have pending before the oldest is dropped.
ORDER_BUFFER = 128
MAX_WORKERS = 256
GROWTH = iceoryx2.AllocationStrategy.PowerOfTwo
# What sending to, or waking, the other side raises when it is not there or there is no memory left.
TRANSPORT_ERRORS: tuple[type[Exception], ...] = (
    iceoryx2.ConnectionFailure,
    iceoryx2.LoanError,
    iceoryx2.NotifierNotifyError,
    iceoryx2.ReceiveError,
    iceoryx2.RequestSendError,
    iceoryx2.SendError,
)

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - POSIX shared memory has no other place on Linux
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,13}_[0-9a-f]{8}_")
_SERVICE_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
# What is kept of a configured prefix. The sockets of the event services are `/dev/shm/<prefix>root/<prefix><id>.event`
# with an id of up to 39 digits, and a socket's path ends at 107 bytes: that leaves 24 for `<kept>_<8 digits>_`.
_KEPT = 14

_Bytes = iceoryx2.Slice[ctypes.c_uint8]


@dataclass(frozen=True, slots=True)
class IpcDomain:
    """Names everything that one manager process and its workers share.

    `prefix` starts the name of every file, and is all that a worker has to be told.
    """

    prefix: str

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(f"domain: given {self.prefix!r}; accepts what IpcDomain.unique names")

    @classmethod
    def unique(cls, service_prefix: str, manager_uuid: str) -> "IpcDomain":
        """Name the domain of this process: the start of the configured prefix, and digits from manager and process id.

        Raises ValueError for a prefix that `check_service_prefix` refuses.
        """
        check_service_prefix(service_prefix)
        identity = f"{service_prefix}/{manager_uuid}/{os.getpid()}"
        return cls(f"{service_prefix[:_KEPT]}_{hashlib.sha256(identity.encode()).hexdigest()[:8]}_")

    @property
    def root(self) -> Path:
        """The directory of iceoryx2's own files and sockets."""
        return _SHARED_MEMORY / f"{self.prefix}root"

    @property
    def lock_path(self) -> Path:
        """The file that is locked as long as the manager lives."""
        return _SHARED_MEMORY / f"{self.prefix}lock"


def check_service_prefix(service_prefix: str) -> None:
    """Raise ValueError when a configured prefix cannot start file names."""
    if not _SERVICE_PREFIX.fullmatch(service_prefix):
        raise ValueError(
            f"ipc.service_prefix: given {service_prefix!r}; "
            "accepts 1 to 32 letters, digits, underscores and hyphens, a letter or digit first"
        )


class DomainOwnership:
    """Makes a domain's directory and holds its lock, until `release` removes all there is of the domain.

    The lock and not the process id says that a manager lives: ids are used again, and differ between containers that
    share /dev/shm.
    """

    def __init__(self, domain: IpcDomain) -> None:
        self._domain = domain
        self._lock: int | None = _lock(domain.lock_path, create=True)
        if self._lock is None:
            raise RuntimeError(f"the IPC domain {domain.prefix} belongs to a running manager")
        _remove_files(domain)  # a crashed manager may have had the same name
        domain.root.mkdir(mode=0o700)

    def release(self) -> None:
        """Remove every file and segment of the domain; repeating it changes nothing."""
        if self._lock is None:
            return
        _remove_files(self._domain)
        self._domain.lock_path.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None


def cleanup_leftovers(service_prefix: str) -> list[str]:
    """Remove the domains under this prefix whose manager is dead, and return their names.

    For the start of a manager, after it has ended the processes that its predecessor left. Domains of living managers
    and of other users are passed over.
    """
    check_service_prefix(service_prefix)
    removed = []
    for path in _SHARED_MEMORY.glob(f"{service_prefix[:_KEPT]}_*_lock"):
        prefix = path.name.removesuffix("lock")
        with contextlib.suppress(ValueError, PermissionError):
            domain = IpcDomain(prefix)
            descriptor = _lock(path, create=False)
            if descriptor is None:
                continue
            try:
                _remove_files(domain)
                path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)
            removed.append(prefix)
    return removed


def _lock(path: Path, *, create: bool) -> int | None:
    """Open and lock a file; None when somebody else holds it, or when it is not there and `create` is not set."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0) | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        # Its last owner may have removed it between our open and our lock; then the lock guards nothing.
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


def _remove_files(domain: IpcDomain) -> None:
    for path in _SHARED_MEMORY.glob(f"{domain.prefix}*"):
        if path == domain.lock_path:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


class Services:
    """One process's node in a domain, and the services it opens there. Raises FileNotFoundError for a removed domain.

    iceoryx2's Python objects are the thread-safe kind: any thread may use them (tests/integration/test_ipc.py checks).
    """

    def __init__(self, domain: IpcDomain, name: str, *, max_workers: int, cleans_up: bool) -> None:
        if not domain.root.is_dir():
            # iceoryx2 would make it, and a worker that is late would bring a removed domain back.
            raise FileNotFoundError(f"the IPC domain {domain.prefix} is not there: its manager has ended")
        iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
        config = iceoryx2.config.default()
        config.global_cfg.root_path = iceoryx2.Path.new(str(domain.root))
        config.global_cfg.prefix = iceoryx2.FileName.new(domain.prefix)
        # Only the manager looks for dead nodes: 256 workers that start at once must not all do so.
        config.global_cfg.node.cleanup_dead_nodes_on_creation = cleans_up
        config.global_cfg.node.cleanup_dead_nodes_on_destruction = False
        config.global_cfg.service.cleanup_dead_nodes_on_open = cleans_up
        # A worker that died is counted until its node is cleaned up, which may be after its successor has started.
        self._ports = 2 * max_workers + 2
        # All workers may die at once with a request parked; iceoryx2 ends the process that has to keep more of them.
        config.defaults.request_response.server_expired_connection_buffer = self._ports
        self._node = (
            iceoryx2.NodeBuilder.new()
            .config(config)
            .name(iceoryx2.NodeName.new(name))
            # Otherwise it takes SIGTERM and SIGINT from the process.
            .signal_handling_mode(iceoryx2.SignalHandlingMode.Disabled)
            .create(iceoryx2.ServiceType.Ipc)
        )

    def exchange(self) -> Any:
        """Open the request-response service between the workers and the manager."""
        return (
            self._node.service_builder(iceoryx2.ServiceName.new("exchange"))
            .request_response(_Bytes, _Bytes)
            .max_clients(self._ports)
            .max_servers(1)
            .max_nodes(self._ports)
            # A worker has one request on its way at a time; the second place is that of one it gave up.
            .max_active_requests_per_client(2)
            .max_loaned_requests(1)
            .max_response_buffer_size(1)
            .max_borrowed_responses_per_pending_response(1)
            .open_or_create()
        )

    def requests_event(self) -> Any:
        """Open the event service that wakes the manager."""
        return self._event("requests", notifiers=self._ports)

    def answers_event(self, worker_index: int, pid: int) -> Any:
        """Open the event service that wakes a worker that waits for an answer."""
        return self._event(f"answers/{worker_index}/{pid}", notifiers=2)

    def orders_event(self, worker_index: int, pid: int) -> Any:
        """Open the event service that wakes a worker's control thread."""
        return self._event(f"orders/{worker_index}/{pid}", notifiers=2)

    def orders(self) -> Any:
        """Open the publish-subscribe service from the manager to the workers."""
        return (
            self._node.service_builder(iceoryx2.ServiceName.new("orders"))
            .publish_subscribe(_Bytes)
            .max_publishers(1)
            .max_subscribers(self._ports)
            .max_nodes(self._ports)
            .history_size(0)
            .subscriber_max_buffer_size(ORDER_BUFFER)
            .subscriber_max_borrowed_samples(1)
            # A worker that does not read loses its oldest orders; it must never block the manager.
            .enable_safe_overflow(True)
            .open_or_create()
        )

    def cleanup_dead_nodes(self) -> None:
        """Remove what processes of this domain that died without their own cleanup left behind."""
        self._node.try_cleanup_dead_nodes()

    def _event(self, name: str, *, notifiers: int) -> Any:
        return (
            self._node.service_builder(iceoryx2.ServiceName.new(name))
            .event()
            .max_listeners(1)
            .max_notifiers(notifiers)
            .max_nodes(max(notifiers, 4))
            .open_or_create()
        )


def wait(listener: Any, timeout: float) -> None:
    """Wait for a wake-up, a signal, or the end of `timeout` seconds; the interpreter's lock is free meanwhile."""
    # A signal ends the wait, so that its Python handler runs at once.
    with contextlib.suppress(iceoryx2.ListenerWaitError):
        listener.timed_wait(iceoryx2.Duration.from_secs_f64(timeout))


def send(port: Any, message: bytes) -> Any:
    """Copy a message into shared memory and send it through a client, an active request or a publisher.

    Returns what the port's send returns: the pending response of a client, nothing of interest otherwise.
    """
    slot = port.loan_slice_uninit(len(message))
    ctypes.memmove(slot.payload_ptr, message, len(message))
    return slot.assume_init().send()


def message_of(received: Any) -> bytes:
    """Copy a received message out of shared memory."""
    payload = received.payload()
    return ctypes.string_at(payload.data_ptr, payload.number_of_elements)
