"""The composition root: what is built, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from mitosis_common import garbage, log
from mitosis_common.lock import hold
from mitosis_common.open_files import allow_open_files
from mitosis_common.reaping import become_subreaper
from mitosis_common.report_journal import ReportJournal
from mitosis_common.token_file import Token
from mitosis_nodemgr import events as ev
from mitosis_nodemgr.config import ManagerConfig
from mitosis_nodemgr.driver import Driver
from mitosis_nodemgr.environment import Environment
from mitosis_nodemgr.intents import IntentStore
from mitosis_nodemgr.recovery import take_over

_log = structlog.get_logger(__name__)

# For each worker the events that wake it, the memory it sends from, its output and its process; 17 when last counted.
_OPEN_FILES_FOR_WORKER = 20
_OPEN_FILES = 128


async def run(config: ManagerConfig, *, allow_several: bool) -> int:
    """Runs a manager to its end, and returns the exit code.

    Raises `LockedError`, `TokenError` and `ConfigError` before anything was started, `OSError` when a directory cannot
    be used, and whatever ended a background task.
    """
    log.configure(config.logging.level, config.logging.format, config.logging.path, process="manager")
    become_subreaper()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_directory(config.manager.runtime_dir))
        if not allow_several:
            lock = config.manager.runtime_dir / "manager.lock"
            stack.enter_context(hold(lock, "one manager runs per machine (--allow-several allows more)"))
        config.manager.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Two managers in one data directory would pay each other's debts while they are still being made.
        stack.enter_context(hold(config.manager.data_dir / "manager.lock", "a data directory belongs to one manager"))
        assert config.coordinator.token_file is not None
        token = Token(config.coordinator.token_file)
        environment = Environment(config)
        # After it, because it keeps the limit that hooks and tasks get.
        allow_open_files(_OPEN_FILES + _OPEN_FILES_FOR_WORKER * config.manager.max_workers, "manager.max_workers")
        intents = IntentStore(config.manager.data_dir)
        if config.groups:
            _log.info("configured_groups_ignored", configured=[group.name for group in config.groups])

        journal = ReportJournal(config.manager.data_dir)
        stack.callback(journal.close)
        signals = stack.enter_context(_Signals())
        driver = Driver(environment, token, intents, journal, take_over(environment, intents, journal))

        def end() -> None:
            driver.post(ev.LeaveRequested(graceful=True) if signals.count == 1 else ev.StopRequested())

        signals.handler = end
        if config.metrics.enabled:
            # Late: a manager without it needs no server.
            from mitosis_nodemgr.metrics import serving_metrics

            serving = serving_metrics(config.metrics, config.manager.data_dir, driver, journal)
            await stack.enter_async_context(serving)
        garbage.settle()
        _log.info("manager_started", session_uuid=environment.session_uuid, max_workers=config.manager.max_workers)
        exit_code = await driver.run()
        _log.info("manager_ended", exit_code=exit_code)
        return exit_code


class _Signals(contextlib.AbstractContextManager["_Signals"]):
    """Counts SIGTERM and SIGINT, and passes them to whoever is in charge."""

    def __init__(self) -> None:
        self.count = 0
        self.handler: Callable[[], object] = lambda: None

    def __enter__(self) -> _Signals:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    def _arrived(self) -> None:
        self.count += 1
        self.handler()


@contextlib.contextmanager
def _directory(path: Path) -> Iterator[None]:
    """Makes a directory, and removes it at the end if it is empty then."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        yield
    finally:
        # Another manager may still use it.
        with contextlib.suppress(OSError):
            path.rmdir()
