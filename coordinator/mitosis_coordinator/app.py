"""The composition root: everything is made here, in the order in which it starts, and stops in the opposite one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from mitosis.v1 import admin_service_pb2, admin_service_pb2_grpc, auth_service_pb2, auth_service_pb2_grpc
from mitosis_common import garbage
from mitosis_common import log as common_log
from mitosis_common.loopback import is_loopback
from mitosis_common.open_files import allow_open_files
from mitosis_coordinator.assembly import add_suites_and_managers
from mitosis_coordinator.components import Components
from mitosis_coordinator.config import CoordinatorConfig
from mitosis_coordinator.database import database_url, fitting_pool_size, migrate
from mitosis_coordinator.domain.hints import Hint, HintKind
from mitosis_coordinator.domain.ids import new_uuid
from mitosis_coordinator.gateway.app import Discovery, Gateway, build_http_app, build_metrics_app
from mitosis_coordinator.gateway.forms import BodyLimits
from mitosis_coordinator.gateway.server import ConnectionLimits, HttpServer
from mitosis_coordinator.monitoring.calls import RpcMetrics
from mitosis_coordinator.peers.bus import HintBus
from mitosis_coordinator.private_file import write_private
from mitosis_coordinator.rpc.admin_service import AdminServicer
from mitosis_coordinator.rpc.auth_service import AuthServicer
from mitosis_coordinator.rpc.server import RpcServer, RpcService, standard_layers
from mitosis_coordinator.services.admin import AdminService
from mitosis_coordinator.services.auth import AuthService
from mitosis_coordinator.services.authenticator import Authenticator
from mitosis_coordinator.services.bootstrap import ADMIN_USERNAME, Bootstrapped, bootstrap
from mitosis_coordinator.services.managers import resolve_manager
from mitosis_coordinator.services.passwords import Passwords
from mitosis_coordinator.services.tokens import SigningKey, TokenAuthority
from mitosis_coordinator.services.workers import resolve_worker
from mitosis_coordinator.shutdown import BackgroundTaskDiedError, BackgroundTasks, Drain
from mitosis_coordinator.siblings import Shared, Siblings
from mitosis_coordinator.storage.coordinators import Identity
from mitosis_coordinator.storage.pool import Database
from mitosis_coordinator.tls import Certificates

log = structlog.get_logger(__name__)

VERSION = version("mitosis")
# Beside the streams: the pool, the servers, requests, what Python itself needs.
_OTHER_FILES = 256


@dataclass(frozen=True, slots=True)
class Coordinator:
    """A coordinator that serves. `metrics_port` is None when metrics are off."""

    config: CoordinatorConfig
    components: Components
    background: BackgroundTasks
    admin_token: str | None
    grpc_port: int
    http_port: int
    metrics_port: int | None


def build(
    config: CoordinatorConfig, database: Database, keys: list[SigningKey], passwords: Passwords | None = None
) -> Components:
    """Make every part and connect them; nothing is started."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    passwords = passwords or Passwords()
    authority = TokenAuthority(
        keys,
        user_lifetime=timedelta(hours=config.auth.user_token_lifetime_hours),
        manager_lifetime=timedelta(days=config.node_managers.token_lifetime_days),
    )
    authenticator = Authenticator(
        database, authority, partial(resolve_manager, database), partial(resolve_worker, database)
    )
    bus = HintBus(database, Identity(new_uuid(), socket.gethostname(), os.getpid(), VERSION))
    authenticator.on_forget(lambda subject: bus.tell(Hint(HintKind.PRINCIPAL, subject)))
    bus.on_hint(partial(_forget_principals, authenticator))
    components = Components(database, registry, authority, authenticator, bus)
    components.background["hints-heard"] = bus.hear
    components.background["hints-told"] = bus.speak

    auth = AuthService(database, authority, authenticator, passwords)
    admin = AdminService(database, authenticator, passwords)
    components.services.extend(
        [
            RpcService(
                auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"],
                auth_service_pb2_grpc.add_AuthServiceServicer_to_server,
                AuthServicer(auth),
            ),
            RpcService(
                admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
                admin_service_pb2_grpc.add_AdminServiceServicer_to_server,
                AdminServicer(admin),
            ),
        ]
    )
    add_suites_and_managers(config, components)
    return components


def _forget_principals(authenticator: Authenticator, hint: Hint) -> None:
    match hint:
        case Hint(HintKind.PRINCIPAL, UUID() as subject):
            authenticator.forget_here(subject)
        case Hint(HintKind.EVERYTHING):
            authenticator.forget_all()


@asynccontextmanager
async def serving(
    config: CoordinatorConfig, passwords: Passwords | None = None, config_file: Path | None = None
) -> AsyncIterator[Coordinator]:
    """Run a coordinator for as long as the context lasts.

    Leaving it drains: NOT_SERVING, goodbyes, servers, background tasks, pool, embedded PostgreSQL, within
    `server.shutdown_grace_seconds` altogether; the other processes of `server.workers` drain at the same time.

    Args:
        config_file: where the other processes read their configuration.

    Raises:
        ConfigError: a certificate cannot be used, a port not be listened on, or the database allows too few
            connections.
        EmbeddedPostgresError: the embedded PostgreSQL cannot be started.
        SiblingError: another process did not start.
        StorageUnavailable: the database does not answer.
    """
    certificates = Certificates(config.tls) if config.tls.enabled else None
    passwords = passwords or Passwords()
    drain = Drain(config.server.shutdown_grace_seconds)
    background = BackgroundTasks()
    async with AsyncExitStack() as stack:
        # Once more below, where it belongs: this one is for a start that does not get that far.
        stack.push_async_callback(background.stop)
        conninfo = await database_url(config, stack, drain, background)
        await migrate(conninfo, config.database.connection_timeout_seconds)
        pool_size = await fitting_pool_size(config, conninfo)
        database = Database(
            conninfo,
            max_size=pool_size,
            checkout_timeout_seconds=config.database.connection_timeout_seconds,
        )
        siblings = Siblings(config, config_file, lambda: _write_ready_file(coordinator, siblings))
        stack.push_async_callback(drain.step, "pool", database.close)
        stack.push_async_callback(drain.step, "processes-ended", siblings.ended)
        await database.open()
        made = await bootstrap(
            database,
            passwords,
            admin_password=config.auth.admin_password.get_secret_value() if config.auth.admin_password else None,
            admin_password_file=config.admin_password_file,
        )
        components = build(config, database, made.signing_keys, passwords)
        # Before the first holder can attach: what it misses by hints it would not know of.
        stack.push_async_callback(drain.step, "hints", components.bus.leave)
        await components.bus.join()
        stack.push_async_callback(drain.step, "background", background.stop)
        for name, work in components.background.items():
            background.start(name, work())
        if certificates is not None:
            background.start("certificates", certificates.keep_fresh())

        rpc_server, http_server, metrics_server = _make_servers(config, components, certificates)
        for step, server in (("metrics", metrics_server), ("http", http_server)):
            if server is not None:
                stack.push_async_callback(drain.step, step, server.stop)
                await server.start()
        stack.push_async_callback(drain.step, "grpc", lambda: rpc_server.stop(drain.remaining_seconds() / 2))
        await rpc_server.start()
        for name, goodbye in components.goodbyes.items():
            stack.push_async_callback(drain.step, name, goodbye)
        stack.push_async_callback(drain.step, "processes-told", siblings.terminate)
        stack.push_async_callback(drain.step, "health", rpc_server.announce_shutdown)

        coordinator = Coordinator(
            config=config,
            components=components,
            background=background,
            admin_token=_ready_token(config, components.authority, made),
            grpc_port=rpc_server.port,
            http_port=http_server.port,
            metrics_port=metrics_server.port if metrics_server else None,
        )
        stack.callback(config.ready_file.unlink, missing_ok=True)
        await siblings.start(Shared(conninfo, rpc_server.port, http_server.port, pool_size))
        _write_ready_file(coordinator, siblings)
        log.info(
            "serving",
            grpc_port=coordinator.grpc_port,
            http_port=coordinator.http_port,
            metrics_port=coordinator.metrics_port,
            version=VERSION,
        )
        yield coordinator
        log.info("draining")


async def run(config: CoordinatorConfig, config_file: Path | None = None) -> int:
    """Serve until SIGTERM or SIGINT, or until a background task dies.

    Returns:
        The exit code: 0 after a signal, 1 after a death.
    """
    common_log.configure(config.logging.level, config.logging.format, config.logging.output, pid=os.getpid())
    allow_open_files(config.stream.max_connections + _OTHER_FILES, "stream.max_connections")
    asked_to_stop = asyncio.Event()
    starting = asyncio.current_task()

    def on_signal(number: signal.Signals) -> None:
        log.info("signal_received", signal=number.name)
        asked_to_stop.set()
        # A start that waits for something, a database perhaps, is not worth waiting for.
        if starting is not None:
            starting.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        async with serving(config, config_file=config_file) as coordinator:
            garbage.settle()
            starting = None
            return await _until_stopped(asked_to_stop, coordinator.background)
    except asyncio.CancelledError:
        if not asked_to_stop.is_set():
            raise
        return 0


async def _until_stopped(asked_to_stop: asyncio.Event, background: BackgroundTasks) -> int:
    stopped = asyncio.create_task(asked_to_stop.wait())
    failed = asyncio.create_task(background.wait_failed())
    await asyncio.wait((stopped, failed), return_when=asyncio.FIRST_COMPLETED)
    code = 0
    if failed.done():
        error = failed.exception()
        assert isinstance(error, BackgroundTaskDiedError)
        log.critical("background_task_died", error=str(error), exc_info=error)
        code = 1
    for task in (stopped, failed):
        task.cancel()
    await asyncio.gather(stopped, failed, return_exceptions=True)
    return code


def _make_servers(
    config: CoordinatorConfig, components: Components, certificates: Certificates | None
) -> tuple[RpcServer, HttpServer, HttpServer | None]:
    server = config.server
    may_be_overheard = certificates is None and not config.tls.insecure
    if may_be_overheard and not is_loopback(server.host):
        log.warning("plain_text", refused="passwords and tokens from other machines", settings="tls")
    layers = standard_layers(
        components.authenticator, RpcMetrics(components.registry), may_be_overheard=may_be_overheard
    )
    rpc_server = RpcServer(
        components.services,
        layers,
        host=server.host,
        port=server.grpc_port,
        max_message_bytes=config.limits.max_message_bytes,
        reuse_port=server.shares_ports,
        tls=certificates.grpc_credentials() if certificates else None,
    )
    discovery = Discovery(VERSION, rpc_server.port, server.advertised_grpc, grpc_tls=certificates is not None)
    http_tls = certificates.ssl_context if certificates else None
    gateway = Gateway(
        components.services,
        layers,
        BodyLimits(config.limits.max_message_bytes, config.http.body_timeout_seconds),
        config.http.cors_origins,
    )
    http_server = HttpServer(
        build_http_app(components.database.ping, discovery, gateway),
        host=server.host,
        port=server.port,
        setting="server.port",
        reuse_port=server.shares_ports,
        limits=ConnectionLimits(config.http.idle_timeout_seconds),
        tls=http_tls,
    )
    if not config.metrics.enabled:
        return rpc_server, http_server, None
    metrics_server = HttpServer(
        build_metrics_app(components.registry, config.metrics.path),
        host=server.host,
        port=config.metrics.port,
        setting="metrics.port",
        reuse_port=server.reuse_port,
        tls=http_tls,
    )
    return rpc_server, http_server, metrics_server


def _ready_token(config: CoordinatorConfig, authority: TokenAuthority, made: Bootstrapped) -> str | None:
    if not config.auth.issue_ready_token or made.admin_id is None:
        return None
    return authority.issue_user_token(made.admin_id).token


def _write_ready_file(coordinator: Coordinator, siblings: Siblings) -> None:
    """Tell whoever started us that we serve, and where: JSON, complete from its first moment, for the owner alone."""
    config = coordinator.config
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.server.host, config.server.host)  # noqa: S104
    scheme = "https" if config.tls.enabled else "http"
    document: dict[str, object] = {
        "grpc": f"{host}:{coordinator.grpc_port}",
        "http": f"{scheme}://{host}:{coordinator.http_port}",
        "pid": os.getpid(),
    }
    if siblings.ready:
        document["processes"] = siblings.ready
    if config.tls.enabled:
        document["tls"] = True
    if coordinator.metrics_port is not None:
        document["metrics"] = f"{scheme}://{host}:{coordinator.metrics_port}{config.metrics.path}"
    if coordinator.admin_token is not None:
        document |= {"username": ADMIN_USERNAME, "token": coordinator.admin_token}
    write_private(config.ready_file, json.dumps(document, indent=2) + "\n")
