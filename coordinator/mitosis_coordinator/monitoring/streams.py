"""Counts and times the messages of managers' and workers' streams."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterable, AsyncIterator
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Histogram

from mitosis_coordinator.sessions.messages import Heartbeat

Message = TypeVar("Message")

_SECONDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)
# A series per bucket and manager: few. A heartbeat that takes longer than the last one is as good as none.
_HEARTBEAT_SECONDS = (0.01, 0.1, 0.5, 1, 5, 30)
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


class StreamMetrics:
    """Messages by direction and type.

    The latency of a message that was received is the time until the next one is asked for, so how long its session took
    over it; of one that is sent, the time until gRPC had taken it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._messages = Counter(
            "mitosis_stream_messages_total",
            "Messages of managers' and workers' streams.",
            ["direction", "message_type"],
            registry=registry,
        )
        self._seconds = Histogram(
            "mitosis_stream_message_latency_seconds",
            "How long a session took over a message, or gRPC to take it for sending.",
            ["message_type"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._heartbeat_seconds = Histogram(
            "mitosis_manager_heartbeat_latency_seconds",
            "From a heartbeat's sending, by the manager's clock, to its arrival, by the coordinator's.",
            ["manager_uuid"],
            buckets=_HEARTBEAT_SECONDS,
            registry=registry,
        )
        self._by_type: dict[tuple[str, type], tuple[Counter, Histogram]] = {}

    async def sent(self, messages: AsyncIterable[Message]) -> AsyncIterator[Message]:
        """Pass on what is to be sent."""
        async for message in messages:
            count, seconds = self._of("sent", message)
            count.inc()
            began = time.perf_counter()
            yield message
            seconds.observe(time.perf_counter() - began)

    async def received(self, holder_id: UUID, messages: AsyncIterable[Message]) -> AsyncIterator[Message]:
        """Pass on what a holder says."""
        async for message in messages:
            count, seconds = self._of("received", message)
            count.inc()
            if isinstance(message, Heartbeat) and message.sent_at is not None:
                late = (datetime.now(UTC) - message.sent_at).total_seconds()
                self._heartbeat_seconds.labels(str(holder_id)).observe(max(0.0, late))
            began = time.perf_counter()
            yield message
            seconds.observe(time.perf_counter() - began)

    def left(self, manager_id: UUID) -> None:
        """Forget a manager that is connected no more."""
        self._heartbeat_seconds.remove(str(manager_id))

    def _of(self, direction: str, message: object) -> tuple[Counter, Histogram]:
        kind = type(message)
        known = self._by_type.get((direction, kind))
        if known is None:
            # Workers' messages have the names of the managers', on streams of their own.
            name = _WORD.sub("_", kind.__name__).lower()
            name = {"worker_attach": "attach", "worker_attached": "attached", "worker_heartbeat": "heartbeat"}.get(
                name, name
            )
            known = self._messages.labels(direction, name), self._seconds.labels(name)
            self._by_type[direction, kind] = known
        return known
