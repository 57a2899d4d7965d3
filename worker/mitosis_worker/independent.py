"""A worker of its own: registered with the coordinator, for tasks that belong to no suite."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from uuid import UUID, uuid4

import structlog

from mitosis.v1 import task_pb2
from mitosis_common import log
from mitosis_common.agent_config import ExecutorDefaults
from mitosis_common.lock import hold
from mitosis_common.reaping import become_subreaper, kill_marked, kill_orphans
from mitosis_common.report_journal import ReportJournal
from mitosis_common.token_file import Token
from mitosis_worker.comm import HolderGoneError
from mitosis_worker.config import WorkerConfig
from mitosis_worker.executors.capture import CapturedOutput
from mitosis_worker.executors.command import CommandExecutor
from mitosis_worker.executors.handler import HandlerExecutor
from mitosis_worker.grpc_comm import GrpcComm
from mitosis_worker.loop import WorkerLoop

# In the environment of everything that a worker starts: by it, the next process finds what a killed one left running.
_MARK = "MITOSIS_WORKER_MARK"
# Names of variables that are the worker's own business: a task has no use for its token file.
_PRIVATE = ("WORKER_TOKEN_FILE", "MITOSIS_COORDINATOR__TOKEN_FILE")
_log = structlog.get_logger(__name__)


class _NoMarker:
    """Nobody watches this process from outside."""

    def begin(self, ordinal: int) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""


def run(config: WorkerConfig) -> int:
    """Run tasks until SIGTERM, SIGINT or the coordinator ends it; return the exit code.

    0: it was asked to end. 1: the coordinator will not have it. Raises TokenError, LockedError when another process
    uses the data directory, and OSError when that or the log file cannot be used.
    """
    log.configure(config.logging.level, config.logging.format, config.logging.path, process="worker")
    assert config.coordinator.token_file is not None
    token = Token(config.coordinator.token_file)
    for name in _PRIVATE:
        os.environ.pop(name, None)
    _forget_standard_input()
    become_subreaper()
    with ExitStack() as stack:
        _take_over(config, stack)
        journal = ReportJournal(config.data_dir)
        stack.callback(journal.close)
        return _work(config, token, journal)


def _take_over(config: WorkerConfig, stack: ExitStack) -> None:
    """Make the data directory this process's own, and end what a killed predecessor left running."""
    directory = config.data_dir
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        stack.enter_context(hold(directory / "worker.lock", "a data directory belongs to one worker"))
        mark = _mark_of(directory)
    except OSError as error:
        if config.worker.data_dir is not None:
            raise
        # As where a secret is mounted. The journal takes it for a disk that takes nothing.
        advice = "set worker.data_dir, or results are lost when this process is killed"
        _log.warning("no_data_directory", path=str(directory), problem=error.strerror, advice=advice)
        return
    killed = kill_marked(f"{_MARK}={mark}".encode())
    if killed:
        _log.warning("predecessor_was_killed", processes_killed=killed)
    os.environ[_MARK] = mark


def _mark_of(directory: Path) -> str:
    """Read what names a data directory on this machine, as its path does not where containers see each other."""
    path = directory / "mark"
    with suppress(FileNotFoundError, ValueError):
        return str(UUID(path.read_text(encoding="ascii")))
    mark = str(uuid4())
    path.write_text(mark, encoding="ascii")
    return mark


def _work(config: WorkerConfig, token: Token, journal: ReportJournal) -> int:
    commands = CommandExecutor(config.worker.stop_grace_seconds)
    handlers = HandlerExecutor(CapturedOutput())
    comm = GrpcComm(config, token, journal)
    loop = WorkerLoop(comm, commands, handlers, _NoMarker(), task_defaults(config.worker_defaults))
    # A handler's segmentation fault leaves its Python traceback on standard error.
    faulthandler.enable(file=2)
    asked = 0

    def end(_signum: int, _frame: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            loop.leave()
        else:
            comm.hurry()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    _log.info("worker_started", pid=os.getpid())
    exit_code = 0
    try:
        loop.run()
    except HolderGoneError as error:
        _log.error("worker_rejected", why=str(error))
        exit_code = 1
    finally:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        comm.close()
        handlers.close()
        kill_orphans()
    _log.info("worker_ended", exit_code=exit_code)
    return exit_code


def task_defaults(defaults: ExecutorDefaults) -> task_pb2.TaskSpec:
    """The configured defaults, as tasks take them."""
    return task_pb2.TaskSpec(
        command=defaults.command or "",
        args=defaults.args,
        handler=defaults.handler or "",
        envs=defaults.envs,
        working_directory=str(defaults.working_directory or ""),
        timeout_seconds=defaults.timeout_seconds,
    )


def _forget_standard_input() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
