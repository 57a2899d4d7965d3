"""Messages that the page on troubleshooting quotes are ones that the programs write."""

from __future__ import annotations

import functools
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "user-guide" / "troubleshooting.md"
_SOURCES = ("coordinator", "nodemgr", "worker", "common", "clients/python", "monitoring")
# Where a text goes on in the next literal.
_SEAM = re.compile(r'"\s*\n\s*f?"')
# Shorter ones are found anywhere.
_LONG_ENOUGH = 8
_STATES = re.compile(r"is (?:Queued|Open|Executing|Complete|Cancelled|Failed), ")
_COMMANDS = ("mitosis ", "journalctl ", "systemctl ", "curl ", "df ", "killed by ", "exit code ")


@functools.cache
def _sources() -> str:
    files = [file for name in _SOURCES for pattern in ("*.py", "*.sql") for file in (ROOT / name).rglob(pattern)]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return _SEAM.sub("", text).replace('\\"', '"')


def quoted(page: str) -> list[str]:
    """What the page shows as code within its text, without what is typed."""
    prose = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    return [text for text in re.findall(r"`([^`]+)`", prose) if not text.startswith(_COMMANDS)]


def missing(page: str) -> list[str]:
    """The quoted messages, log lines and names that no program has. What stands for `…` is not compared."""
    found = []
    for text in quoted(page):
        if " " in text:
            parts = [part.strip() for part in re.split(r"…|\d+", _STATES.sub("…", text))]
            found += [part for part in parts if len(part) >= _LONG_ENOUGH and part not in _sources()]
        elif re.fullmatch(r"[a-z]+(?:_[a-z]+)+", text) and text not in _sources():
            found.append(text)
    return found


def test_every_quoted_message_is_in_the_programs() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert len([text for text in quoted(page) if " " in text]) > 15
    assert missing(page) == []


def test_a_message_that_nobody_writes_is_found() -> None:
    assert missing("`not_conected` and `the manager … has lost its umbrella`") == [
        "not_conected",
        "has lost its umbrella",
    ]
