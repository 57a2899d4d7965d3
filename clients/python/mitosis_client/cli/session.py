"""What all commands share: the flags before the command, the connection they lead to, and how to answer."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mitosis_client.cli.output import Output
from mitosis_client.connection import Connection, find_connection
from mitosis_client.errors import MitosisError, Unavailable
from mitosis_client.sync import Client

MAX_PAGE_ITEMS = 1000

Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Answer with JSON: one document, or a line for each item.")]


def page_size(limit: int) -> int:
    """Returns how many items to read at once: one more than are shown tells whether there are more."""
    return min(limit + 1, MAX_PAGE_ITEMS)


class NoConnection(MitosisError):
    """Nothing says where the coordinator is."""

    reason = "NO_CONNECTION"


@dataclass(slots=True)
class Session:
    """One run of the command."""

    connection_file: Path | None = None
    address: str | None = None
    token: str | None = None
    root_certificates_file: Path | None = None
    certificate_file: Path | None = None
    private_key_file: Path | None = None
    insecure: bool = False
    output: Output = dataclasses.field(default_factory=Output)

    def connection(self) -> Connection:
        """Returns the connection to use; flags win over files. Raises `NoConnection`, `InvalidField`."""
        try:
            known = Connection.read(self.connection_file) if self.connection_file else None
            if known is None and self.address is None:
                known = find_connection()
        except OSError as error:
            raise NoConnection(f"{error.filename} cannot be read: {error.strerror}") from None
        if known is None and self.address is None:
            raise NoConnection(
                "no coordinator is known: start one with `mitosis up`, log in with `mitosis login`, or give "
                "--connection or --address"
            )
        connection = known or Connection(self.address or "", source="--address")
        changes: dict[str, Any] = {"grpc": self.address, "token": self.token}
        given = {name: value for name, value in changes.items() if value}
        return dataclasses.replace(connection, **given, **self._security())

    def _security(self) -> dict[str, Any]:
        """Returns what the flags change about TLS; those for one of TLS and plain text undo what a file says for it."""
        files = {
            "root_certificates_file": self.root_certificates_file,
            "certificate_file": self.certificate_file,
            "private_key_file": self.private_key_file,
        }
        # `login` keeps them for commands in other directories.
        given: dict[str, Any] = {name: str(path.absolute()) for name, path in files.items() if path is not None}
        if given and self.insecure:
            raise typer.BadParameter("--insecure goes with none of --ca, --cert and --key")
        if self.insecure:
            return {**dict.fromkeys(files, ""), "tls": False, "insecure": True}
        return {**given, "insecure": False} if given else {}

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """Opens a client; a coordinator that cannot be reached is named together with what named it."""
        connection = self.connection()
        try:
            with connection.client() as client:
                yield client
        except Unavailable as error:
            if error.reason != Unavailable.reason:
                raise
            raise Unavailable(
                f"the coordinator at {connection.grpc} (from {connection.source}) cannot be reached by "
                f"{'TLS' if connection.encrypted else 'plain text'}: {error.message}"
            ) from None
        except OSError as error:
            if error.filename is None:
                raise
            raise NoConnection(f"{error.filename} cannot be read: {error.strerror}") from None


def session_of(context: typer.Context, as_json: bool = False) -> Session:
    """Returns the session of a command and notes how it answers."""
    session = context.obj
    assert isinstance(session, Session)
    session.output.as_json = as_json
    return session
