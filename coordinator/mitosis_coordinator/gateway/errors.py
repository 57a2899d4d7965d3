"""The one form of an error in REST: what `rpc.errors` says of a refused call, and what HTTP alone can refuse."""

from __future__ import annotations

import json
from typing import Any

import grpc
from aiohttp import hdrs, web
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from mitosis_coordinator.rpc.errors import DOMAIN
from mitosis_coordinator.rpc.in_process import CODES, Refused


def error_document(refused: Refused, request_id: str) -> dict[str, Any]:
    """An error as it is sent."""
    info, fields, _ = _details(refused.status)
    code = CODES[refused.status.code]
    return {
        "error": {
            "code": refused.http_code,
            "status": code.name,
            "reason": info.reason or code.name,
            "message": refused.status.message,
            "fields": fields,
            "metadata": dict(info.metadata),
            "request_id": request_id,
        }
    }


def error_response(refused: Refused, request_id: str) -> web.Response:
    """An error as a response, with the headers that go with it."""
    response = web.Response(
        body=json.dumps(error_document(refused, request_id)).encode(),
        status=refused.http_code,
        headers={hdrs.CONTENT_TYPE: "application/json", hdrs.CACHE_CONTROL: "no-store", "X-Request-Id": request_id},
    )
    retry_seconds = _details(refused.status)[2]
    if retry_seconds:
        response.headers[hdrs.RETRY_AFTER] = str(retry_seconds)
    if refused.http_code == web.HTTPUnauthorized.status_code:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if refused.http_code == web.HTTPRequestTimeout.status_code:
        # The rest of the body would be taken for the next request.
        response.force_close()
    return response


def _details(status: status_pb2.Status) -> tuple[Any, list[dict[str, str]], int]:
    info, fields, retry_seconds = error_details_pb2.ErrorInfo(), [], 0
    request, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for packed in status.details:
        if packed.Unpack(request):
            fields += [{"field": item.field, "description": item.description} for item in request.field_violations]
        elif packed.Unpack(retry):
            retry_seconds = max(1, retry.retry_delay.seconds)
        else:
            packed.Unpack(info)
    return info, fields, retry_seconds


def http_refusal(http_code: int, code: grpc.StatusCode, reason: str, message: str, **metadata: str) -> Refused:
    """A refusal by the gateway itself."""
    status = status_pb2.Status(code=code.value[0], message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(domain=DOMAIN, reason=reason, metadata=metadata))
    return Refused(status, http_code)


def malformed(message: str) -> Refused:
    """What came is no request of HTTP."""
    return http_refusal(400, grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST", message)


def no_such_path(path: str) -> Refused:
    """Nothing is served there."""
    return http_refusal(404, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", f"the path {path} does not exist")


def wrong_method(method: str, allowed: str) -> Refused:
    """The path is served, by other methods."""
    message = f"given {method}; accepts {allowed}"
    return http_refusal(405, grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_ALLOWED", message, allowed=allowed)


def too_slow() -> Refused:
    """The body did not arrive in time."""
    message = "the body of the request did not arrive in time"
    return http_refusal(408, grpc.StatusCode.DEADLINE_EXCEEDED, "REQUEST_TIMEOUT", message)


def too_large(max_bytes: int) -> Refused:
    """The body is over the limit."""
    message = f"the body of the request is over the limit of {max_bytes} bytes"
    return http_refusal(413, grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", message, limit=str(max_bytes))


def wrong_media_type(given: str) -> Refused:
    """The body is something else than JSON."""
    message = f"Content-Type: given {given}; accepts application/json"
    return http_refusal(415, grpc.StatusCode.INVALID_ARGUMENT, "UNSUPPORTED_MEDIA_TYPE", message)
