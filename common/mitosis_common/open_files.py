"""How many files, pipes and connections a process may have open."""

from __future__ import annotations

import resource

import structlog

log = structlog.get_logger(__name__)


def soft_limit() -> int:
    """Returns how many the process may have open as things are."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def allow_open_files(wanted: int, setting: str) -> None:
    """Raises the process's own limit as far as the system lets it, and warns when that will not do for `wanted`.

    The usual soft limit is 1024, for programs that use `select`; the hard one is what the system means. `setting` is
    the key of the configuration that asks for so many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < wanted:
        log.warning("open_files_limit_is_low", limit=hard, wanted=wanted, setting=setting)


def set_soft_limit(count: int, pid: int) -> None:
    """Sets the soft limit of a process, which keeps the hard one.

    Raises `ProcessLookupError` when there is no such process.
    """
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, hard))
