"""One REST route at work: the layers, then the servicer, then JSON."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from aiohttp import hdrs, web
from google.protobuf.message import Message

from mitosis_common.json_writer import to_json
from mitosis_coordinator.gateway.errors import error_document
from mitosis_coordinator.gateway.forms import BodyLimits, read_request
from mitosis_coordinator.gateway.routes import Route
from mitosis_coordinator.rpc.in_process import InProcessContext, Refused
from mitosis_coordinator.rpc.interceptors.call_context import REQUEST_ID
from mitosis_coordinator.rpc.interceptors.chain import Call, Layer, entered

REQUEST_ID_KEY = web.RequestKey("request_id", str)
HEARTBEAT_SECONDS = 15.0
_WORTH_COMPRESSING_BYTES = 1024
_LINE_END = re.compile(r"\r\n|\r|\n")
_NO_GZIP = re.compile(r"q\s*=\s*0(\.0*)?")


class Endpoint:
    """Answers the requests of one route.

    Args:
        behavior: The servicer's method.
    """

    def __init__(
        self, route: Route, behavior: Callable[[Any, Any], Any], layers: Sequence[Layer], limits: BodyLimits
    ) -> None:
        self._route = route
        self._behavior = behavior
        self._layers = layers
        self._limits = limits

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request.

        Raises:
            Refused: The call failed.
        """
        metadata = {REQUEST_ID: request[REQUEST_ID_KEY]}
        if authorization := request.headers.get(hdrs.AUTHORIZATION):
            metadata["authorization"] = authorization
        context = InProcessContext(_peer(request), metadata)
        call = Call(self._route.full_name, metadata, context, self._route.streaming)
        if self._route.streaming:
            return await self._stream(request, context, call)
        async with entered(self._layers, call):
            message = await read_request(self._route, request, context, self._limits)
            answer = await self._behavior(message, context)
            return _respond(request, self._shown(answer))

    def _shown(self, answer: Message) -> str:
        field = self._route.response_field
        return to_json(getattr(answer, field) if field else answer)

    async def _stream(self, request: web.Request, context: InProcessContext, call: Call) -> web.StreamResponse:
        events = _Events(request)
        try:
            async with entered(self._layers, call):
                message = await read_request(self._route, request, context, self._limits)
                async with aclosing(self._behavior(message, context)) as answers:
                    await events.send_all(answers, self._shown)
        except Refused as refused:
            if not events.begun:
                raise
            await events.send(json.dumps(error_document(refused, request[REQUEST_ID_KEY])), kind="error")
        return await events.end()


class _Events:
    """Server-sent events. The response begins with the first one, so that an error before it has its HTTP code."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._gone = False
        self._response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: "text/event-stream",
                hdrs.CACHE_CONTROL: "no-store",
                # Proxies that collect what they pass on would keep the events back.
                "X-Accel-Buffering": "no",
            }
        )

    @property
    def begun(self) -> bool:
        return self._response.prepared

    async def send_all(self, answers: AsyncIterator[Message], shown: Callable[[Message], str]) -> None:
        """Send what comes as it comes, and a comment when nothing comes: proxies cut quiet connections."""
        following = asyncio.ensure_future(anext(answers, None))
        try:
            while not self._gone:
                await asyncio.wait({following}, timeout=HEARTBEAT_SECONDS)
                if not following.done():
                    await self._write(": heartbeat\n\n")
                    continue
                answer = following.result()
                if answer is None:
                    return
                await self._write(_event(shown(answer)))
                following = asyncio.ensure_future(anext(answers, None))
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def send(self, text: str, kind: str) -> None:
        await self._write(f"event: {kind}\n{_event(text)}")

    async def end(self) -> web.StreamResponse:
        if not self.begun:
            await self._response.prepare(self._request)
        return self._response

    async def _write(self, text: str) -> None:
        if not self.begun:
            await self._response.prepare(self._request)
        try:
            await self._response.write(text.encode())
        except ConnectionError:
            # The reader is gone, which is no error of the call: the layers are not to see one.
            self._gone = True


def _event(text: str) -> str:
    # JSON documents inside may hold line ends between their tokens; str.splitlines would cut inside their strings too.
    return "".join(f"data: {line}\n" for line in _LINE_END.split(text)) + "\n"


def _peer(request: web.Request) -> str:
    host = request.remote or ""
    return f"ipv6:[{host}]:0" if ":" in host else f"ipv4:{host}:0"


def _respond(request: web.Request, text: str) -> web.Response:
    body = text.encode()
    response = web.Response(
        body=body,
        headers={hdrs.CONTENT_TYPE: "application/json", hdrs.CACHE_CONTROL: "no-store", hdrs.VARY: "Accept-Encoding"},
    )
    if len(body) >= _WORTH_COMPRESSING_BYTES and _accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        response.enable_compression(web.ContentCoding.gzip)
    return response


def _accepts_gzip(accepted: str) -> bool:
    for part in accepted.split(","):
        name, _, parameters = part.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return not _NO_GZIP.fullmatch(parameters.strip())
    return False
