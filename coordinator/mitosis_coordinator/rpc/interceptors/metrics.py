"""Counts and times calls, once they are over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from mitosis_coordinator.monitoring.calls import RpcMetrics
from mitosis_coordinator.rpc.interceptors.chain import Call, CallContext

_CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


class MetricsLayer:
    """Observes the duration of each call by method and code; of a stream, from its first message to its end."""

    def __init__(self, metrics: RpcMetrics) -> None:
        self._metrics = metrics

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        started = time.perf_counter()
        self._metrics.in_flight.labels(call.method).inc()
        code = "OK"
        try:
            yield
            code = _code_name(call.context, "OK")
        except (asyncio.CancelledError, GeneratorExit):
            code = "CANCELLED"
            raise
        except BaseException:
            code = _code_name(call.context, "UNKNOWN")
            raise
        finally:
            self._metrics.in_flight.labels(call.method).dec()
            self._metrics.durations.labels(call.method, code).observe(time.perf_counter() - started)


def _code_name(context: CallContext, default: str) -> str:
    # The library returns the number, its types promise the enum, and a call that nobody touched has 0 or None.
    code: object = context.code()
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return _CODE_NAMES.get(number, default) if isinstance(number, int) and number else default
