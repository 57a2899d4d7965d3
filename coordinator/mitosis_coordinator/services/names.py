"""What users and groups may be called."""

from __future__ import annotations

import re

from mitosis_coordinator.domain.errors import InvalidField

# Names are segments of paths in REST, where one and two dots mean other things.
_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._@-]{1,64}")


def check_name(field: str, name: str) -> None:
    """Refuse a name for a new user or group.

    Raises:
        InvalidField: it is empty, too long, or holds other characters.
    """
    if not _NAME.fullmatch(name):
        raise InvalidField.one(field, name, "1 to 64 of a-z A-Z 0-9 . _ @ -, and not one or two dots alone")
