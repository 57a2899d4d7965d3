"""How a refused call looks on the wire: one table from domain error to codes, reason, log level and details."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from mitosis.v1.errors_pb2 import ErrorReason
from mitosis_coordinator.domain import errors

DOMAIN = "mitosis"
_REASON_PREFIX = "ERROR_REASON_"
# gRPC refuses trailers of more than 8 KiB, base64 included: a list of mistakes is cut rather than lost.
_MAX_VIOLATIONS_BYTES = 3 * 1024
_MAX_TEXT_LENGTH = 512
_RETRY_DELAY_SECONDS = 1

LogLevel = Literal["debug", "info", "warning", "error"]
E = TypeVar("E", bound=errors.DomainError)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """How one kind of error looks.

    `http_code` is what a REST client sees; `details` builds the messages beside `ErrorInfo`, `metadata` its facts.
    """

    code: grpc.StatusCode
    reason: ErrorReason
    log_level: LogLevel
    http_code: int
    details: Callable[[errors.DomainError], list[Message]]
    metadata: Callable[[errors.DomainError], dict[str, str]]

    @property
    def reason_name(self) -> str:
        """The reason as it is sent: the enum's name without its prefix."""
        return ErrorReason.Name(self.reason).removeprefix(_REASON_PREFIX)


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """One error, ready to be sent."""

    row: ErrorRow
    status: status_pb2.Status


def shape_of(error: errors.DomainError) -> ErrorShape:
    """Look an error up and fill in its details.

    Raises:
        KeyError: there is no row for the class, nor for one above it.
    """
    for kind in type(error).__mro__:
        if (row := ERROR_TABLE.get(kind)) is not None:
            return ErrorShape(row, _status(row, _shorten(str(error)), row.details(error), row.metadata(error)))
    raise KeyError(f"{type(error).__name__} has no row in the table of errors")


def internal_error(incident_id: str) -> ErrorShape:
    """The answer for an error that nobody foresaw: an incident id that the log holds too, never the error's text."""
    message = f"an unforeseen error happened; the coordinator's log has it as incident {incident_id}"
    return ErrorShape(INTERNAL_ROW, _status(INTERNAL_ROW, message, [], {"incident_id": incident_id}))


def http_code_of(status: status_pb2.Status) -> int:
    """The HTTP code of a status that this table made; 500 for any other."""
    info = error_details_pb2.ErrorInfo()
    for packed in status.details:
        if packed.Unpack(info):
            return _HTTP_CODES.get(info.reason, INTERNAL_ROW.http_code)
    return INTERNAL_ROW.http_code


def _status(row: ErrorRow, message: str, details: list[Message], metadata: dict[str, str]) -> status_pb2.Status:
    info = error_details_pb2.ErrorInfo(domain=DOMAIN, reason=row.reason_name, metadata=metadata)
    packed = []
    for detail in (info, *details):
        packed.append(AnyMessage())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=row.code.value[0], message=message, details=packed)


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_TEXT_LENGTH else f"{text[: _MAX_TEXT_LENGTH - 3]}..."


def _bad_request(error: errors.InvalidField) -> list[Message]:
    request = error_details_pb2.BadRequest()
    for violation in error.violations:
        request.field_violations.add(
            field=_shorten(violation.field),
            description=_shorten(f"given {violation.given}; accepts {violation.accepts}"),
        )
        if request.ByteSize() > _MAX_VIOLATIONS_BYTES:
            break
    return [request]


def _bad_request_facts(error: errors.InvalidField) -> dict[str, str]:
    return {"violation_count": str(len(error.violations))}


def _resource(error: errors.NotFound | errors.AlreadyExists) -> list[Message]:
    return [
        error_details_pb2.ResourceInfo(
            resource_type=error.kind, resource_name=_shorten(error.name), description=_shorten(str(error))
        )
    ]


def _precondition(error: errors.WrongState) -> list[Message]:
    failure = error_details_pb2.PreconditionFailure()
    failure.violations.add(
        type="STATE", subject=_shorten(f"{error.kind}/{error.name}"), description=_shorten(str(error))
    )
    return [failure]


def _state_facts(error: errors.WrongState) -> dict[str, str]:
    return {"state": error.state, "event": error.event, "allowed": ",".join(error.allowed)}


def _quota(error: errors.LimitExceeded) -> list[Message]:
    failure = error_details_pb2.QuotaFailure()
    failure.violations.add(subject=error.subject, description=_shorten(str(error)))
    return [failure]


def _retry(_error: errors.DomainError) -> list[Message]:
    return [error_details_pb2.RetryInfo(retry_delay=Duration(seconds=_RETRY_DELAY_SECONDS))]


def _no_details(_error: errors.DomainError) -> list[Message]:
    return []


def _no_facts(_error: errors.DomainError) -> dict[str, str]:
    return {}


def _row(
    kind: type[E],
    code: grpc.StatusCode,
    reason: ErrorReason,
    log_level: LogLevel,
    http_code: int,
    details: Callable[[E], list[Message]] = _no_details,
    metadata: Callable[[E], dict[str, str]] = _no_facts,
) -> tuple[type[errors.DomainError], ErrorRow]:
    def checked_details(error: errors.DomainError) -> list[Message]:
        assert isinstance(error, kind)
        return details(error)

    def checked_metadata(error: errors.DomainError) -> dict[str, str]:
        assert isinstance(error, kind)
        return metadata(error)

    return kind, ErrorRow(code, reason, log_level, http_code, checked_details, checked_metadata)


_Code = grpc.StatusCode
_Reason = ErrorReason

ERROR_TABLE: dict[type, ErrorRow] = dict(
    [
        _row(
            errors.InvalidField,
            _Code.INVALID_ARGUMENT,
            _Reason.ERROR_REASON_INVALID_FIELD,
            "debug",
            400,
            _bad_request,
            _bad_request_facts,
        ),
        _row(errors.NotFound, _Code.NOT_FOUND, _Reason.ERROR_REASON_NOT_FOUND, "debug", 404, _resource),
        _row(errors.AlreadyExists, _Code.ALREADY_EXISTS, _Reason.ERROR_REASON_ALREADY_EXISTS, "debug", 409, _resource),
        _row(
            errors.WrongState,
            _Code.FAILED_PRECONDITION,
            _Reason.ERROR_REASON_WRONG_STATE,
            "debug",
            409,
            _precondition,
            _state_facts,
        ),
        _row(errors.PermissionDenied, _Code.PERMISSION_DENIED, _Reason.ERROR_REASON_PERMISSION_DENIED, "info", 403),
        _row(errors.InvalidToken, _Code.UNAUTHENTICATED, _Reason.ERROR_REASON_INVALID_TOKEN, "info", 401),
        _row(errors.WrongTokenKind, _Code.UNAUTHENTICATED, _Reason.ERROR_REASON_WRONG_TOKEN_KIND, "info", 401),
        _row(errors.InvalidCredentials, _Code.UNAUTHENTICATED, _Reason.ERROR_REASON_INVALID_CREDENTIALS, "info", 401),
        _row(errors.LimitExceeded, _Code.RESOURCE_EXHAUSTED, _Reason.ERROR_REASON_LIMIT_EXCEEDED, "info", 429, _quota),
        _row(
            errors.StorageUnavailable,
            _Code.UNAVAILABLE,
            _Reason.ERROR_REASON_STORAGE_UNAVAILABLE,
            "warning",
            503,
            _retry,
        ),
        _row(errors.ShuttingDown, _Code.UNAVAILABLE, _Reason.ERROR_REASON_SHUTTING_DOWN, "info", 503, _retry),
        _row(errors.SessionReplaced, _Code.ABORTED, _Reason.ERROR_REASON_SESSION_REPLACED, "info", 409),
        _row(errors.RequestIdReused, _Code.ABORTED, _Reason.ERROR_REASON_REQUEST_ID_REUSED, "info", 409),
        _row(errors.Disabled, _Code.UNIMPLEMENTED, _Reason.ERROR_REASON_DISABLED, "info", 501),
    ]
)

INTERNAL_ROW = ErrorRow(_Code.INTERNAL, _Reason.ERROR_REASON_INTERNAL, "error", 500, _no_details, _no_facts)

_HTTP_CODES = {row.reason_name: row.http_code for row in (*ERROR_TABLE.values(), INTERNAL_ROW)}
