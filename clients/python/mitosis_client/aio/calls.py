"""What the calls of every service share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol, TypeVar

import grpc.aio
from google.protobuf.message import Message

from mitosis_client import convert
from mitosis_client.aio.transport import Transport
from mitosis_client.models import Model


class Calls:
    """The base of the calls of one service."""

    _transport: Transport


class _ListRequest(Protocol):
    page_token: str


class _ListResponse(Protocol):
    next_page_token: str


Request = TypeVar("Request", bound=_ListRequest)
Response = TypeVar("Response", bound=_ListResponse)
D = TypeVar("D", bound=Model)


async def pages(
    transport: Transport,
    method: Callable[[], grpc.aio.UnaryUnaryMultiCallable[Request, Response]],
    request: Request,
    items: Callable[[Response], Iterable[Message]],
    model: type[D],
) -> AsyncIterator[D]:
    """Yields the items of a list, page after page; the next page is read when the one before is used up.

    `method` is asked for with every page because the channel must be opened on the loop that reads.
    """
    while True:
        page = await transport.call(method(), request, repeatable=True)
        for item in items(page):
            yield convert.decode(item, model)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
