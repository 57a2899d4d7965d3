"""Handlers that the measured tasks run."""

from __future__ import annotations


def noop(_payload: object) -> None:
    """Do nothing."""
