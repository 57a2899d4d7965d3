"""The asynchronous client."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from mitosis_client.aio.managers import ManagerCalls
from mitosis_client.aio.results import ResultCalls
from mitosis_client.aio.transport import RetryPolicy, Tls, Transport
from mitosis_client.aio.users import UserCalls
from mitosis_client.aio.workers import WorkerCalls

DEFAULT_TIMEOUT_SECONDS = 60.0


class AsyncClient(ResultCalls, ManagerCalls, WorkerCalls, UserCalls):
    """A client of one coordinator, for asyncio.

    `address` is `host:port` of the gRPC server. Loopback addresses are spoken to in plain text unless `tls` is given,
    all others by TLS, with the system's root certificates unless `tls` has others. `insecure` speaks plain text to any
    address: whoever can listen on the way sees everything, the token included. `timeout` bounds each attempt of each
    call, in seconds; watching and waiting have no limit but their own. Use it as a context manager, or close it.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        tls: Tls | None = None,
        insecure: bool = False,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._transport = Transport(address, token, tls, insecure, timeout, retry or RetryPolicy())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.address!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; calls under way fail."""
        await self._transport.close()
