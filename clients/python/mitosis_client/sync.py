"""The synchronous client: the asynchronous one on an event loop in a thread of its own.

No method is written twice. `_blocking` and `_iterating` turn a coroutine method and an asynchronous iterator into
synchronous ones that keep name, docstring and, for type checkers, the exact signature.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from mitosis_client.aio.client import DEFAULT_TIMEOUT_SECONDS, AsyncClient
from mitosis_client.aio.transport import RetryPolicy, Tls

P = ParamSpec("P")
R = TypeVar("R")


class _LoopThread:
    """An event loop that runs in a daemon thread until it is stopped."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mitosis-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Runs a coroutine to its end; an exception in the waiting thread, such as Ctrl-C, cancels it."""
        if self._loop.is_closed():
            coroutine.close()
            raise RuntimeError("the client is closed")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @property
    def stopped(self) -> bool:
        return self._loop.is_closed()

    def stop(self) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _blocking(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Client, P], R]:
    @functools.wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._thread.run(method(self._client, *args, **kwargs))

    return call


def _iterating(
    method: Callable[Concatenate[AsyncClient, P], AsyncIterator[R]],
) -> Callable[Concatenate[Client, P], Iterator[R]]:
    @functools.wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        return _drain(self._thread, method(self._client, *args, **kwargs))

    return call


def _drain(thread: _LoopThread, items: AsyncIterator[R]) -> Iterator[R]:
    async def following() -> R:
        return await anext(items)

    try:
        while True:
            try:
                item = thread.run(following())
            except StopAsyncIteration:
                return
            yield item
    finally:
        # An iterator that outlives its client was ended with the client's loop.
        if not thread.stopped and hasattr(items, "aclose"):
            thread.run(items.aclose())


class Client:
    """A client of one coordinator, for threads.

    It takes the arguments of `AsyncClient` and has its methods; iterators are ordinary ones. Several threads may share
    it. Use it as a context manager, or close it.
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
        self._client = AsyncClient(address, token=token, tls=tls, insecure=insecure, timeout=timeout, retry=retry)
        self._thread = _LoopThread()

    def __repr__(self) -> str:
        return repr(self._client).replace("AsyncClient", "Client", 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection and ends the thread. A second call does nothing."""
        if not self._thread.stopped:
            self._thread.run(self._client.close())
            self._thread.stop()

    create_suite = _blocking(AsyncClient.create_suite)
    get_suite = _blocking(AsyncClient.get_suite)
    explain_suite = _blocking(AsyncClient.explain_suite)
    list_suites = _iterating(AsyncClient.list_suites)
    update_suite = _blocking(AsyncClient.update_suite)
    cancel_suite = _blocking(AsyncClient.cancel_suite)
    close_suite = _blocking(AsyncClient.close_suite)
    retry_suite = _blocking(AsyncClient.retry_suite)
    refresh_suite_managers = _blocking(AsyncClient.refresh_suite_managers)
    add_suite_managers = _blocking(AsyncClient.add_suite_managers)
    remove_suite_managers = _blocking(AsyncClient.remove_suite_managers)
    watch_suite = _iterating(AsyncClient.watch_suite)
    wait_for_suite = _blocking(AsyncClient.wait_for_suite)

    submit = _blocking(AsyncClient.submit)
    submit_task = _blocking(AsyncClient.submit_task)
    submit_document = _blocking(AsyncClient.submit_document)
    submit_many = _blocking(AsyncClient.submit_many)
    submit_stream = _blocking(AsyncClient.submit_stream)
    submit_array = _blocking(AsyncClient.submit_array)
    wait_for_task = _blocking(AsyncClient.wait_for_task)
    result = _blocking(AsyncClient.result)
    get_task = _blocking(AsyncClient.get_task)
    explain_task = _blocking(AsyncClient.explain_task)
    list_tasks = _iterating(AsyncClient.list_tasks)
    cancel_task = _blocking(AsyncClient.cancel_task)

    register_manager = _blocking(AsyncClient.register_manager)
    get_manager = _blocking(AsyncClient.get_manager)
    list_managers = _iterating(AsyncClient.list_managers)
    shutdown_manager = _blocking(AsyncClient.shutdown_manager)
    drain_manager = _blocking(AsyncClient.drain_manager)
    resume_manager = _blocking(AsyncClient.resume_manager)
    revoke_manager_token = _blocking(AsyncClient.revoke_manager_token)
    renew_manager_token = _blocking(AsyncClient.renew_manager_token)

    register_worker = _blocking(AsyncClient.register_worker)
    get_worker = _blocking(AsyncClient.get_worker)
    list_workers = _iterating(AsyncClient.list_workers)
    shutdown_worker = _blocking(AsyncClient.shutdown_worker)
    revoke_worker_token = _blocking(AsyncClient.revoke_worker_token)
    renew_worker_token = _blocking(AsyncClient.renew_worker_token)

    login = _blocking(AsyncClient.login)
    whoami = _blocking(AsyncClient.whoami)
    change_password = _blocking(AsyncClient.change_password)
    revoke_tokens = _blocking(AsyncClient.revoke_tokens)
    create_user = _blocking(AsyncClient.create_user)
    list_users = _iterating(AsyncClient.list_users)
    update_user = _blocking(AsyncClient.update_user)
    revoke_user_tokens = _blocking(AsyncClient.revoke_user_tokens)
    create_group = _blocking(AsyncClient.create_group)
    get_group = _blocking(AsyncClient.get_group)
    list_groups = _iterating(AsyncClient.list_groups)
    set_member = _blocking(AsyncClient.set_member)
    remove_member = _blocking(AsyncClient.remove_member)
