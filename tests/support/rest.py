"""REST as a user meets it, in the few words that tests need."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from tests.support.coordinator import RunningCoordinator


@dataclass(frozen=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Any
    document: Any

    @property
    def error(self) -> Any:
        """What the one form of errors holds."""
        error = self.document["error"]
        assert error["code"] == self.status
        assert error["request_id"] == self.headers["X-Request-Id"]
        assert set(error) == {"code", "status", "reason", "message", "fields", "metadata", "request_id"}
        return error

    @property
    def fields(self) -> dict[str, str]:
        """Each refused field, and what is said about it."""
        return {item["field"]: item["description"] for item in self.error["fields"]}


class Rest:
    """The REST paths with one user's token."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def ask(self, method: str, path: str | URL, body: object = None, **more: Any) -> Answer:
        """Send a request, with a body of JSON where one is given."""
        if body is not None:
            more["json"] = body
        async with self.session.request(method, path, **more) as response:
            text = await response.text()
            assert text == "" or response.content_type == "application/json", text
            return Answer(response.status, response.headers, json.loads(text) if text else None)

    async def get(self, path: str, **more: Any) -> Any:
        """What a path shows."""
        answer = await self.ask("GET", path, **more)
        assert answer.status == 200, answer
        return answer.document

    async def post(self, path: str, body: object = None, **more: Any) -> Any:
        """What a path answers to a document."""
        answer = await self.ask("POST", path, body, **more)
        assert answer.status == 200, answer
        return answer.document


@asynccontextmanager
async def rest_of(coordinator: RunningCoordinator, token: str | None = None) -> AsyncIterator[Rest]:
    """REST with a token; the administrator's unless told otherwise, none for an empty one."""
    token = coordinator.admin_token if token is None else token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(coordinator.http_url, headers=headers, timeout=timeout) as session:
        yield Rest(session)
