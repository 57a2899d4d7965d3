"""The command `mitosis-coordinator`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from mitosis_common import log as common_log
from mitosis_common.config import ConfigError
from mitosis_common.processes import set_parent_death_signal
from mitosis_coordinator.app import VERSION, run
from mitosis_coordinator.config import CoordinatorConfig, load
from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.siblings import SiblingError
from mitosis_coordinator.storage.embedded import EmbeddedPostgres, EmbeddedPostgresError
from mitosis_coordinator.storage.migrate import SchemaError, migrate_down, migrate_up, migration_status

EXIT_FAILED = 1
EXIT_MISCONFIGURED = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve, or work on the schema; exits with 0, 1 after a failure, 2 for a configuration that cannot be used."""
    sys.exit(_main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parent_pid = os.getppid()
    options = _parser().parse_args(arguments)
    if options.die_with_parent:
        set_parent_death_signal(signal.SIGTERM, parent_pid)
    try:
        config = load(options.config)
        if options.command == "migrate":
            return asyncio.run(_migrate(config, options.direction, options.to))
        return asyncio.run(run(config, options.config))
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return EXIT_MISCONFIGURED
    except (
        EmbeddedPostgresError,
        OSError,
        SchemaError,
        SiblingError,
        StorageUnavailable,
        ValueError,
    ) as error:
        # libpq says why, and never shows a password.
        cause = f": {error.__cause__}" if isinstance(error, StorageUnavailable) else ""
        print(f"mitosis-coordinator: {error}{cause}", file=sys.stderr)
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mitosis-coordinator", description=__doc__)
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML; the environment wins over it")
    parser.add_argument(
        "--die-with-parent", action="store_true", help="drain and stop when the process that started this one ends"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="instead of serving")
    migrate = commands.add_parser("migrate", help="look at the database's schema, or change it")
    migrate.add_argument("direction", choices=("up", "down", "status"))
    migrate.add_argument("--to", metavar="NAME", help="with down: take back all that came after it; 'nothing' for all")
    return parser


async def _migrate(config: CoordinatorConfig, direction: str, to: str | None) -> int:
    common_log.configure("warning", "console")
    if config.database.url is not None:
        return await asyncio.to_thread(_migrate_at, config.database.url.get_secret_value(), direction, to)
    postgres = EmbeddedPostgres(config.server.data_dir / "postgres")
    await postgres.start()
    try:
        return await asyncio.to_thread(_migrate_at, postgres.url, direction, to)
    finally:
        await postgres.stop()


def _migrate_at(conninfo: str, direction: str, to: str | None) -> int:
    match direction:
        case "up":
            for name in migrate_up(conninfo):
                print(f"applied {name}")
        case "down":
            for name in migrate_down(conninfo, to="" if to == "nothing" else to):
                print(f"took back {name}")
        case _:
            for status in migration_status(conninfo):
                print(f"{'applied' if status.applied else 'waiting'} {status.name}")
    return 0


if __name__ == "__main__":
    main()
