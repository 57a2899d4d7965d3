"""Every failure a caller can meet, rebuilt from the `google.rpc.Status` that the coordinator sends.

The reason of its `ErrorInfo` (domain `mitosis`) picks the class; without one, for example when a proxy or the transport
failed, the gRPC code does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from mitosis_client.models import JsonValue, Task

DOMAIN = "mitosis"
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that was refused: its path, and what was given and what is accepted."""

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}"


class MitosisError(Exception):
    """A call failed; `reason` is the documented reason, `message` one sentence for people."""

    reason = "UNKNOWN"

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_seconds = retry_after_seconds

    def to_dict(self) -> dict[str, JsonValue]:
        """Returns the error as JSON: `reason`, `message` and what else is known."""
        return {"reason": self.reason, "message": self.message}


class InvalidField(MitosisError):
    """Fields were refused and nothing was changed; `violations` names each of them."""

    reason = "INVALID_FIELD"

    def __init__(self, violations: Sequence[FieldViolation], message: str = "") -> None:
        super().__init__(message or "; ".join(map(str, violations)) or "a field was refused")
        self.violations = tuple(violations)

    def to_dict(self) -> dict[str, JsonValue]:
        """Returns the error as JSON, with `violations` as objects of `field` and `description`."""
        violations: list[JsonValue] = [
            {"field": item.field, "description": item.description} for item in self.violations
        ]
        return {**MitosisError.to_dict(self), "violations": violations}


class NotFound(MitosisError):
    """There is no such thing, or the caller may not know of it."""

    reason = "NOT_FOUND"


class AlreadyExists(MitosisError):
    """The name is taken."""

    reason = "ALREADY_EXISTS"


class WrongState(MitosisError):
    """The current `state` does not allow `event`; `allowed` names the events that it does allow."""

    reason = "WRONG_STATE"

    def __init__(self, message: str, *, state: str = "", event: str = "", allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.state = state
        self.event = event
        self.allowed = tuple(allowed)

    def to_dict(self) -> dict[str, JsonValue]:
        """Returns the error as JSON, with `state`, `event` and `allowed`."""
        allowed: list[JsonValue] = [*self.allowed]
        return {**MitosisError.to_dict(self), "state": self.state, "event": self.event, "allowed": allowed}


class PermissionDenied(MitosisError):
    """The caller is known and may not do this."""

    reason = "PERMISSION_DENIED"


class Unauthenticated(MitosisError):
    """The coordinator does not accept who the caller says to be."""

    reason = "UNAUTHENTICATED"


class InvalidToken(Unauthenticated):
    """There was no token, or one that is malformed, expired or revoked."""

    reason = "INVALID_TOKEN"


class WrongTokenKind(Unauthenticated):
    """The token is good but of another kind, for example a manager's where a user's is needed."""

    reason = "WRONG_TOKEN_KIND"


class InvalidCredentials(Unauthenticated):
    """User name and password do not match, or the user is disabled."""

    reason = "INVALID_CREDENTIALS"


class TaskFailed(MitosisError):
    """A task whose result was asked for did not complete; `task` says how it ended."""

    reason = "TASK_FAILED"

    def __init__(self, task: Task) -> None:
        error = task.result.error if task.result else ""
        super().__init__(f"task {task.uuid} is {task.state}{f': {error}' if error else ''}")
        self.task = task


class LimitExceeded(MitosisError):
    """A size, a count or a rate is over its limit."""

    reason = "LIMIT_EXCEEDED"


class Unavailable(MitosisError):
    """The coordinator cannot be reached or cannot answer now; repeating the call later may succeed."""

    reason = "UNAVAILABLE"


class StorageUnavailable(Unavailable):
    """The coordinator's database is away."""

    reason = "STORAGE_UNAVAILABLE"


class ShuttingDown(Unavailable):
    """The coordinator is going down."""

    reason = "SHUTTING_DOWN"


class SessionReplaced(MitosisError):
    """A newer session of the same manager took over."""

    reason = "SESSION_REPLACED"


class RequestIdReused(MitosisError):
    """The `request_id` was used before with another request."""

    reason = "REQUEST_ID_REUSED"


class Disabled(MitosisError):
    """The feature is switched off by the coordinator's configuration."""

    reason = "DISABLED"


class DeadlineExceeded(MitosisError):
    """The answer did not come within the call's timeout; whether it took effect is not known."""

    reason = "DEADLINE_EXCEEDED"


class Internal(MitosisError):
    """The coordinator met an unforeseen error; the message holds the incident id of its log."""

    reason = "INTERNAL"


_BY_REASON: dict[str, type[MitosisError]] = {
    kind.reason: kind
    for kind in (
        NotFound,
        AlreadyExists,
        PermissionDenied,
        InvalidToken,
        WrongTokenKind,
        InvalidCredentials,
        LimitExceeded,
        StorageUnavailable,
        ShuttingDown,
        SessionReplaced,
        RequestIdReused,
        Disabled,
        Internal,
    )
}

_BY_CODE: dict[grpc.StatusCode, type[MitosisError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: WrongState,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAUTHENTICATED: InvalidToken,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitExceeded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNIMPLEMENTED: Disabled,
    grpc.StatusCode.INTERNAL: Internal,
}


def from_rpc_error(error: grpc.aio.AioRpcError) -> MitosisError:
    """Returns the typed error for what a call raised."""
    message = error.details() or error.code().name
    status = _status(error)
    if status is None:
        return _from_code(error.code(), message)

    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry_info = error_details_pb2.RetryInfo()
    for detail in status.details:
        for target in (info, bad_request, retry_info):
            if detail.Is(target.DESCRIPTOR):
                detail.Unpack(target)
    message = status.message or message
    if info.domain != DOMAIN:
        return _from_code(error.code(), message)
    if info.reason == InvalidField.reason:
        violations = [FieldViolation(item.field, item.description) for item in bad_request.field_violations]
        return InvalidField(violations, message)
    if info.reason == WrongState.reason:
        allowed = [item.strip() for item in info.metadata["allowed"].split(",") if item.strip()]
        return WrongState(message, state=info.metadata["state"], event=info.metadata["event"], allowed=allowed)
    kind = _BY_REASON.get(info.reason)
    if kind is None:
        return _from_code(error.code(), message)
    delay = retry_info.retry_delay
    return kind(message, retry_after_seconds=delay.seconds + delay.nanos / 1e9 if delay.ByteSize() else None)


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _from_code(code: grpc.StatusCode, message: str) -> MitosisError:
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidField((), message)
    return _BY_CODE.get(code, MitosisError)(message)
