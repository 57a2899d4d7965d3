"""A real coordinator in the test's process, quick to start."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from argon2 import PasswordHasher
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from mitosis.v1 import admin_service_pb2, admin_service_pb2_grpc, auth_service_pb2, auth_service_pb2_grpc
from mitosis_coordinator.app import Coordinator, serving
from mitosis_coordinator.config import CoordinatorConfig
from mitosis_coordinator.services.passwords import Passwords

ADMIN_PASSWORD = "the admin's password"
USER_PASSWORD = "the user's password"


def quick_passwords() -> Passwords:
    """Password hashing with the smallest parameters there are: tests make many users."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def coordinator_config(database_url: str, directory: Path, **sections: dict[str, Any]) -> CoordinatorConfig:
    """A configuration on free ports of the loopback interface; `sections` are merged into it."""
    document: dict[str, dict[str, Any]] = {
        "server": {
            "host": "127.0.0.1",
            "port": 0,
            "grpc_port": 0,
            "data_dir": directory,
            "shutdown_grace_seconds": 5,
        },
        "database": {"url": database_url, "pool_size": 5, "connection_timeout_seconds": 10},
        "metrics": {"port": 0},
        "auth": {"admin_password": ADMIN_PASSWORD, "issue_ready_token": True},
    }
    for name, values in sections.items():
        document[name] = {**document.get(name, {}), **values}
    return CoordinatorConfig.model_validate(document)


@dataclass(frozen=True)
class RunningCoordinator:
    """A coordinator that serves, and an open channel to it."""

    inner: Coordinator
    channel: grpc.aio.Channel
    admin_token: str

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.inner.grpc_port}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.inner.http_port}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.inner.metrics_port}{self.inner.config.metrics.path}"

    @property
    def auth(self) -> auth_service_pb2_grpc.AuthServiceAsyncStub:
        return auth_service_pb2_grpc.AuthServiceStub(self.channel)

    @property
    def admin(self) -> admin_service_pb2_grpc.AdminServiceAsyncStub:
        return admin_service_pb2_grpc.AdminServiceStub(self.channel)

    @property
    def as_admin(self) -> tuple[tuple[str, str], ...]:
        """Metadata for a call as the administrator."""
        return bearer(self.admin_token)

    async def new_user(self, *, is_admin: bool = False, name: str | None = None) -> tuple[str, str]:
        """Make a user; returns the name and a token."""
        username = name or f"user-{uuid.uuid4().hex[:12]}"
        await self.admin.CreateUser(
            admin_service_pb2.CreateUserRequest(username=username, password=USER_PASSWORD, is_admin=is_admin),
            metadata=self.as_admin,
        )
        return username, await self.log_in(username, USER_PASSWORD)

    async def log_in(self, username: str, password: str) -> str:
        """Log in; returns the token."""
        response = await self.auth.Login(auth_service_pb2.LoginRequest(username=username, password=password))
        return response.token


@asynccontextmanager
async def running(config: CoordinatorConfig) -> AsyncIterator[RunningCoordinator]:
    """Run a coordinator for as long as the context lasts."""
    async with serving(config, quick_passwords()) as inner:
        assert inner.admin_token is not None
        async with grpc.aio.insecure_channel(f"127.0.0.1:{inner.grpc_port}") as channel:
            yield RunningCoordinator(inner, channel, inner.admin_token)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Metadata for a call with a token."""
    return (("authorization", f"Bearer {token}"),)


@dataclass(frozen=True)
class Refusal:
    """What a failed call carries in its trailers."""

    code: grpc.StatusCode
    message: str
    reason: str
    facts: dict[str, str]
    details: dict[str, Any]

    @property
    def fields(self) -> dict[str, str]:
        """Of a BadRequest: each field, and what is said about it."""
        return {item.field: item.description for item in self.details["BadRequest"].field_violations}


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Read the details of a failed call."""
    raw = dict(error.trailing_metadata())["grpc-status-details-bin"]
    assert isinstance(raw, bytes)
    status = status_pb2.Status.FromString(raw)
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    details: dict[str, Any] = {}
    for packed in status.details:
        name = packed.TypeName().rpartition(".")[2]
        details[name] = getattr(error_details_pb2, name)()
        assert packed.Unpack(details[name])
    info = details.pop("ErrorInfo")
    assert info.domain == "mitosis"
    return Refusal(error.code(), status.message, info.reason, dict(info.metadata), details)
