"""Tokens of managers and workers on their way to whoever keeps them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from mitosis_client.cli.exits import ExitCode
from mitosis_client.cli.output import Output, moment
from mitosis_client.connection import write_private
from mitosis_client.local.errors import LocalError
from mitosis_client.models import Manager
from mitosis_client.worker_models import Worker

TokenFile = Annotated[Path | None, typer.Option(help="Write the token here, not to the screen.")]


def hand_over(output: Output, bearer: Manager | Worker, token: str, expires_at: datetime, file: Path | None) -> None:
    """Writes a new token into a file, or shows it this once. Raises `LocalError` when the file cannot be written."""
    kind = "manager" if isinstance(bearer, Manager) else "worker"
    if file is not None:
        try:
            write_private(file, token + "\n")
        except OSError as error:
            raise LocalError(
                f"{file} cannot be written ({error.strerror}) and the new token of {kind} {bearer.uuid} is lost: "
                f"get another one with `mitosis {kind}s revoke --renew {bearer.uuid}`",
                ExitCode.USAGE,
            ) from None
    if output.as_json:
        expires = expires_at.isoformat().replace("+00:00", "Z")
        shown = {"token_file": str(file)} if file else {"token": token}
        output.document({kind: bearer.to_dict(), **shown, "token_expires_at": expires})
        return
    output.fields(
        [
            ("uuid", bearer.uuid),
            ("token", str(file) if file else token),
            ("expires", f"{moment(expires_at)}; a running {kind} renews it by itself"),
        ]
    )
