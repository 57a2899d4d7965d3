"""Ties the worker's life, and that of the processes below it, to its manager."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mitosis_common.processes import set_parent_death_signal
from mitosis_common.reaping import become_subreaper, kill_orphans

_MANAGER_DIED = signal.SIGUSR2
_EXIT_CODE = 1


class Lifeline:
    """Ends this process when the thread of the manager that started it ends, however that comes about.

    While Python code of a user runs, the kernel kills the worker: nothing less ends a handler that hangs in C code.
    While a command runs, the worker is only waiting; it gets a signal instead, and kills what is below it first.
    """

    def __init__(self, manager_pid: int) -> None:
        become_subreaper()
        signal.signal(_MANAGER_DIED, _end_with_descendants)
        self._manager_pid = manager_pid
        set_parent_death_signal(signal.SIGKILL, manager_pid)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Hold this while processes of a command may be alive."""
        set_parent_death_signal(_MANAGER_DIED, self._manager_pid)
        try:
            yield
        finally:
            set_parent_death_signal(signal.SIGKILL, self._manager_pid)


def _end_with_descendants(_signum: int, _frame: FrameType | None) -> None:
    kill_orphans()
    os._exit(_EXIT_CODE)
