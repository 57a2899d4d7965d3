"""The configuration of an independent worker: one YAML file, a few environment variables, and defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from mitosis_common import config as common_config
from mitosis_common.agent_config import Coordinator, ExecutorDefaults, Logging, Section, Tag

ENV_NAMES = {
    "COORDINATOR_URL": "coordinator.url",
    "WORKER_TOKEN_FILE": "coordinator.token_file",
    "LOG_LEVEL": "logging.level",
}


class Worker(Section):
    """This process."""

    name: Annotated[str, Field(max_length=255)] = ""
    tags: Annotated[tuple[Tag, ...], Field(max_length=64)] = ()
    # Holds the results that were not acknowledged; None: beside the token file.
    data_dir: Path | None = None
    # Tasks held beside the one that runs, so that the next one is there when it ends.
    prefetch_count: Annotated[int, Field(ge=0, le=256)] = 1
    # How long the running task may go on once the worker was told to end.
    drain_grace_seconds: Annotated[float, Field(ge=0, le=86400)] = 30.0
    # Between SIGTERM and SIGKILL, for a task that is stopped.
    stop_grace_seconds: Annotated[float, Field(ge=0, le=600)] = 5.0


class WorkerConfig(Section):
    """Everything an independent worker is told before it starts."""

    coordinator: Coordinator = Coordinator()
    worker: Worker = Worker()
    worker_defaults: ExecutorDefaults = ExecutorDefaults()
    logging: Logging = Logging()

    @model_validator(mode="after")
    def _knows_the_way(self) -> WorkerConfig:
        where = self.coordinator
        if not where.addresses:
            raise ValueError("coordinator.url is required (or COORDINATOR_URL in the environment)")
        if where.token_file is None:
            raise ValueError("coordinator.token_file is required (or --token-file, or WORKER_TOKEN_FILE)")
        return self

    @property
    def data_dir(self) -> Path:
        """The directory of this worker alone: the token is nobody else's, so what lies beside it is not either."""
        token_file = self.coordinator.token_file
        assert token_file is not None
        return (self.worker.data_dir or token_file.with_name(f"{token_file.name}.data")).absolute()


def load(path: Path | None, environ: Mapping[str, str] = os.environ, token_file: Path | None = None) -> WorkerConfig:
    """Read the configuration. `token_file`, from the command line, wins over file and environment.

    Raises `mitosis_common.config.ConfigError`, which lists every mistake.
    """
    if token_file is not None:
        environ = {**environ, "WORKER_TOKEN_FILE": str(token_file)}
    return common_config.load(WorkerConfig, path, environ, ENV_NAMES)
