"""What the coordinator makes of its certificates' files."""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from mitosis_common.config import ConfigError
from mitosis_coordinator.config import TlsConfig, load
from mitosis_coordinator.tls import Certificates
from tests.support.certificates import Authority, Pair


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("server")


def config(pair: Pair, client_ca: Path | None = None) -> TlsConfig:
    return TlsConfig(certificate=pair.certificate, private_key=pair.private_key, client_ca=client_ca)


def problems(given: TlsConfig) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Certificates(given)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("environ", "accepts"),
    [
        ({"MITOSIS_TLS__CERTIFICATE": "/c"}, "certificate and private_key, both or neither"),
        ({"MITOSIS_TLS__PRIVATE_KEY": "/k"}, "certificate and private_key, both or neither"),
        ({"MITOSIS_TLS__CLIENT_CA": "/a"}, "certificate and private_key, where there is client_ca"),
        (
            {"MITOSIS_TLS__CERTIFICATE": "/c", "MITOSIS_TLS__PRIVATE_KEY": "/k", "MITOSIS_TLS__INSECURE": "true"},
            "certificate or insecure, not both",
        ),
    ],
)
def test_what_does_not_go_together_is_told(environ: dict[str, str], accepts: str) -> None:
    with pytest.raises(ConfigError, match=f"tls: .*{accepts}"):
        load(None, environ)


def test_every_file_that_cannot_be_used_is_told_by_its_key(tmp_path: Path, pair: Pair) -> None:
    missing = tmp_path / "missing.pem"
    given = TlsConfig(certificate=missing, private_key=pair.certificate, client_ca=pair.private_key)
    assert problems(given) == [
        f"tls.certificate: {missing}: cannot be read: No such file or directory",
        f"tls.private_key: {pair.certificate}: holds no private key in PEM",
        f"tls.client_ca: {pair.private_key}: holds no certificate in PEM",
    ]


def test_the_key_of_another_certificate_is_told(authority: Authority, pair: Pair) -> None:
    other = authority.issue("other")
    assert problems(TlsConfig(certificate=pair.certificate, private_key=other.private_key)) == [
        f"tls.private_key: {other.private_key}: is not the key of the certificate in {pair.certificate}"
    ]


def test_a_key_with_a_passphrase_is_told_and_not_asked_for(pair: Pair) -> None:
    key = load_pem_private_key(pair.private_key.read_bytes(), password=None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame"))
    pair.private_key.write_bytes(locked)
    assert problems(config(pair)) == [
        f"tls.private_key: {pair.private_key}: has a passphrase; accepts a key without one"
    ]


def test_an_expired_certificate_is_a_warning(authority: Authority) -> None:
    old = authority.issue("old", valid_for=timedelta(hours=-1))
    with structlog.testing.capture_logs() as logs:
        Certificates(config(old, authority.certificate))
    assert [(entry["event"], entry["setting"], entry["path"]) for entry in logs] == [
        ("certificate_not_valid_now", "tls.certificate", str(old.certificate))
    ]


async def test_a_new_certificate_is_served_to_new_connections(authority: Authority, pair: Pair) -> None:
    certificates = Certificates(config(pair))
    server = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=certificates.ssl_context
    )
    trusting = ssl.create_default_context(cafile=authority.certificate)

    async def served() -> str:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        der = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
        (name,) = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(name.value)

    async with server:
        assert await served() == "server"
        new = authority.issue("new")
        new.certificate.replace(pair.certificate)
        with structlog.testing.capture_logs() as logs:
            certificates.refresh()
            assert await served() == "server", "its key is not there yet"
            new.private_key.replace(pair.private_key)
            certificates.refresh()
            assert await served() == "new"
            certificates.refresh()
        assert [entry["event"] for entry in logs] == ["certificates_not_reloaded", "certificates_reloaded"]
        pair.private_key.unlink()
        certificates.refresh()
        assert await served() == "new"
