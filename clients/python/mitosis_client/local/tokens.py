"""Whether a token on disk is worth presenting."""

from __future__ import annotations

import base64
import json
import time

_MARGIN_SECONDS = 3600.0


def is_fresh(token: str, now: float | None = None) -> bool:
    """Returns whether a JWT says of itself that it is good for another hour; its signature is not looked at."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) > (time.time() if now is None else now) + _MARGIN_SECONDS
    except (IndexError, KeyError, TypeError, ValueError):
        return False
