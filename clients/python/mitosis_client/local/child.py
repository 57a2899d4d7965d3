"""One child process of `mitosis up`: its own process group, its own log file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from mitosis_common.processes import OutputTail, signal_group

_LOG_TAIL_BYTES = 4096

# These win over a configuration file: meant for other processes, they would lead ours elsewhere, or are none of their
# business.
_NOT_INHERITED = frozenset(
    {"COORDINATOR_URL", "DATABASE_URL", "MANAGER_TOKEN_FILE", "MITOSIS_ADDRESS", "MITOSIS_CONNECTION", "MITOSIS_TOKEN"}
)


class Child:
    """A program that is started again and again under one name, one process at a time."""

    def __init__(self, name: str, argv: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._argv = tuple(argv)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The running process, or nothing."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def old_log(self) -> Path:
        """The log of the run before."""
        return self.log.with_suffix(".log.1")

    def keep_old_log(self) -> None:
        """Puts the log of the run before aside, so that a log holds one run and there are never more than two."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.log.replace(self.old_log)

    async def start(self) -> None:
        """Starts the program. It reads nothing from the terminal, and the terminal's Ctrl-C does not reach it."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                process_group=0,
                env={name: value for name, value in os.environ.items() if name not in _NOT_INHERITED},
            )
        finally:
            os.close(descriptor)

    async def wait(self) -> int:
        """Waits for the process and returns its exit code, negative for a signal."""
        assert self._process is not None, "started before it is waited for"
        return await self._process.wait()

    async def stop(self, grace: float) -> bool:
        """Asks the process to end, and kills its group after `grace` seconds; returns whether it ended by itself."""
        if self._process is None:
            return True
        ended = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(grace):
                    await self._process.wait()
            except TimeoutError:
                ended = False
        self.kill()
        await self._process.wait()
        return ended

    def kill(self) -> None:
        """Kills the process and what is left in its group, now."""
        if self._process is not None:
            signal_group(self._process.pid, signal.SIGKILL)

    def log_tail(self) -> str:
        """Returns the end of the log."""
        tail = OutputTail(_LOG_TAIL_BYTES)
        with contextlib.suppress(OSError), self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - 2 * _LOG_TAIL_BYTES))
            tail.write(stream.read())
        return tail.text().rstrip()
