"""The database before it is used: started where it is the coordinator's own, migrated, and asked what it allows."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import structlog

from mitosis_common.config import ConfigError
from mitosis_coordinator.config import LEAST_CONNECTIONS, CoordinatorConfig
from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.shutdown import BackgroundTasks, Drain
from mitosis_coordinator.storage.coordinators import connections_allowed
from mitosis_coordinator.storage.embedded import EmbeddedPostgres
from mitosis_coordinator.storage.migrate import migrate_up

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 0.5
_EMBEDDED_CONNECTIONS = 100
# For whoever looks into the database while the coordinator has all that it may have.
_SPARE_CONNECTIONS = 5


async def database_url(
    config: CoordinatorConfig, stack: AsyncExitStack, drain: Drain, background: BackgroundTasks
) -> str:
    """The database to use; without one in the configuration, a PostgreSQL that is started here and ends with `stack`.

    Raises:
        EmbeddedPostgresError: it cannot be started.
    """
    if config.database.url is not None:
        return config.database.url.get_secret_value()
    connections = max(_EMBEDDED_CONNECTIONS, config.database.max_connections) + _SPARE_CONNECTIONS
    postgres = EmbeddedPostgres(config.server.data_dir / "postgres", {"max_connections": str(connections)})
    stack.push_async_callback(drain.step, "postgres", postgres.stop)
    await postgres.start()
    background.start("embedded-postgres", postgres.wait_failed())
    return postgres.url


async def migrate(conninfo: str, patience_seconds: float) -> None:
    """Bring the schema up to date, as soon as the database answers: the two may have been started together.

    Raises:
        StorageUnavailable: it does not answer in time.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            await asyncio.to_thread(migrate_up, conninfo)
        except StorageUnavailable as error:
            if time.monotonic() >= deadline:
                raise
            log.info("waiting_for_database", cause=str(error.__cause__))
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


async def fitting_pool_size(config: CoordinatorConfig, conninfo: str) -> int:
    """Connections in the pool of each process: what is configured, or less where the server allows less.

    Raises:
        ConfigError: it allows too few for all of the processes.
        StorageUnavailable: it does not answer.
    """
    allowed = await asyncio.to_thread(connections_allowed, conninfo)
    share = min(config.connections_per_process, allowed // config.server.workers)
    if share < LEAST_CONNECTIONS:
        problem = f"given {config.server.workers}, and the database allows {allowed} connections"
        raise ConfigError([f"server.workers: {problem}; each process needs {LEAST_CONNECTIONS}"])
    fitting = config.pool_size_within(share)
    if fitting < config.pool_size:
        log.warning("pool_made_smaller", allowed=allowed, configured=config.pool_size, pool_size=fitting)
    return fitting
