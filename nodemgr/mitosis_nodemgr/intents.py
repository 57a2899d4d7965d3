"""What a manager owes, on disk: written before a suite is touched, erased when it is cleaned up.

A manager that is killed leaves the record behind; the next one in the same data directory reads it, ends what is still
running, and runs the cleanup hook that is owed. Only one suite is held at a time, so there is one record.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from google.protobuf import json_format

from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.processes import signal_group
from mitosis_nodemgr.child import ProcessId

_VERSION = 1
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Intent:
    """A suite that was begun. `mark` is the environment variable, as `NAME=value`, that all its processes carry."""

    suite: stream.SuiteAssigned
    manager_uuid: str
    mark: str
    ipc_domain: str
    processes: set[ProcessId] = field(default_factory=set)

    def to_json(self) -> str:
        """Writes it as one JSON document."""
        return json.dumps(
            {
                "version": _VERSION,
                "suite": json_format.MessageToDict(self.suite, preserving_proto_field_name=True),
                "manager_uuid": self.manager_uuid,
                "mark": self.mark,
                "ipc_domain": self.ipc_domain,
                "processes": sorted([process.pid, process.start_ticks] for process in self.processes),
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> Intent:
        """Reads what `to_json` wrote. Raises `ValueError` for anything else."""
        try:
            document = json.loads(text)
            if document["version"] != _VERSION:
                raise ValueError(f"version {document['version']}")
            return cls(
                suite=json_format.ParseDict(document["suite"], stream.SuiteAssigned(), ignore_unknown_fields=True),
                manager_uuid=str(document["manager_uuid"]),
                mark=str(document["mark"]),
                ipc_domain=str(document["ipc_domain"]),
                processes={ProcessId(int(pid), int(start)) for pid, start in document["processes"]},
            )
        except (KeyError, TypeError, json_format.ParseError) as error:
            raise ValueError(f"not a record of intent: {error}") from error


class IntentStore:
    """The record in a data directory that this process has locked."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "intent.json"

    @property
    def path(self) -> Path:
        """Where the record is."""
        return self._path

    def write(self, intent: Intent, *, durable: bool = True) -> None:
        """Replaces the record. A crash at any moment leaves the old one or the new one.

        Without `durable` it survives the death of this process but not of the machine, which ends the processes too.
        Raises `OSError`.
        """
        temporary = self._path.with_suffix(".new")
        # Environments of hooks may hold secrets.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(intent.to_json())
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError:
            temporary.unlink()
            raise
        temporary.replace(self._path)
        if durable:
            self._sync_directory()

    def amend(self, intent: Intent) -> None:
        """Replaces a record that is there; a disk that takes nothing is logged, and leaves the old one.

        A process that is not on record is still found by its mark.
        """
        try:
            self.write(intent, durable=False)
        except OSError as error:
            _log.error("intent_not_written", path=str(self._path), problem=error.strerror)

    def read(self) -> Intent | None:
        """Returns the record, if there is one. One that cannot be read is set aside under another name and logged."""
        try:
            return Intent.from_json(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            aside = self._path.with_suffix(".unreadable")
            self._path.replace(aside)
            _log.error("intent_unreadable", path=str(aside), error=str(error))
            return None

    def erase(self) -> None:
        """Removes the record; erasing nothing is fine."""
        self._path.unlink(missing_ok=True)

    def _sync_directory(self) -> None:
        handle = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def kill_recorded(processes: Collection[ProcessId]) -> int:
    """Kills the groups of recorded processes that still exist, and returns how many did."""
    found = [process for process in processes if process.exists()]
    for process in found:
        signal_group(process.pid, signal.SIGKILL)
    return len(found)
