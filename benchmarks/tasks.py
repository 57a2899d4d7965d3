"""Handlers that the measured tasks run."""

from __future__ import annotations

import time


def noop(_payload: object) -> None:
    """Do nothing."""


def sleep(seconds: float) -> None:
    """Do nothing for a while."""
    time.sleep(seconds)
