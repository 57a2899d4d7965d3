"""The command `mitosis-coordinator`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from mitosis_common import log as common_log
from mitosis_common.config import ConfigError
from mitosis_common.processes import set_parent_death_signal
from mitosis_coordinator.app import VERSION, run
from mitosis_coordinator.config import CoordinatorConfig, load
from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.siblings import SiblingError
from mitosis_coordinator.storage.backup import BackupError, restore_backup, write_backup
from mitosis_coordinator.storage.embedded import EmbeddedPostgres, EmbeddedPostgresError
from mitosis_coordinator.storage.migrate import SchemaError, migrate_down, migrate_up, migration_status

EXIT_FAILED = 1
EXIT_MISCONFIGURED = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve, or work on the database; exits with 0, 1 after a failure, 2 for a configuration that cannot be used."""
    sys.exit(_main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parent_pid = os.getppid()
    options = _parser().parse_args(arguments)
    if options.die_with_parent:
        set_parent_death_signal(signal.SIGTERM, parent_pid)
    try:
        config = load(options.config)
        if options.command is not None:
            return asyncio.run(_on_database(config, options))
        return asyncio.run(run(config, options.config))
    except ConfigError as error:
        for problem in error.problems:
            print(f"mitosis-coordinator: {problem}", file=sys.stderr)
        return EXIT_MISCONFIGURED
    except (
        BackupError,
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
    backup = commands.add_parser("backup", help="write the database to a file; coordinators may go on serving")
    backup.add_argument("file", type=Path, metavar="FILE", help="which must not be there yet")
    restore = commands.add_parser("restore", help="make the database what a backup says; no coordinator may run")
    restore.add_argument("file", type=Path, metavar="FILE", help="written by `backup`, of this version or an older one")
    restore.add_argument("--replace", action="store_true", help="give up what the database holds now")
    return parser


async def _on_database(config: CoordinatorConfig, options: argparse.Namespace) -> int:
    """Do what a command asks for on the configured database, and end what had to be started for it."""
    common_log.configure("warning", "console")
    work: Callable[[str], int] = partial(_WORK[options.command], options)
    if config.database.url is not None:
        return await asyncio.to_thread(work, config.database.url.get_secret_value())
    postgres = EmbeddedPostgres(config.server.data_dir / "postgres")
    # Only a backup may be made beside a coordinator that serves; anything else is refused by `start` then.
    if options.command == "backup" and await postgres.answers():
        return await asyncio.to_thread(work, postgres.url)
    await postgres.start()
    try:
        return await asyncio.to_thread(work, postgres.url)
    finally:
        await postgres.stop()


def _backup(options: argparse.Namespace, conninfo: str) -> int:
    size = write_backup(conninfo, options.file)
    print(f"{options.file}: {size} bytes. It holds the keys that sign tokens: keep it as secret as the database.")
    return 0


def _restore(options: argparse.Namespace, conninfo: str) -> int:
    restore_backup(conninfo, options.file, replace=options.replace)
    print(f"the database is what {options.file} says")
    return 0


def _migrate(options: argparse.Namespace, conninfo: str) -> int:
    match options.direction:
        case "up":
            for name in migrate_up(conninfo):
                print(f"applied {name}")
        case "down":
            for name in migrate_down(conninfo, to="" if options.to == "nothing" else options.to):
                print(f"took back {name}")
        case _:
            for status in migration_status(conninfo):
                print(f"{'applied' if status.applied else 'waiting'} {status.name}")
    return 0


_WORK: Mapping[str, Callable[[argparse.Namespace, str], int]] = {
    "backup": _backup,
    "migrate": _migrate,
    "restore": _restore,
}


if __name__ == "__main__":
    main()
