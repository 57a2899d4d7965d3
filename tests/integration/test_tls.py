"""TLS, client certificates, and what is refused without them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import psutil
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mitosis.v1 import auth_service_pb2, auth_service_pb2_grpc
from mitosis_coordinator.app import Coordinator, serving
from mitosis_coordinator.domain.errors import InvalidToken
from mitosis_coordinator.rpc.in_process import InProcessContext
from mitosis_coordinator.rpc.interceptors.chain import Call
from mitosis_coordinator.rpc.interceptors.transport import TransportLayer
from tests.support.api import eventually
from tests.support.certificates import Authority, Pair
from tests.support.coordinator import (
    ADMIN_PASSWORD,
    bearer,
    coordinator_config,
    quick_passwords,
    refusal,
    running,
)

LOGIN = auth_service_pb2.LoginRequest(username="admin", password=ADMIN_PASSWORD)


def own_address() -> str | None:
    """An address of this machine that is not loopback: what goes there seems to come from another machine."""
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family is socket.AF_INET and not address.address.startswith(("127.", "169.254.")):
                return address.address
    return None


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Pair:
    return authority.issue("server")


def section(pair: Pair, client_ca: Path | None = None) -> dict[str, Any]:
    return {"certificate": pair.certificate, "private_key": pair.private_key, "client_ca": client_ca}


@asynccontextmanager
async def encrypted(database_url: str, directory: Path, tls: dict[str, Any]) -> AsyncIterator[Coordinator]:
    config = coordinator_config(database_url, directory / "data", tls=tls)
    async with serving(config, quick_passwords()) as coordinator:
        yield coordinator


def stub(
    coordinator: Coordinator, authority: Authority, client: Pair | None = None
) -> tuple[grpc.aio.Channel, auth_service_pb2_grpc.AuthServiceAsyncStub]:
    credentials = grpc.ssl_channel_credentials(
        authority.certificate.read_bytes(),
        client.private_key.read_bytes() if client else None,
        client.certificate.read_bytes() if client else None,
    )
    channel = grpc.aio.secure_channel(f"127.0.0.1:{coordinator.grpc_port}", credentials)
    made: auth_service_pb2_grpc.AuthServiceAsyncStub = auth_service_pb2_grpc.AuthServiceStub(channel)
    return channel, made


def trusting(authority: Authority, client: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    if client is not None:
        context.load_cert_chain(client.certificate, client.private_key)
    return context


async def test_every_port_speaks_tls(database_url: str, tmp_path: Path, authority: Authority, server: Pair) -> None:
    async with encrypted(database_url, tmp_path, section(server)) as coordinator:
        channel, auth = stub(coordinator, authority)
        async with channel, aiohttp.ClientSession() as session:
            token = (await auth.Login(LOGIN)).token
            context = trusting(authority)
            rest = f"https://127.0.0.1:{coordinator.http_port}"
            async with session.get(f"{rest}/info", ssl=context) as response:
                info = await response.json()
            assert (info["grpc"], info["grpc_tls"]) == (f"127.0.0.1:{coordinator.grpc_port}", True)
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(f"{rest}/auth", ssl=context, headers=headers) as response:
                assert response.status == 200
            metrics = f"https://127.0.0.1:{coordinator.metrics_port}/metrics"
            async with session.get(metrics, ssl=context) as response:
                assert response.status == 200
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"{rest}/info")
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://127.0.0.1:{coordinator.http_port}/info")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{coordinator.grpc_port}") as plain:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await auth_service_pb2_grpc.AuthServiceStub(plain).Login(LOGIN, timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_older_versions_than_1_2_are_refused(
    database_url: str, tmp_path: Path, authority: Authority, server: Pair
) -> None:
    old = trusting(authority)
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    async with encrypted(database_url, tmp_path, section(server)) as coordinator:
        for port in (coordinator.http_port, coordinator.grpc_port, coordinator.metrics_port):
            old.set_alpn_protocols(["h2"] if port == coordinator.grpc_port else ["http/1.1"])
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=old)
            assert writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
            writer.close()
            ancient = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            ancient.load_verify_locations(authority.certificate)
            ancient.set_ciphers("DEFAULT:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                ancient.minimum_version = ancient.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("127.0.0.1", port, ssl=ancient)


async def test_a_client_without_a_certificate_is_refused(
    database_url: str, tmp_path: Path, authority: Authority, server: Pair
) -> None:
    client = authority.issue("client")
    stranger = Authority(tmp_path, "stranger").issue("unknown")
    async with encrypted(database_url, tmp_path, section(server, authority.certificate)) as coordinator:
        urls = [
            f"https://127.0.0.1:{coordinator.http_port}/info",
            f"https://127.0.0.1:{coordinator.metrics_port}/metrics",
        ]
        for shown in (None, stranger):
            channel, auth = stub(coordinator, authority, shown)
            async with channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await auth.Login(LOGIN, timeout=10)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            for url in urls:
                async with aiohttp.ClientSession() as session:
                    with pytest.raises(aiohttp.ClientError):
                        await session.get(url, ssl=trusting(authority, shown))
        channel, auth = stub(coordinator, authority, client)
        async with channel, aiohttp.ClientSession() as session:
            assert (await auth.Login(LOGIN)).token
            for url in urls:
                async with session.get(url, ssl=trusting(authority, client)) as response:
                    assert response.status == 200


async def test_a_new_certificate_needs_no_restart(
    database_url: str, tmp_path: Path, authority: Authority, server: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mitosis_coordinator.tls.Certificates.keep_fresh.__defaults__", (0.05,))

    async def served(port: int | None) -> str:
        context = trusting(authority)
        context.set_alpn_protocols(["h2", "http/1.1"])
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        der = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
        return str(x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    async with encrypted(database_url, tmp_path, section(server)) as coordinator:
        ports = [coordinator.grpc_port, coordinator.http_port, coordinator.metrics_port]
        assert [await served(port) for port in ports] == ["server"] * 3
        renewed = authority.issue("renewed")
        renewed.private_key.replace(server.private_key)
        renewed.certificate.replace(server.certificate)

        async def all_served() -> list[str]:
            return [await served(port) for port in ports]

        await eventually(all_served, lambda names: names == ["renewed"] * 3)


@pytest.mark.skipif(own_address() is None, reason="this machine has no address but loopback")
async def test_secrets_over_plain_text_from_elsewhere_are_refused(database_url: str, tmp_path: Path) -> None:
    config = coordinator_config(database_url, tmp_path, server={"host": "0.0.0.0"})
    async with running(config) as coordinator, aiohttp.ClientSession() as session:
        user = bearer(coordinator.admin_token)
        me = auth_service_pb2.GetCurrentUserRequest()
        assert (await coordinator.auth.GetCurrentUser(me, metadata=user)).user.username == "admin"
        async with grpc.aio.insecure_channel(f"{own_address()}:{coordinator.inner.grpc_port}") as channel:
            afar: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
            for call in (afar.GetCurrentUser(me, metadata=user), afar.Login(LOGIN)):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call
                told = refusal(caught.value)
                assert (told.code, told.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN")
                assert "tls.insecure: true" in told.message
            probe: Any = health_pb2_grpc.HealthStub(channel)
            assert (await probe.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        rest = f"http://{own_address()}:{coordinator.inner.http_port}"
        headers = {"Authorization": f"Bearer {coordinator.admin_token}", "X-Forwarded-For": "127.0.0.1"}
        async with session.get(f"{rest}/auth", headers=headers) as response:
            assert response.status == 401
            assert "tls.insecure: true" in (await response.json())["error"]["message"]
        async with session.post(f"{rest}/login", json={"username": "admin", "password": ADMIN_PASSWORD}) as response:
            assert response.status == 401
        async with session.get(f"{rest}/info") as response:
            assert response.status == 200


@pytest.mark.skipif(own_address() is None, reason="this machine has no address but loopback")
async def test_the_configuration_can_allow_it(database_url: str, tmp_path: Path) -> None:
    config = coordinator_config(database_url, tmp_path, server={"host": "0.0.0.0"}, tls={"insecure": True})
    async with running(config) as coordinator, aiohttp.ClientSession() as session:
        async with grpc.aio.insecure_channel(f"{own_address()}:{coordinator.inner.grpc_port}") as channel:
            afar: Any = auth_service_pb2_grpc.AuthServiceStub(channel)
            assert (await afar.Login(LOGIN)).token
        headers = {"Authorization": f"Bearer {coordinator.admin_token}"}
        async with session.get(f"http://{own_address()}:{coordinator.inner.http_port}/auth", headers=headers) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("peer", "method", "passes"),
    [
        ("ipv4:127.0.0.1:5000", "/mitosis.v1.AuthService/Login", True),
        ("ipv4:127.0.0.2:5000", "/mitosis.v1.AuthService/Login", True),
        ("ipv6:%5B::1%5D:5000", "/mitosis.v1.SuiteService/GetSuite", True),
        ("ipv6:%5B::ffff:127.0.0.1%5D:5000", "/mitosis.v1.SuiteService/GetSuite", True),
        ("unix:", "/mitosis.v1.SuiteService/GetSuite", True),
        ("ipv4:192.0.2.7:5000", "/mitosis.v1.AuthService/Login", False),
        ("ipv4:192.0.2.7:5000", "/mitosis.v1.ManagerService/Connect", False),
        ("ipv6:%5B2001:db8::7%5D:5000", "/mitosis.v1.SuiteService/GetSuite", False),
        ("ipv6:%5B::ffff:192.0.2.7%5D:5000", "/mitosis.v1.SuiteService/GetSuite", False),
        ("ipv4::0", "/mitosis.v1.SuiteService/GetSuite", False),
        ("ipv4:192.0.2.7:5000", "/grpc.health.v1.Health/Check", True),
    ],
)
async def test_who_may_send_secrets_in_the_clear(peer: str, method: str, passes: bool) -> None:
    around = TransportLayer().around(Call(method, {}, InProcessContext(peer, {}), streaming=False))
    if passes:
        async with around:
            pass
    else:
        with pytest.raises(InvalidToken, match=r"tls\.certificate"):
            await around.__aenter__()
