"""Every row of the table of errors, from the exception in a handler to what a client reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from mitosis.v1.errors_pb2 import ErrorReason
from mitosis_coordinator.domain import errors
from mitosis_coordinator.rpc.errors import ERROR_TABLE, INTERNAL_ROW
from mitosis_coordinator.rpc.interceptors.chain import InterceptorChain
from mitosis_coordinator.rpc.interceptors.errors import ErrorsLayer
from tests.support.coordinator import refusal

EXAMPLES: list[errors.DomainError] = [
    errors.InvalidField([errors.FieldViolation("worker_count", "0", "1 to 4096")]),
    errors.NotFound("suite", "s-1"),
    errors.AlreadyExists("group", "physics"),
    errors.WrongState("suite", "s-1", "Cancelled", "TasksSubmitted", ["Retry", "Delete"]),
    errors.PermissionDenied("only administrators may do this"),
    errors.InvalidToken("the token expired"),
    errors.WrongTokenKind("given a manager's token; accepts a user's"),
    errors.InvalidCredentials("user name and password do not match"),
    errors.LimitExceeded("payload", "2 MiB", "1 MiB"),
    errors.RequestIdReused("the request_id was used for another request"),
    errors.SessionReplaced("a newer session of the same manager took over"),
    errors.StorageUnavailable("the database does not answer"),
    errors.ShuttingDown("the coordinator is going down"),
    errors.Disabled("task suites are switched off"),
]

_CODES_AND_REASONS = {
    errors.InvalidField: ("INVALID_ARGUMENT", "INVALID_FIELD", 400),
    errors.NotFound: ("NOT_FOUND", "NOT_FOUND", 404),
    errors.AlreadyExists: ("ALREADY_EXISTS", "ALREADY_EXISTS", 409),
    errors.WrongState: ("FAILED_PRECONDITION", "WRONG_STATE", 409),
    errors.PermissionDenied: ("PERMISSION_DENIED", "PERMISSION_DENIED", 403),
    errors.InvalidToken: ("UNAUTHENTICATED", "INVALID_TOKEN", 401),
    errors.WrongTokenKind: ("UNAUTHENTICATED", "WRONG_TOKEN_KIND", 401),
    errors.InvalidCredentials: ("UNAUTHENTICATED", "INVALID_CREDENTIALS", 401),
    errors.LimitExceeded: ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED", 429),
    errors.RequestIdReused: ("ABORTED", "REQUEST_ID_REUSED", 409),
    errors.SessionReplaced: ("ABORTED", "SESSION_REPLACED", 409),
    errors.StorageUnavailable: ("UNAVAILABLE", "STORAGE_UNAVAILABLE", 503),
    errors.ShuttingDown: ("UNAVAILABLE", "SHUTTING_DOWN", 503),
    errors.Disabled: ("UNIMPLEMENTED", "DISABLED", 501),
}


class Thrower:
    """A server whose only method raises what it is told."""

    def __init__(self) -> None:
        self.error: Exception = AssertionError("nothing to raise")
        self.call: Any = None

    async def handle(self, _request: bytes, _context: object) -> bytes:
        raise self.error

    async def thrown(self, error: Exception) -> grpc.aio.AioRpcError:
        self.error = error
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(b"")
        return caught.value


@pytest.fixture
async def thrower() -> AsyncIterator[Thrower]:
    thrower = Thrower()
    server = grpc.aio.server(interceptors=[InterceptorChain([ErrorsLayer()])])
    handlers: dict[str, Any] = {"Throw": grpc.unary_unary_rpc_method_handler(thrower.handle)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Thrower", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        thrower.call = channel.unary_unary("/test.Thrower/Throw")
        yield thrower
    await server.stop(None)


def domain_errors(base: type[errors.DomainError] = errors.DomainError) -> set[type[errors.DomainError]]:
    return {kind for below in base.__subclasses__() for kind in (below, *domain_errors(below))}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
async def test_every_error_reaches_the_client(thrower: Thrower, error: errors.DomainError) -> None:
    refused = refusal(await thrower.thrown(error))

    code, reason, http_code = _CODES_AND_REASONS[type(error)]
    assert (refused.code.name, refused.reason) == (code, reason)
    assert refused.message == str(error)
    assert ERROR_TABLE[type(error)].http_code == http_code
    match error:
        case errors.InvalidField():
            assert refused.fields == {"worker_count": "given 0; accepts 1 to 4096"}
        case errors.NotFound() | errors.AlreadyExists():
            resource = refused.details["ResourceInfo"]
            assert (resource.resource_type, resource.resource_name) == (error.kind, error.name)
        case errors.WrongState():
            (violation,) = refused.details["PreconditionFailure"].violations
            assert (violation.type, violation.subject) == ("STATE", "suite/s-1")
            assert refused.facts == {"state": "Cancelled", "event": "TasksSubmitted", "allowed": "Delete,Retry"}
        case errors.LimitExceeded():
            (quota,) = refused.details["QuotaFailure"].violations
            assert (quota.subject, quota.description) == ("payload", str(error))
        case errors.StorageUnavailable() | errors.ShuttingDown():
            assert refused.details["RetryInfo"].retry_delay.seconds > 0
        case _:
            assert not refused.details


def test_every_domain_error_has_a_row_and_an_example() -> None:
    assert set(ERROR_TABLE) == domain_errors() == {type(error) for error in EXAMPLES}


def test_every_reason_of_the_contract_is_used() -> None:
    promised = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118
    assert {row.reason_name for row in (*ERROR_TABLE.values(), INTERNAL_ROW)} == promised


async def test_an_unforeseen_error_shows_an_incident_and_never_its_text(thrower: Thrower) -> None:
    error = await thrower.thrown(RuntimeError("the secret is 12345"))
    refused = refusal(error)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert refused.facts["incident_id"] in refused.message
    assert "12345" not in repr(error)


async def test_a_long_list_of_mistakes_is_cut_and_still_arrives(thrower: Thrower) -> None:
    violations = [errors.FieldViolation(f"tasks[{i}].name", "x" * 1000, "y" * 1000) for i in range(10_000)]
    refused = refusal(await thrower.thrown(errors.InvalidField(violations)))
    assert refused.reason == "INVALID_FIELD"
    assert refused.facts["violation_count"] == "10000"
    assert 1 <= len(refused.fields) < 20


async def test_a_text_of_any_length_and_alphabet_arrives(thrower: Thrower) -> None:
    refused = refusal(await thrower.thrown(errors.PermissionDenied("ü\n€ " * 5000)))
    assert refused.message.startswith("ü\n€ ")
