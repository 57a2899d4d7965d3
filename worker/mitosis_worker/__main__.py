"""The command `mitosis-worker`."""

import argparse
import faulthandler
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis_common.marker import TaskMarker
from mitosis_common.reaping import kill_orphans
from mitosis_worker.comm import HolderGoneError
from mitosis_worker.context import WorkerContext
from mitosis_worker.executors.capture import CapturedOutput
from mitosis_worker.executors.command import CommandExecutor
from mitosis_worker.executors.handler import HandlerExecutor
from mitosis_worker.lifeline import Lifeline
from mitosis_worker.loop import WorkerLoop

EXIT_LEFT = 0
EXIT_HOLDER_GONE = 1
EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker until whoever hands out tasks tells it to leave, or SIGTERM does; return the exit code.

    0: it left. 1: the manager is gone, or the coordinator will not have it. 2: the arguments, the setup or the
    configuration are wrong. 3: its task could not be stopped.
    """
    options = _parse(arguments)
    return _managed(options) if options.managed else _independent(options)


def _independent(options: argparse.Namespace) -> int:
    # Neither kind of worker loads what only the other one needs: many managed ones start at once.
    from mitosis_common.config import ConfigError
    from mitosis_common.lock import LockedError
    from mitosis_common.token_file import TokenError
    from mitosis_worker import config

    try:
        loaded = config.load(options.config, token_file=options.token_file)
    except ConfigError as error:
        for problem in error.problems:
            print(f"mitosis-worker: {problem}", file=sys.stderr)
        return EXIT_USAGE
    from mitosis_worker import independent

    try:
        return independent.run(loaded)
    except (TokenError, LockedError, OSError) as error:
        print(f"mitosis-worker: {error}", file=sys.stderr)
        return EXIT_HOLDER_GONE


def _managed(options: argparse.Namespace) -> int:
    from mitosis_common.ipc_domain import IpcDomain
    from mitosis_worker.ipc_comm import IpcComm

    lifeline = Lifeline(options.manager_pid)
    try:
        setup = _read_setup()
        comm = IpcComm(IpcDomain(options.domain), options.worker_index, options.manager_pid)
        marker = TaskMarker(options.marker)
    except Exception as error:
        print(f"mitosis-worker: {type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_USAGE
    context = WorkerContext.from_setup(setup, options.worker_index)
    os.environ.update(context.variables())
    commands = CommandExecutor(context.stop_grace_seconds, lifeline.guard)
    handlers = HandlerExecutor(CapturedOutput())
    loop = WorkerLoop(comm, commands, handlers, marker, setup.task_defaults)
    # A handler's segmentation fault leaves its Python traceback in what the manager keeps of this process's output.
    faulthandler.enable(file=2)
    # Not SIG_IGN, which the commands would inherit. Ctrl-C is for the process in the foreground, which drains.
    signal.signal(signal.SIGINT, lambda _signum, _frame: None)
    signal.signal(signal.SIGTERM, lambda _signum, _frame: loop.leave())
    try:
        loop.run()
    except HolderGoneError as error:
        print(f"mitosis-worker: {error}", file=sys.__stderr__)
        return EXIT_HOLDER_GONE
    finally:
        # What is written from here on is the worker's own, the traceback of an unexpected end among it.
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        handlers.close()
        kill_orphans()
        comm.close()
        marker.close()
    return EXIT_LEFT


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mitosis-worker", description="Run tasks that belong to no suite.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the YAML file; environment variables win over it")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="holds the token that registration gave")
    managed = parser.add_argument_group("started by a node manager")
    managed.add_argument("--managed", action="store_true", help="be a worker of a manager on this machine")
    needed = [
        managed.add_argument("--domain", help="name of the manager's shared-memory domain"),
        managed.add_argument("--worker-index", type=int, help="number of this worker, from 0"),
        managed.add_argument("--marker", type=Path, help="file that says which task runs"),
        managed.add_argument("--manager-pid", type=int, help="process whose end ends this one"),
    ]
    options = parser.parse_args(arguments)
    missing = [action.option_strings[0] for action in needed if getattr(options, action.dest) is None]
    if options.managed and missing:
        parser.error(f"--managed needs {', '.join(missing)}")
    if not options.managed and len(missing) < len(needed):
        parser.error(f"only --managed takes {', '.join(action.option_strings[0] for action in needed)}")
    return options


def _read_setup() -> worker_ipc_pb2.WorkerSetup:
    """Read the setup from standard input, which is /dev/null from then on. Raises DecodeError."""
    setup = worker_ipc_pb2.WorkerSetup.FromString(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return setup


if __name__ == "__main__":
    sys.exit(main())
