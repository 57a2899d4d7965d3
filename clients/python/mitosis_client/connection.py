"""Where the coordinator is and who we are there: files, environment, explicit values."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mitosis_client.aio.client import AsyncClient
from mitosis_client.aio.transport import Tls
from mitosis_client.errors import FieldViolation, InvalidField
from mitosis_client.sync import Client
from mitosis_common.loopback import host_of, is_loopback

DATA_DIR_VARIABLE = "MITOSIS_DATA_DIR"
DEFAULT_DATA_DIR = ".mitosis"
CONNECTION_FILE = "connection.json"


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a coordinator.

    The three fields of files name files in PEM, and each of them turns TLS on; `insecure` allows plain text to
    addresses that are not loopback.
    """

    grpc: str
    token: str = field(default="", repr=False)
    username: str = ""
    http: str = ""
    metrics: str = ""
    tls: bool = False
    root_certificates_file: str = ""
    certificate_file: str = ""
    private_key_file: str = ""
    insecure: bool = False
    # What named it, for messages: a path, or the flags.
    source: str = field(default="", compare=False)

    @classmethod
    def read(cls, path: Path) -> Connection:
        """Returns what `mitosis up` or `mitosis login` wrote into a file. Raises `InvalidField`, `OSError`."""
        names = {name for name in cls.__slots__ if name != "source"}
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidField((), f"{path} is not a connection file: {error}") from None
        if not isinstance(document, dict) or not isinstance(document.get("grpc"), str):
            raise InvalidField(
                [FieldViolation("grpc", "given nothing; accepts host:port")], f"{path} has no field grpc"
            )
        return cls(**{key: value for key, value in document.items() if key in names}, source=str(path))

    def write(self, path: Path) -> None:
        """Writes the file at once, readable by its owner alone."""
        document = {key: value for key, value in asdict(self).items() if key != "source" and value}
        write_private(path, json.dumps(document, indent=2) + "\n")

    def tls_options(self) -> Tls | None:
        """Returns the TLS options with the files read, or nothing for a connection without TLS. Raises `OSError`."""
        names = (self.root_certificates_file, self.certificate_file, self.private_key_file)
        if not (self.tls or any(names)):
            return None
        roots, chain, key = (Path(name).read_bytes() if name else None for name in names)
        return Tls(roots, chain, key)

    @property
    def encrypted(self) -> bool:
        """Whether the connection is TLS: because it was asked for, or because the address is another machine's."""
        asked = self.tls or any((self.root_certificates_file, self.certificate_file, self.private_key_file))
        return asked or not (self.insecure or is_loopback(host_of(self.grpc)))

    def client(self) -> Client:
        """Returns a new synchronous client."""
        return Client(self.grpc, token=self.token or None, tls=self.tls_options(), insecure=self.insecure)

    def async_client(self) -> AsyncClient:
        """Returns a new asynchronous client."""
        return AsyncClient(self.grpc, token=self.token or None, tls=self.tls_options(), insecure=self.insecure)


def write_private(path: Path, text: str) -> None:
    """Writes a file with mode 0600, in one step: a reader sees the old text or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Returns the data directory of `mitosis up` when none is named."""
    return Path(environment.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR)


def credentials_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Returns the file that `mitosis login` writes."""
    configuration = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or Path.home()) / ".config"
    return Path(configuration) / "mitosis" / "credentials.json"


def find_connection(environment: Mapping[str, str] = os.environ) -> Connection | None:
    """Returns the connection that commands use by default, or nothing.

    The first there is of: the file named by `MITOSIS_CONNECTION`; `connection.json` in the data directory of
    `mitosis up`; the credentials of `mitosis login`. Raises `InvalidField` and, for a named file, `OSError`.
    """
    named = environment.get("MITOSIS_CONNECTION")
    if named:
        return Connection.read(Path(named))
    for path in (data_dir(environment) / CONNECTION_FILE, credentials_file(environment)):
        if path.is_file():
            return Connection.read(path)
    return None
