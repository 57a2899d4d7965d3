"""Calls a Python function in the worker's main thread."""

import importlib
import inspect
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from mitosis.v1 import task_pb2
from mitosis_common.processes import OutputTail
from mitosis_worker.executors.capture import CapturedOutput
from mitosis_worker.executors.ending import COMPLETED, Ending, StopReason, failed, stopped
from mitosis_worker.spec import SpecError

if TYPE_CHECKING:
    import asyncio

MAX_RETURN_BYTES = 1024 * 1024

_CANCEL_SIGNAL = signal.SIGUSR1
_TIMEOUT_SIGNAL = signal.SIGALRM
# A signal that comes just before a system call does not end it: Python looks for signals, lets go of its lock, and only
# then calls. So a limit is announced again until it is noticed, and whoever cancels repeats that too.
_REPEAT_SECONDS = 0.1
_ACCEPTS = "accepts package.module:function, importable in the worker"

Handler = Callable[[Any], Any]


class TaskInterrupted(BaseException):
    """Raised inside a handler that is stopped. Not an Exception, so that `except Exception` lets it through."""


class TaskTimedOut(TaskInterrupted):
    """Raised inside a handler that ran longer than its limit."""


class TaskCancelled(TaskInterrupted):
    """Raised inside a handler whose task was cancelled."""


class HandlerExecutor:
    """Runs one handler at a time in the main thread; `cancel` may be called from any other thread.

    A handler is stopped by a signal whose Python-level handler raises in the main thread: SIGALRM at its limit, SIGUSR1
    when it is cancelled. Code that never returns to the interpreter does not notice; the node manager ends such a
    worker. Coroutine functions run in one event loop that is kept; they are stopped by `asyncio.CancelledError`.
    """

    def __init__(self, output: CapturedOutput) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("handlers run in the main thread, where Python delivers signals")
        self._output = output
        self._main_thread = threading.get_ident()
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._home = os.getcwd()  # noqa: PTH109 - compared and restored as the string it is
        self._directory = ""
        self._runner: asyncio.Runner | None = None
        self._stop_coroutine: Callable[[], object] | None = None
        # Written by the main thread only, signal handlers included; those run between two of its bytecodes.
        self._interruptible = False
        self._stopped_by: StopReason | None = None
        self._cancel_requested = False
        signal.signal(_CANCEL_SIGNAL, self._on_signal)
        signal.signal(_TIMEOUT_SIGNAL, self._on_signal)

    def arm(self) -> None:
        """Forget a cancellation of the task before: from here on `cancel` is about the next `run`."""
        self._cancel_requested = False

    def cancel(self) -> None:
        """Stop the handler that runs, or that is about to; repeat it until the run is over."""
        self._cancel_requested = True
        signal.pthread_kill(self._main_thread, _CANCEL_SIGNAL)

    def close(self) -> None:
        """Close the event loop, if coroutines have run."""
        if self._runner is not None:
            self._runner.close()

    def run(self, spec: task_pb2.TaskSpec) -> Ending:
        """Call the spec's `handler` with its payload and return how that ended.

        The return value is stored as JSON, and left out for None. The working directory is entered, and is the first
        place of `sys.path`, for the time of the call.
        """
        timeout = spec.timeout_seconds if spec.HasField("timeout_seconds") else None
        restore: dict[str, str | None] = {}
        self._stopped_by = None
        self._output.install()
        try:
            try:
                if timeout is not None:
                    signal.setitimer(signal.ITIMER_REAL, timeout, _REPEAT_SECONDS)
                # From here to its reset, and nowhere else, a signal may raise; wherever that happens, also in this
                # `finally`, the clause below gets it. The flag falls before the exception is raised: it is raised once.
                self._interruptible = True
                if self._cancel_requested:
                    self._on_signal(_CANCEL_SIGNAL, None)
                value = self._call(spec, restore)
            finally:
                self._interruptible = False
                if timeout is not None:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            reason = self._stop_reason()
            ending = _returned(value) if reason is None else stopped(reason, spec.timeout_seconds)
        except BaseException as error:
            ending = self._raised(error, spec.timeout_seconds)
        if restore:
            _restore_variables(restore)
        stdout, stderr = self._output.take()
        if stdout:
            ending.result.stdout_tail = stdout
        if stderr or ending.result.stderr_tail:
            ending.result.stderr_tail = _joined(stderr, ending.result.stderr_tail)
        return ending

    def _call(self, spec: task_pb2.TaskSpec, restore: dict[str, str | None]) -> Any:
        self._enter(spec.working_directory)
        if spec.envs:
            _set_variables(spec.envs, restore)
        function = self._resolve(spec.handler, spec.working_directory)
        value = function(json.loads(spec.payload) if spec.HasField("payload") else None)
        return self._await(value) if inspect.iscoroutine(value) else value

    def _stop_reason(self) -> StopReason | None:
        return self._stopped_by  # set by a signal handler, which no reader of `run` and no type checker sees

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        # A cancellation or a limit may come when its task is just over; it is then nobody's.
        if not self._interruptible or (signum == _CANCEL_SIGNAL and not self._cancel_requested):
            return
        self._interruptible = False
        self._stopped_by = "cancelled" if signum == _CANCEL_SIGNAL else "timed out"
        if self._stop_coroutine is not None:
            # An exception out of nowhere would end the event loop instead of the task in it.
            self._stop_coroutine()
            return
        raise TaskCancelled if signum == _CANCEL_SIGNAL else TaskTimedOut

    def _await(self, coroutine: Any) -> Any:
        # Few handlers need it, and it would be a good part of the worker's start.
        import asyncio

        task: asyncio.Task[Any] | None = None

        def stop() -> None:
            if task is not None:
                task.get_loop().call_soon_threadsafe(task.cancel)

        async def run() -> Any:
            nonlocal task
            task = asyncio.current_task()
            if self._stopped_by is not None:
                # Stopped before there was a task to cancel.
                coroutine.close()
                raise asyncio.CancelledError
            return await coroutine

        self._stop_coroutine = stop
        try:
            if self._runner is None:
                self._runner = asyncio.Runner()
            return self._runner.run(run())
        finally:
            self._stop_coroutine = None

    def _resolve(self, name: str, directory: str) -> Handler:
        """Import the function, or take it from the cache. Raises SpecError."""
        function = self._handlers.get((name, directory))
        if function is None:
            function = self._handlers[name, directory] = _import_handler(name)
        return function

    def _enter(self, directory: str) -> None:
        """Change to the task's working directory, or back home. Raises SpecError."""
        try:
            # Also when it is that of the task before, which may have changed it.
            os.chdir(directory or self._home)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise SpecError(
                f"task_spec.working_directory: given {directory or self._home!r}: {reason}; accepts a directory"
            ) from None
        if directory != self._directory:
            if self._directory and self._directory in sys.path:
                sys.path.remove(self._directory)
            self._directory = directory
            if directory:
                sys.path.insert(0, directory)

    def _raised(self, error: BaseException, timeout_seconds: float) -> Ending:
        if self._stopped_by is not None:
            # Whatever it made of the interruption, it did not end by itself.
            ending = stopped(self._stopped_by, timeout_seconds)
        elif isinstance(error, SpecError):
            ending = failed(str(error))
            if error.__cause__ is None:
                return ending
            error = error.__cause__
        elif isinstance(error, SystemExit):
            ending = failed(f"SystemExit: the handler called sys.exit({error.code!r})")
        else:
            ending = failed(_described(error))
        ending.result.stderr_tail = _traceback(error)
        return ending


def _import_handler(name: str) -> Handler:
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise SpecError(f"task_spec.handler: given {name!r}; accepts package.module:function")
    try:
        found: Any = importlib.import_module(module_name)
    except TaskInterrupted:
        raise
    except BaseException as error:
        raise SpecError(f"task_spec.handler: given {name!r}: {_described(error)}; {_ACCEPTS}") from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise SpecError(f"task_spec.handler: given {name!r}: {error}; {_ACCEPTS}") from None
    if not callable(found):
        kind = type(found).__name__
        raise SpecError(f"task_spec.handler: given {name!r}, which is not callable but of type {kind}; {_ACCEPTS}")
    handler: Handler = found
    return handler


def _returned(value: Any) -> Ending:
    if value is None:
        return Ending(COMPLETED, task_pb2.TaskResult())
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        return failed(f"the handler's return value cannot be stored as JSON: {error}")
    if size > MAX_RETURN_BYTES:
        return failed(f"the handler's return value is {size} bytes of JSON; accepts at most {MAX_RETURN_BYTES}")
    return Ending(COMPLETED, task_pb2.TaskResult(return_value=text))


def _described(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "(its text could not be made)"
    name = type(error).__qualname__
    return f"{name}: {text}" if text else name


def _traceback(error: BaseException) -> str:
    """Format a traceback from the handler's first frame on."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    try:
        return _joined(*traceback.format_exception(type(error), error, trace))
    except Exception:
        return ""


def _joined(*texts: str) -> str:
    """Put texts together to a tail that can be stored, whatever characters are in them."""
    tail = OutputTail()
    for text in texts:
        tail.write(text.encode("utf-8", "backslashreplace"))
    return tail.text()


def _set_variables(variables: Mapping[str, str], restore: dict[str, str | None]) -> None:
    for name, value in variables.items():
        restore[name] = os.environ.get(name)
        os.environ[name] = value


def _restore_variables(restore: Mapping[str, str | None]) -> None:
    for name, value in restore.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
