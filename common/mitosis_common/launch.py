"""Starts the `mitosis` command, whose imports take long enough for a Ctrl-C to fall into them."""

from __future__ import annotations

import importlib
import signal


def mitosis() -> None:
    """Runs the command; the entry point of the `mitosis` script."""
    start("mitosis_client.cli.app")


def start(module: str) -> None:
    """Imports a module and calls its `main`; until that is there, a Ctrl-C ends the process without a word.

    The module is named, not imported: everything that is imported here comes before the signal is set.
    """
    interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interrupts:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    loaded = importlib.import_module(module)
    if interrupts:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    loaded.main()
