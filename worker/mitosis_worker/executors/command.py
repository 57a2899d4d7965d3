"""Runs a command in a session of its own and leaves none of its processes behind."""

import errno
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext

from mitosis.v1 import task_pb2
from mitosis_common.processes import OutputTail, describe_exit, signal_group
from mitosis_common.reaping import children, has_children, has_descendants_running, kill_orphans
from mitosis_worker.context import TASK_PAYLOAD
from mitosis_worker.executors.ending import COMPLETED, FAILED, Ending, StopReason, failed, stopped

# Linux refuses a single environment string beyond this, counting the name, the equals sign and the NUL.
_MAX_VARIABLE_BYTES = 128 * 1024
_READ_BYTES = 256 * 1024
# How long the pipes are read on after every process that we can reach is dead.
_DRAIN_SECONDS = 0.2
# How often a stopped group is looked at once its leader is gone.
_LINGER_POLL_SECONDS = 0.05
_LONGEST_POLL_SECONDS = 3600.0


class CommandExecutor:
    """Runs one command at a time; `cancel` may be called from any other thread.

    The worker must be a child subreaper, or a process that leaves the command's session survives. `guard()` is entered
    while processes of a command are alive.
    """

    def __init__(
        self, stop_grace_seconds: float, guard: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._grace = stop_grace_seconds
        self._guard = guard
        self._cancelled = False
        self._cancel_event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._buffer = bytearray(_READ_BYTES)

    def arm(self) -> None:
        """Forget a cancellation of the task before: from here on `cancel` is about the next `run`."""
        if self._cancelled:
            self._cancelled = False
            os.eventfd_read(self._cancel_event)

    def cancel(self) -> None:
        """Stop the command: SIGTERM to its group, and SIGKILL after the grace."""
        if not self._cancelled:
            self._cancelled = True
            os.eventfd_write(self._cancel_event, 1)

    def close(self) -> None:
        """Close the executor's own descriptor."""
        os.close(self._cancel_event)

    def run(self, spec: task_pb2.TaskSpec, environment: Mapping[str, str]) -> Ending:
        """Run the spec's `command` or `args` to the end and return how it ended.

        The payload is its standard input, and the variable `MITOSIS_TASK_PAYLOAD` when that entry, name included, fits
        in 128 KiB. Both outputs are kept as tails of 64 KiB. What is left of its processes when the first one ends is
        killed.
        """
        argv = list(spec.args) or ["/bin/sh", "-c", spec.command]
        # What a handler before this task keeps running, a process pool for example, is not the command's.
        kept = children(os.getpid()) if has_children() else ()
        with self._guard():
            try:
                run = _Run(argv, spec, environment, self._buffer, self._cancel_event)
            except (OSError, ValueError) as error:
                return failed(_start_error(spec, argv, error))
            try:
                reason = run.until_end(spec.timeout_seconds if spec.HasField("timeout_seconds") else None)
                if reason is not None:
                    signal_group(run.process.pid, signal.SIGTERM)
                    run.until_gone(self._grace, kept)
            finally:
                # The leader is not reaped yet, so its id still names this group and no other.
                signal_group(run.process.pid, signal.SIGKILL)
                returncode = run.process.wait()
                if has_children():
                    kill_orphans(keep=kept)
                run.close()
        return _ending(spec, run, returncode, reason)


class _Run:
    """One started command and the reading of its outputs."""

    def __init__(
        self,
        argv: list[str],
        spec: task_pb2.TaskSpec,
        environment: Mapping[str, str],
        buffer: bytearray,
        cancel_event: int,
    ) -> None:
        self._buffer = buffer
        self._view = memoryview(buffer)
        self._cancel_event = cancel_event
        stdin, variables = _payload(spec, environment)
        try:
            self.process = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=spec.working_directory or None,
                env=variables,
                # Not preexec_fn: it would make every start a fork of this process instead of a vfork.
                start_new_session=True,
            )
        finally:
            os.close(stdin)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout, self.stderr = OutputTail(), OutputTail()
        self._tails = {self.process.stdout.fileno(): self.stdout, self.process.stderr.fileno(): self.stderr}
        self._pidfd = os.pidfd_open(self.process.pid)
        self._poll = select.poll()
        for descriptor in (*self._tails, self._pidfd, cancel_event):
            self._poll.register(descriptor, select.POLLIN)
        self._ended = False
        self._cancelled = False

    def until_end(self, timeout: float | None) -> StopReason | None:
        """Read until the first process has ended (None), or has to be stopped, and why."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._ended:
            if self._cancelled:
                return "cancelled"
            remaining = _LONGEST_POLL_SECONDS if deadline is None else deadline - time.monotonic()
            if remaining <= 0:
                return "timed out"
            self._pump(remaining)
        return None

    def until_gone(self, grace: float, keep: Collection[int]) -> None:
        """Read until every process of the command has ended, for at most `grace` seconds."""
        deadline = time.monotonic() + grace
        while (remaining := deadline - time.monotonic()) > 0:
            if not self._ended:
                self._pump(remaining)
            elif has_descendants_running(keep):
                # The leader obeyed SIGTERM; those it had started may use the rest of the grace.
                self._pump(min(remaining, _LINGER_POLL_SECONDS))
            else:
                return

    def close(self) -> None:
        """Read what the dead processes left in the pipes, and close everything."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        # A process that got the pipe in another way than by birth may hold it open for ever.
        while self._tails and (remaining := deadline - time.monotonic()) > 0:
            self._pump(remaining)
        self.process.stdout.close()  # type: ignore[union-attr]
        self.process.stderr.close()  # type: ignore[union-attr]
        os.close(self._pidfd)

    def _pump(self, timeout: float) -> None:
        """Wait for output, the end of the first process or a cancellation; read at most a chunk of each output."""
        for descriptor, _ in self._poll.poll(min(timeout, _LONGEST_POLL_SECONDS) * 1000):
            tail = self._tails.get(descriptor)
            if tail is not None:
                count = os.readv(descriptor, [self._buffer])
                if count:
                    tail.write(self._view[:count])
                    continue
                del self._tails[descriptor]
            elif descriptor == self._pidfd:
                self._ended = True
            else:
                self._cancelled = True
            self._poll.unregister(descriptor)


def _payload(spec: task_pb2.TaskSpec, environment: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    """Open the standard input and complete the environment."""
    variables = dict(environment)
    if not spec.HasField("payload"):
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), variables
    payload = spec.payload.encode()
    if len(TASK_PAYLOAD) + len(payload) + 2 <= _MAX_VARIABLE_BYTES:
        variables[TASK_PAYLOAD] = spec.payload
    # A file in memory and not a pipe: a command that does not read its input needs no care.
    descriptor = os.memfd_create("payload", os.MFD_CLOEXEC)
    view = memoryview(payload)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor, variables


def _ending(spec: task_pb2.TaskSpec, run: _Run, returncode: int, reason: StopReason | None) -> Ending:
    if reason is not None:
        ending = stopped(reason, spec.timeout_seconds)
    elif returncode == 0:
        ending = Ending(COMPLETED, task_pb2.TaskResult())
    else:
        ending = Ending(FAILED, task_pb2.TaskResult(error=describe_exit(returncode)))
    result = ending.result
    if returncode >= 0:
        result.exit_code = returncode
    result.stdout_tail = run.stdout.text()
    result.stderr_tail = run.stderr.text()
    return ending


def _start_error(spec: task_pb2.TaskSpec, argv: list[str], error: OSError | ValueError) -> str:
    field = "args" if spec.args else "command"
    if isinstance(error, ValueError):
        return f"task_spec.{field}: cannot be started: {error}"
    reason = os.strerror(error.errno) if error.errno else str(error)
    if spec.working_directory and error.filename == spec.working_directory:
        return f"task_spec.working_directory: given {spec.working_directory!r}: {reason}; accepts a directory"
    if error.errno == errno.ENOENT:
        return f"task_spec.{field}: no program {argv[0]!r}"
    return f"task_spec.{field}: cannot start {argv[0]!r}: {reason}"
