"""Turns exceptions into what `rpc.errors` says they look like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import grpc
import grpc.aio
import structlog

from mitosis_coordinator.domain.errors import DomainError
from mitosis_coordinator.domain.ids import new_uuid
from mitosis_coordinator.rpc.errors import ErrorShape, internal_error, shape_of
from mitosis_coordinator.rpc.interceptors.chain import Call, CallContext

log = structlog.get_logger(__name__)

STATUS_DETAILS = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ErrorsLayer:
    """Answers a domain error by its row in the table, any other exception by an incident id."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        try:
            yield
        except (grpc.aio.AbortError, asyncio.CancelledError, GeneratorExit):
            raise
        except DomainError as error:
            shape = shape_of(error)
            log.log(
                _LEVELS[shape.row.log_level],
                "call_refused",
                reason=shape.row.reason_name,
                message=shape.status.message,
                cause=repr(error.__cause__) if error.__cause__ else None,
            )
            await _abort(call.context, shape)
        except Exception:
            incident_id = str(new_uuid())
            log.exception("call_failed", incident_id=incident_id)
            await _abort(call.context, internal_error(incident_id))


_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


async def _abort(context: CallContext, shape: ErrorShape) -> NoReturn:
    # Aborting replaces the trailers, and with them the request id set earlier.
    earlier = tuple(context.trailing_metadata() or ())
    await context.abort(
        _CODES[shape.status.code],
        shape.status.message,
        trailing_metadata=(*earlier, (STATUS_DETAILS, shape.status.SerializeToString())),
    )
