"""How many files and connections the process may have open."""

from __future__ import annotations

import resource

import structlog

log = structlog.get_logger(__name__)

# Beside the connections of managers and workers: the pool, the servers, requests, what Python itself needs.
_OTHERS = 256


def allow_connections(count: int) -> None:
    """Raise the process's own limit as far as the system lets it, and warn when it will not do for `count` streams.

    The usual soft limit is 1024, for programs that use `select`; the hard one is what the system means.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < count + _OTHERS:
        log.warning("open_files_limit_is_low", limit=hard, wanted=count + _OTHERS, setting="stream.max_connections")
