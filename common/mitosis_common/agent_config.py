"""What managers and independent workers are both told: where the coordinator is, task defaults, where logs go."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mitosis_common.loopback import is_loopback


def runtime_dir() -> Path:
    """Where short-lived files go."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base) / "mitosis" if base else Path(tempfile.gettempdir()) / f"mitosis-{os.getuid()}"


def _with_scheme(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        try:
            port_is_sound = parts.port is None or parts.port > 0
        except ValueError:
            port_is_sound = False
        if parts.scheme not in schemes or not parts.hostname or not port_is_sound:
            raise ValueError(" or ".join(f"{scheme}://host:port" for scheme in schemes))
        if parts.username is not None or parts.password is not None:
            raise ValueError("an address without user name and password")
        return value

    return AfterValidator(check)


def _tag(value: str) -> str:
    if not 1 <= len(value) <= 255 or "," in value or any(char.isspace() for char in value):
        raise ValueError("1 to 255 characters, no comma, no white space")
    return value


def _absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError("an absolute path")
    return value


def _env_name(value: str) -> str:
    if not value or "=" in value or "\0" in value:
        raise ValueError("the name of an environment variable")
    return value


def _several(value: Any) -> Any:
    """One address, several separated by commas, or a list of them."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


HttpUrl = Annotated[str, _with_scheme("http", "https")]
Tag = Annotated[str, AfterValidator(_tag)]
Environment = Mapping[Annotated[str, AfterValidator(_env_name)], str]


class Section(BaseModel):
    """Refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Coordinator(Section):
    """Where the coordinator is and who the agent is to it."""

    # One for each coordinator, in any order: where one does not answer the next is tried.
    url: Annotated[tuple[HttpUrl, ...], BeforeValidator(_several)] = ()
    # Overrides what `GET <url>/info` answers.
    stream_url: Annotated[tuple[Annotated[str, _with_scheme("grpc", "grpcs")], ...], BeforeValidator(_several)] = ()
    # The stream's old name: of it, only the host is used, to ask there for the gRPC address.
    websocket_url: Annotated[str, _with_scheme("ws", "wss")] | None = None
    token_file: Path | None = None
    # Certificates to trust, in PEM, in place of the system's.
    ca_file: Path | None = None
    # What the agent shows where the coordinator asks for certificates, in PEM.
    certificate: Path | None = None
    private_key: Path | None = None
    # Sends the token over plain text to other machines too.
    insecure: bool = False

    @model_validator(mode="after")
    def _keeps_the_token_secret(self) -> Coordinator:
        if (self.certificate is None) is not (self.private_key is None):
            raise ValueError("certificate and private_key, both or neither")
        for used in self.addresses:
            parts = urlsplit(used)
            # Whoever can answer for /info can send the agent, and with it the token, elsewhere.
            if parts.scheme in ("http", "grpc") and not (self.insecure or is_loopback(parts.hostname or "")):
                raise ValueError(
                    f"https:// or grpcs:// for another machine, given {used}, "
                    "where the token would go over plain text; insecure: true allows that"
                )
        return self

    @property
    def addresses(self) -> tuple[str, ...]:
        """What to connect to, or to ask for what to connect to, one for each coordinator."""
        return self.stream_url or self.info_urls

    @property
    def info_urls(self) -> tuple[str, ...]:
        """The HTTP addresses to ask for gRPC addresses, without a trailing slash."""
        if self.url or self.websocket_url is None:
            return tuple(url.rstrip("/") for url in self.url)
        parts = urlsplit(self.websocket_url)
        return (f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}",)


class ExecutorDefaults(Section):
    """What applies to tasks when neither the task nor a suite says."""

    command: str | None = None
    args: tuple[str, ...] = ()
    handler: str | None = None
    envs: Environment = Field(default_factory=dict)
    working_directory: Annotated[Path, AfterValidator(_absolute)] | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=604800)] | None = None

    @model_validator(mode="after")
    def _one_executor(self) -> ExecutorDefaults:
        given = [name for name in ("command", "args", "handler") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"at most one of command, args and handler, not {' and '.join(given)}")
        return self


class Logging(Section):
    """Where logs go: `output` names a file, `file` is its old name, and without either it is standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "console"
    output: Path | None = None
    file: Path | None = None

    @property
    def path(self) -> Path | None:
        """The file, or None for standard error."""
        chosen = self.output or self.file
        return None if chosen is not None and str(chosen) in ("stderr", "-") else chosen
