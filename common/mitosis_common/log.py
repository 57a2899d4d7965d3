"""Structured logs: a constant event name and fields, as JSON lines or for people."""

import logging
import sys
from pathlib import Path
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["json", "console"]
LEVELS = ("debug", "info", "warning", "error")

# Fields that hold a credential whatever else they are called; the rest of a name does not matter.
_SECRET_PARTS = ("token", "password", "secret", "authorization", "private_key")
_NOT_SECRET = ("page_token", "token_id", "token_expires")


def configure(level: str = "info", format: Format = "console", output: Path | None = None, **bound: object) -> None:
    """Send structlog's and the standard library's records to standard error, or to a file, in one format.

    `bound` fields, such as the name of the process, are added to every record. Calling it again replaces the set-up,
    which a forked child needs.

    Raises ValueError for an unknown level, OSError when the file cannot be opened.
    """
    if level not in LEVELS:
        raise ValueError(f'log level: given "{level}"; accepts one of {", ".join(LEVELS)}')
    handler: logging.Handler = (
        logging.FileHandler(output, encoding="utf-8") if output else logging.StreamHandler(sys.stderr)
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _adder(bound),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        hide_secrets,
    ]
    renderers: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if format == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=output is None and sys.stderr.isatty(),
                # The richer formatter shows local variables, and tokens and passwords are among them.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    # These say at info what only someone who works on them wants to know.
    for chatty in ("aiohttp.access", "asyncio", "grpc", "yoyo"):
        logging.getLogger(chatty).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    # It warns at every attempt to reconnect; that the database is away is told once, by whoever noticed.
    logging.getLogger("psycopg.pool").setLevel(logging.DEBUG if level == "debug" else logging.ERROR)

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # A cached logger would keep the first set-up when tests, or a forked child, ask for another.
        cache_logger_on_first_use=False,
    )


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace the value of every field whose name says that it holds a credential."""
    for key in event:
        name = key.lower()
        if any(part in name for part in _SECRET_PARTS) and not name.startswith(_NOT_SECRET):
            event[key] = "[hidden]"
    return event


def _adder(bound: dict[str, object]) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**bound, **event}

    return add
