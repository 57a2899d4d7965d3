"""What goes wrong on this machine, before or beside any call."""

from __future__ import annotations


class LocalError(Exception):
    """Something on this machine is in the way; the message says what to do, `exit_code` how a command ends."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
