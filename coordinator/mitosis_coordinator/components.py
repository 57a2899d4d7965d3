"""What a coordinator is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from mitosis_coordinator.peers.bus import HintBus
from mitosis_coordinator.rpc.server import RpcService
from mitosis_coordinator.services.authenticator import Authenticator
from mitosis_coordinator.services.tokens import TokenAuthority
from mitosis_coordinator.storage.pool import Database


@dataclass(frozen=True, slots=True)
class Components:
    """What `build` makes out of a database and a configuration.

    `services` are served over gRPC; each of `background` runs as long as the process, by name; each of `goodbyes` is
    called first on the way down, before the servers stop, and returns when it has said what it had to say.
    """

    database: Database
    registry: CollectorRegistry
    authority: TokenAuthority
    authenticator: Authenticator
    bus: HintBus
    services: list[RpcService] = field(default_factory=list)
    background: dict[str, Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=dict)
    goodbyes: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
