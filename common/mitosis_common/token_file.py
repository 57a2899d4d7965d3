"""A manager's or worker's token: read from a file, refreshed in that file before it ends."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import structlog

REFRESH_BELOW_SECONDS = 24 * 3600.0
_log = structlog.get_logger(__name__)


class TokenError(Exception):
    """The token file cannot be used."""


class Token:
    """The current token. Its text never appears in `repr`, logs or errors."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = ""
        self.reload()

    def __repr__(self) -> str:
        return f"Token({str(self._path)!r})"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The gRPC metadata that authenticates a call."""
        return (("authorization", f"Bearer {self._text}"),)

    def reload(self) -> None:
        """Reads the file again: an operator may have put a new token there. Raises `TokenError`."""
        try:
            text = self._path.read_text(encoding="ascii").strip()
            mode = self._path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise TokenError(f"token file {self._path}: {getattr(error, 'strerror', None) or 'not a token'}") from None
        if not text or any(char.isspace() for char in text):
            raise TokenError(f"token file {self._path}: accepts one token on one line")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            _log.warning("token_file_readable_by_others", path=str(self._path), advice="chmod 600")
        self._text = text

    def replace(self, text: str) -> None:
        """Stores a new token: a crash at any moment leaves the old or the new one in the file, never half of one.

        When the file cannot be written the new token is used all the same, until the process ends.
        """
        self._text = text
        try:
            handle, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            try:
                with os.fdopen(handle, "w", encoding="ascii") as file:
                    file.write(f"{text}\n")
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).replace(self._path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            _log.error("token_not_stored", path=str(self._path), error=error.strerror)


def seconds_to_refresh(expires_at: float, now: float) -> float:
    """Returns how long to wait, in seconds, before asking for a new token; both times are Unix times.

    A token that lives less than a day in all is refreshed at half of what is left rather than at once and for ever.
    """
    left = expires_at - now
    return left - REFRESH_BELOW_SECONDS if left > REFRESH_BELOW_SECONDS else max(left / 2, 1.0) if left > 0 else 0.0
