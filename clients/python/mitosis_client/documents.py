"""A client whose questions and answers are dictionaries in the documented JSON form, as over REST."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

from mitosis_client.aio.transport import Tls
from mitosis_client.errors import FieldViolation, InvalidField, Unavailable
from mitosis_client.models import JsonValue
from mitosis_client.specs import SuiteSpec
from mitosis_client.sync import Client
from mitosis_common.loopback import is_loopback

INFO_TIMEOUT_SECONDS = 10.0


class MitosisClient:
    """A client of the coordinator behind an HTTP address, such as `https://api.example.com`.

    It asks there for the gRPC address and is a `Client` from then on: the same checks, errors and repetitions. `http://`
    is for loopback addresses, unless `insecure` allows that others on the way see everything, the token included.
    """

    def __init__(self, base_url: str, token: str, *, tls: Tls | None = None, insecure: bool = False) -> None:
        address, encrypted = _grpc_address(base_url, tls, insecure)
        self._client = Client(address, token=token, tls=tls or (Tls() if encrypted else None), insecure=insecure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def create_suite(self, suite_spec: Mapping[str, Any]) -> dict[str, JsonValue]:
        """Creates a suite and returns it. Raises as `Client.create_suite` does."""
        return self._client.create_suite(cast(SuiteSpec, dict(suite_spec))).to_dict()

    def submit_task(self, task_spec: Mapping[str, Any], suite_uuid: str | None = None) -> dict[str, JsonValue]:
        """Submits a task, optionally to a suite, and returns it. Raises as `Client.submit_task` does.

        `task_spec` is the body of `POST /tasks`: `{"group_name": ..., "task_spec": {...}}`. Keys of the inner
        `task_spec` that are none of its fields are the payload.
        """
        return self._client.submit_document(task_spec, suite_uuid=suite_uuid).to_dict()

    def get_suite(self, suite_uuid: str) -> dict[str, JsonValue]:
        """Returns a suite. Raises as `Client.get_suite` does."""
        return self._client.get_suite(suite_uuid).to_dict()

    def wait_for_suite(self, suite_uuid: str, *, timeout: float | None = None) -> dict[str, JsonValue]:
        """Waits until a suite has ended and returns it. Raises as `Client.wait_for_suite` does."""
        return self._client.wait_for_suite(suite_uuid, timeout=timeout).to_dict()


def _grpc_address(base_url: str, tls: Tls | None, insecure: bool) -> tuple[str, bool]:
    """Asks an HTTP address for `host:port` of the gRPC server, and whether it speaks TLS."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidField([FieldViolation("base_url", f"given {base_url!r}; accepts http:// or https://host:port")])
    # Whoever can answer here can send the client, and with it the token, elsewhere.
    if parts.scheme == "http" and not (insecure or is_loopback(parts.hostname)):
        accepts = "https:// for another machine; insecure=True allows plain text"
        raise InvalidField([FieldViolation("base_url", f"given {base_url!r}; accepts {accepts}")])
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        roots = tls.root_certificates.decode() if tls and tls.root_certificates else None
        context = ssl.create_default_context(cadata=roots)
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=INFO_TIMEOUT_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=INFO_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/info")
        answer = connection.getresponse()
        info = json.loads(answer.read()) if answer.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"{base_url} does not say where the gRPC server is: {error}") from None
    finally:
        connection.close()
    if not isinstance(info, dict) or not isinstance(info.get("grpc"), str):
        raise Unavailable(f"{base_url} does not say where the gRPC server is; is it a Mitosis coordinator?")
    return info["grpc"], info.get("grpc_tls") is True
