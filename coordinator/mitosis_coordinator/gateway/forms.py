"""Reads a request of HTTP as a request of the contract: path, query string and body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import parse_qsl

from aiohttp import web
from google.protobuf.message import Message

from mitosis_common.json_reader import JsonForm, JsonFormError
from mitosis_common.json_text import JsonTextError, load_json
from mitosis_coordinator.domain.errors import FieldViolation, InvalidField, describe
from mitosis_coordinator.gateway import errors
from mitosis_coordinator.gateway.routes import Route
from mitosis_coordinator.rpc.in_process import InProcessContext

# The second is what curl says of `-d @suite.json` unless it is told otherwise.
_ACCEPTED_TYPES = ("application/json", "application/x-www-form-urlencoded")
_MAX_QUERY_FIELDS = 1000
# A body may take as long as the patience and, for what has arrived, this many bytes a second.
_LEAST_BYTES_PER_SECOND = 64 * 1024


def _show(value: object) -> str:
    if isinstance(value, str):
        # Half a character is text in Python and in no message.
        return describe(value.encode(errors="replace").decode())
    if isinstance(value, Sequence | Mapping):
        # Its text could be as long as the body.
        return f"a list of {len(value)}" if isinstance(value, Sequence) else f"an object of {len(value)}"
    return json.dumps(value)


FORM = JsonForm(_show, payload_fields=("task_spec",))


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How large a body may be, and how long a caller who sends nothing is waited for."""

    max_bytes: int
    patience_seconds: float


async def read_request(route: Route, request: web.Request, context: InProcessContext, limits: BodyLimits) -> Message:
    """The request of the RPC that a route stands for.

    Raises:
        InvalidField: Something does not fit, told field by field.
        Refused: The body is too large, too slow, broken, or of another type.
    """
    message = route.request_class()
    bound = route.variables
    try:
        FORM.read_texts({name: [request.match_info[name]] for name in bound}, message)
        texts = _query(request)
        if not route.has_body:
            FORM.read_texts(texts, message, bound=bound)
            return message
        if texts:
            _refuse(next(iter(texts)), "a field in the query string", "the fields in the body")
        body = await _read_body(request, context, limits)
        if body:
            _check_type(request, context)
            FORM.read(_parse(body), message, bound=bound)
    except JsonFormError as error:
        raise InvalidField(
            [FieldViolation(item.field, item.given, item.accepts) for item in error.violations]
        ) from None
    return message


def _query(request: web.Request) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(
            request.rel_url.raw_query_string,
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_QUERY_FIELDS,
        ):
            texts.setdefault(name, []).append(value)
    except UnicodeDecodeError:
        _refuse("query", "bytes that are not UTF-8", "UTF-8")
    except ValueError:
        _refuse("query", "too many fields", f"at most {_MAX_QUERY_FIELDS}")
    return texts


async def _read_body(request: web.Request, context: InProcessContext, limits: BodyLimits) -> bytes:
    if not request.can_read_body:
        return b""
    if (request.content_length or 0) > limits.max_bytes:
        context.refuse(errors.too_large(limits.max_bytes))
    chunks: list[bytes] = []
    size = 0
    started = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(limits.patience_seconds) as deadline:
            async for chunk in request.content.iter_any():
                chunks.append(chunk)
                size += len(chunk)
                if size > limits.max_bytes:
                    context.refuse(errors.too_large(limits.max_bytes))
                deadline.reschedule(started + limits.patience_seconds + size / _LEAST_BYTES_PER_SECOND)
    except TimeoutError:
        context.refuse(errors.too_slow())
    except web.RequestPayloadError:
        context.refuse(errors.malformed("the body does not end, or is not encoded as its headers say"))
    return b"".join(chunks)


def _check_type(request: web.Request, context: InProcessContext) -> None:
    if "Content-Type" not in request.headers:
        return
    kind, charset = request.content_type.lower(), request.charset
    if (kind in _ACCEPTED_TYPES or kind.endswith("+json")) and (charset or "utf-8").lower() in ("utf-8", "utf8"):
        return
    context.refuse(errors.wrong_media_type(describe(request.headers["Content-Type"])))


def _parse(body: bytes) -> object:
    try:
        return load_json(body.decode())
    except UnicodeDecodeError:
        _refuse("body", "bytes that are not UTF-8", "one JSON object in UTF-8")
    except JsonTextError as error:
        _refuse("body", f"no JSON ({error})", "one JSON object")


def _refuse(field: str, given: str, accepts: str) -> NoReturn:
    raise InvalidField([FieldViolation(field, given, accepts)])
