"""What every HTTP request meets first: its id, the form of its errors, and who may read the answer in a browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import grpc
import structlog
from aiohttp import hdrs, web

from mitosis_coordinator.domain.errors import describe
from mitosis_coordinator.domain.ids import new_uuid
from mitosis_coordinator.gateway.endpoint import REQUEST_ID_KEY
from mitosis_coordinator.gateway.errors import error_response, http_refusal, no_such_path, wrong_method
from mitosis_coordinator.rpc.errors import internal_error
from mitosis_coordinator.rpc.in_process import Refused
from mitosis_coordinator.rpc.interceptors.call_context import REQUEST_ID, fit_request_id

log = structlog.get_logger(__name__)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PREFLIGHT_SECONDS = "600"


class Front:
    """The one middleware of the application, and what is added to each response.

    Args:
        cors_origins: Origins whose pages may call; `*` for all, none by default.
    """

    def __init__(self, cors_origins: Sequence[str] = ()) -> None:
        self._cors_origins = frozenset(cors_origins)

    def install(self, app: web.Application) -> None:
        """Put it before an application's handlers."""
        app.middlewares.append(self._around)
        app.on_response_prepare.append(self._add_headers)

    @web.middleware
    async def _around(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        request[REQUEST_ID_KEY] = fit_request_id(request.headers.get(REQUEST_ID, ""))
        try:
            return await handler(request)
        except Refused as error:
            refused = error
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted({*error.allowed_methods, hdrs.METH_OPTIONS}))
            if request.method == hdrs.METH_OPTIONS:
                return web.Response(status=web.HTTPNoContent.status_code, headers={hdrs.ALLOW: allowed})
            response = error_response(wrong_method(describe(request.method), allowed), request[REQUEST_ID_KEY])
            response.headers[hdrs.ALLOW] = allowed
            return response
        except web.HTTPNotFound:
            refused = no_such_path(describe(request.path))
        except web.HTTPException as error:
            if error.status < web.HTTPBadRequest.status_code:
                raise
            refused = http_refusal(error.status, grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST", error.reason)
        except Exception:
            incident_id = str(new_uuid())
            log.exception("http_request_failed", incident_id=incident_id, method=request.method, path=request.path)
            refused = Refused(internal_error(incident_id).status, web.HTTPInternalServerError.status_code)
        return error_response(refused, request[REQUEST_ID_KEY])

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers["X-Request-Id"] = request[REQUEST_ID_KEY]
        headers["X-Content-Type-Options"] = "nosniff"
        headers[hdrs.SERVER] = "mitosis"
        if not self._cors_origins:
            return
        headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or not self._cors_origins & {origin, "*"}:
            return
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "X-Request-Id, Retry-After"
        if request.method == hdrs.METH_OPTIONS and hdrs.ALLOW in headers:
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = headers[hdrs.ALLOW]
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = "Authorization, Content-Type, X-Request-Id"
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = _PREFLIGHT_SECONDS
