"""The coordinator's certificates: checked before anything listens, and read again when their files change."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from mitosis_common.config import ConfigError
from mitosis_coordinator.config import TlsConfig

log = structlog.get_logger(__name__)

RELOAD_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Material:
    """What the files held at one moment, in the two forms in which it is needed."""

    grpc: grpc.ServerCertificateConfiguration
    http: ssl.SSLContext


class Certificates:
    """What the ports prove by who they are, and what they ask of clients.

    New connections get what the files held last when they could be used; connections that are open stay as they are.

    Raises:
        ConfigError: a file cannot be used; names every one of them.
    """

    def __init__(self, config: TlsConfig) -> None:
        assert config.certificate is not None
        assert config.private_key is not None
        self._certificate = config.certificate
        self._private_key = config.private_key
        self._client_ca = config.client_ca
        self._stamps = self._read_stamps()
        self._current = self._read()
        # A server keeps the context that it began with, so each connection is turned over to the current one.
        self._front = self._current.http
        self._front.sni_callback = self._turn_over

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """For the HTTP ports."""
        return self._front

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For the gRPC port."""
        return grpc.dynamic_ssl_server_credentials(
            self._current.grpc, lambda: self._current.grpc, require_client_authentication=self._client_ca is not None
        )

    async def keep_fresh(self, interval_seconds: float = RELOAD_SECONDS) -> None:
        """Look at the files again and again."""
        while True:
            await asyncio.sleep(interval_seconds)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Read the files if they changed. What cannot be used is logged and changes nothing."""
        stamps = self._read_stamps()
        if stamps == self._stamps:
            return
        # Taken before reading: a change meanwhile shows at the next look.
        self._stamps = stamps
        try:
            self._current = self._read()
        except ConfigError as error:
            # Certificate and key may have been replaced one after the other; then the next look finds both.
            log.error("certificates_not_reloaded", problems=error.problems)
        else:
            log.info("certificates_reloaded")

    def _turn_over(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current.http

    def _read_stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in (self._certificate, self._private_key, self._client_ca) if path is not None]

    def _read(self) -> _Material:
        problems: list[str] = []
        chain = _read_certificates("tls.certificate", self._certificate, problems)
        key = _read_private_key(self._private_key, chain, self._certificate, problems)
        clients = _read_certificates("tls.client_ca", self._client_ca, problems) if self._client_ca else None
        if problems:
            raise ConfigError(problems)
        for setting, path, read in (
            ("tls.certificate", self._certificate, chain),
            ("tls.client_ca", self._client_ca, clients),
        ):
            if read is not None:
                _warn_of_dates(setting, path, read.parsed[0])
        assert chain is not None
        certificates = grpc.ssl_server_certificate_configuration(
            [(key, chain.pem)], root_certificates=clients.pem if clients else None
        )
        try:
            return _Material(certificates, _context(self._certificate, self._private_key, self._client_ca))
        except OSError as error:
            # The files changed since, or OpenSSL asks for more than we do, a longer key for instance.
            raise ConfigError([f"tls.certificate: {self._certificate}: cannot be used: {error}"]) from error


@dataclass(frozen=True, slots=True)
class _Read:
    """The certificates of one file."""

    pem: bytes
    parsed: list[x509.Certificate]


def _context(certificate: Path, private_key: Path, client_ca: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A key with a passphrase would be asked for at the terminal.
    context.load_cert_chain(certificate, private_key, password=lambda: b"")
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_bytes(setting: str, path: Path, problems: list[str]) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError as error:
        problems.append(f"{setting}: {path}: cannot be read: {error.strerror}")
        return None


def _read_certificates(setting: str, path: Path, problems: list[str]) -> _Read | None:
    pem = _read_bytes(setting, path, problems)
    if pem is None:
        return None
    try:
        return _Read(pem, x509.load_pem_x509_certificates(pem))
    except ValueError:
        problems.append(f"{setting}: {path}: holds no certificate in PEM")
        return None


def _read_private_key(path: Path, chain: _Read | None, certificate: Path, problems: list[str]) -> bytes:
    """Read the key, which must be that of the first certificate; what is wrong is told without the key."""
    pem = _read_bytes("tls.private_key", path, problems)
    if pem is None:
        return b""
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        problems.append(f"tls.private_key: {path}: has a passphrase; accepts a key without one")
    except (ValueError, UnsupportedAlgorithm):
        problems.append(f"tls.private_key: {path}: holds no private key in PEM")
    else:
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if chain is not None and key.public_key().public_bytes(*form) != chain.parsed[0].public_key().public_bytes(
            *form
        ):
            problems.append(f"tls.private_key: {path}: is not the key of the certificate in {certificate}")
    return pem


def _warn_of_dates(setting: str, path: Path | None, certificate: x509.Certificate) -> None:
    now = datetime.now(UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now <= ends:
        log.warning(
            "certificate_not_valid_now",
            setting=setting,
            path=str(path),
            not_before=begins.isoformat(),
            not_after=ends.isoformat(),
        )
