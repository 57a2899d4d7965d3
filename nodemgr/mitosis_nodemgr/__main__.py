"""The command `mitosis-manager`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from mitosis_common.config import ConfigError
from mitosis_common.lock import LockedError
from mitosis_common.processes import set_parent_death_signal
from mitosis_common.token_file import TokenError
from mitosis_nodemgr import config

EXIT_ERROR = 1
EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the manager until a signal or the coordinator ends it, and returns the exit code.

    0: it was asked to end. 1: it failed, or the coordinator rejected it. 2: options or configuration are wrong.
    """
    options = _parser().parse_args(arguments)
    if options.die_with_parent:
        set_parent_death_signal(signal.SIGTERM, os.getppid())
    try:
        loaded = config.load(options.config, token_file=options.token_file)
    except ConfigError as error:
        for problem in error.problems:
            print(f"mitosis-manager: {problem}", file=sys.stderr)
        return EXIT_USAGE
    # Late, so that --help and a mistake in the configuration answer at once.
    from mitosis_nodemgr import app

    try:
        return asyncio.run(app.run(loaded, allow_several=options.allow_several))
    except ConfigError as error:
        for problem in error.problems:
            print(f"mitosis-manager: {problem}", file=sys.stderr)
        return EXIT_ERROR
    except (LockedError, TokenError) as error:
        print(f"mitosis-manager: {error}", file=sys.stderr)
        return EXIT_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mitosis-manager", description="Runs the suites that the coordinator assigns to this machine."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the YAML file; environment variables win over it")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="holds the token that registration gave")
    parser.add_argument("--allow-several", action="store_true", help="let this machine run more than one manager")
    parser.add_argument("--die-with-parent", action="store_true", help="drain and end when the parent process dies")
    parser.add_argument("--version", action="version", version=f"mitosis-manager {metadata.version('mitosis')}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
