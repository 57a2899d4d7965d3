"""The loop against a holder that is only an object: reports, batches, cancellation, leaving."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis.v1 import task_pb2
from mitosis_common.marker import TaskMarker, TaskMarkerReader, create_marker
from mitosis_worker.comm import HolderGoneError
from mitosis_worker.executors.capture import CapturedOutput
from mitosis_worker.executors.command import CommandExecutor
from mitosis_worker.executors.ending import CANCELLED, COMPLETED, FAILED
from mitosis_worker.executors.handler import HandlerExecutor
from mitosis_worker.loop import WorkerLoop

# The default way to time tests out is the same timer and signal that stop a handler.
pytestmark = pytest.mark.timeout(30, method="thread")

HANDLERS = "tests.unit.worker.sample_handlers"
Report = worker_ipc_pb2.WorkerReport
Task = worker_ipc_pb2.WorkerTask


class FakeComm:
    """Hands out batches, and then an order to leave; notes when what was delivered."""

    def __init__(self, batches: Sequence[Sequence[Task]]) -> None:
        self._batches = list(batches)
        self._orders: list[worker_ipc_pb2.WorkerControl] = []
        self._wake = threading.Event()
        self._interrupted = threading.Event()
        self.wait_when_empty = False
        self.gone = False
        self.delivered: list[tuple[str, Report, float]] = []

    def fetch(self, reports: Sequence[Report]) -> worker_ipc_pb2.WorkerResponse | None:
        if self.gone:
            raise HolderGoneError
        self._deliver("fetch", reports)
        if self._batches:
            return worker_ipc_pb2.WorkerResponse(tasks=self._batches.pop(0))
        if self.wait_when_empty:
            self._interrupted.wait()
            return None
        return worker_ipc_pb2.WorkerResponse(leave=True)

    def report(self, reports: Sequence[Report]) -> None:
        self._deliver("report", reports)

    def _deliver(self, how: str, reports: Sequence[Report]) -> None:
        self.delivered += [(how, report, time.monotonic()) for report in reports]

    def order(self, *orders: worker_ipc_pb2.WorkerControl) -> None:
        self._orders += orders
        self._wake.set()

    def orders(self, timeout: float) -> list[worker_ipc_pb2.WorkerControl]:
        self._wake.wait(timeout)
        self._wake.clear()
        found, self._orders = self._orders, []
        return found

    def nudge(self) -> None:
        self._wake.set()

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        pass


class Harness:
    """A loop, and what it was given."""

    def __init__(self, marker: Path) -> None:
        self.commands = CommandExecutor(0.3)
        self.handlers = HandlerExecutor(CapturedOutput())
        self.defaults = task_pb2.TaskSpec()
        self.marker = TaskMarker(marker)
        self.comm = FakeComm([])

    def run(
        self, *batches: Sequence[Task], after: float = 0.0, then: Callable[[], None] | None = None, wait: bool = False
    ) -> list[Report]:
        """Run the loop on some batches; `then` is called `after` seconds."""
        self.comm = FakeComm(batches)
        self.comm.wait_when_empty = wait
        self.loop = WorkerLoop(self.comm, self.commands, self.handlers, self.marker, self.defaults)
        timer = threading.Timer(after, then) if then is not None else None
        if timer is not None:
            timer.start()
        self.loop.run()
        if timer is not None:
            timer.join()
        return [report for _, report, _ in self.comm.delivered]


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGALRM)}
    environment = dict(os.environ)
    create_marker(tmp_path / "marker")
    harness = Harness(tmp_path / "marker")
    yield harness
    harness.commands.close()
    harness.handlers.close()
    harness.marker.close()
    os.environ.clear()
    os.environ.update(environment)
    for number, handler in before.items():
        signal.signal(number, handler)


def task(uuid: str, handler: str = "echo", payload: str = "1", **fields: object) -> Task:
    spec = task_pb2.TaskSpec(handler=f"{HANDLERS}:{handler}", payload=payload, **fields)  # type: ignore[arg-type]
    return Task(task_uuid=uuid, attempt=1, task_spec=spec.SerializeToString())


def command(uuid: str, line: str) -> Task:
    return Task(task_uuid=uuid, attempt=2, task_spec=task_pb2.TaskSpec(command=line).SerializeToString())


def cancel(uuid: str) -> worker_ipc_pb2.WorkerControl:
    order = worker_ipc_pb2.WorkerControl.CancelTask(task_uuid=uuid, attempt=1)
    return worker_ipc_pb2.WorkerControl(cancel_task=order)


def test_reports_travel_with_the_next_fetch_in_order(harness: Harness) -> None:
    before = time.time()
    reports = harness.run([task("a"), task("b")], [], [command("c", "echo $MITOSIS_TASK_UUID $MITOSIS_TASK_ATTEMPT")])
    assert [report.task_uuid for report in reports] == ["a", "b", "c"]
    assert {report.outcome for report in reports} == {COMPLETED}
    assert {how for how, _, _ in harness.comm.delivered} == {"fetch"}
    assert reports[2].result.stdout_tail == "c 2\n"
    for report in reports:
        started, finished = report.started_at.ToDatetime().timestamp(), report.finished_at.ToDatetime().timestamp()
        assert started <= finished
    assert reports[0].started_at.ToNanoseconds() >= before * 1e9 - 1e6


def test_what_it_cannot_start_is_reported_failed(harness: Harness) -> None:
    empty = Task(task_uuid="a", attempt=1)
    broken = Task(task_uuid="b", attempt=1, task_spec=b"\xff\xff")
    reports = harness.run([empty, broken])
    assert [report.outcome for report in reports] == [FAILED, FAILED]
    assert "task_defaults" in reports[0].result.error
    assert "task_spec" in reports[1].result.error


def test_defaults_say_what_runs_a_task_that_only_has_a_payload(harness: Harness) -> None:
    harness.defaults = task_pb2.TaskSpec(handler=f"{HANDLERS}:echo")
    payload = task_pb2.TaskSpec(payload="[1]").SerializeToString()
    (report,) = harness.run([Task(task_uuid="a", attempt=1, task_spec=payload)])
    assert report.result.return_value == "[1]"


def test_a_report_does_not_wait_for_a_long_successor(harness: Harness) -> None:
    reports = harness.run([task("quick"), task("long", "sleep", "1")])
    assert [report.task_uuid for report in reports] == ["quick", "long"]
    (how, quick, delivered), (_, _, at_end) = harness.comm.delivered
    assert (how, quick.task_uuid) == ("report", "quick")
    assert at_end - delivered > 0.7


@pytest.mark.parametrize("running", [task("a", "sleep", "20"), task("a", "wait", "20")])
def test_cancel_stops_the_task_that_runs_and_no_other(harness: Harness, running: Task) -> None:
    reports = harness.run(
        [running, task("b")],
        after=0.2,
        then=lambda: harness.comm.order(cancel("a"), cancel("x")),
    )
    assert [report.outcome for report in reports] == [CANCELLED, COMPLETED]


def test_a_cancellation_whose_signal_went_unnoticed_is_repeated(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill, lost = signal.pthread_kill, [True, True]

    def unreliable(thread: int, number: int) -> None:
        if lost:
            lost.pop()
        else:
            kill(thread, number)

    monkeypatch.setattr(signal, "pthread_kill", unreliable)
    began = time.monotonic()
    reports = harness.run(
        [task("a", "sleep", "20"), task("b")], after=0.1, then=lambda: harness.comm.order(cancel("a"))
    )
    assert [report.outcome for report in reports] == [CANCELLED, COMPLETED]
    assert time.monotonic() - began < 5


def test_cancel_skips_a_task_that_is_still_to_come(harness: Harness) -> None:
    reports = harness.run(
        [task("a", "sleep", "0.4"), task("b")], after=0.1, then=lambda: harness.comm.order(cancel("b"))
    )
    assert [report.outcome for report in reports] == [COMPLETED, CANCELLED]
    assert reports[1].result.error == "cancelled before it started"


def test_leave_finishes_the_current_task_and_leaves_the_others_out(harness: Harness) -> None:
    order = worker_ipc_pb2.WorkerControl(worker_index=-1, leave=worker_ipc_pb2.WorkerControl.Leave())
    reports = harness.run([task("a", "sleep", "0.4"), task("b")], after=0.1, then=lambda: harness.comm.order(order))
    assert [report.task_uuid for report in reports] == ["a"]


def test_an_idle_worker_leaves_at_once_and_sends_again_what_may_not_have_arrived(harness: Harness) -> None:
    started = time.monotonic()
    reports = harness.run([task("a")], wait=True, after=0.3, then=lambda: harness.loop.leave())
    assert time.monotonic() - started < 1
    assert [report.task_uuid for report in reports] == ["a", "a"]


def test_it_ends_when_the_holder_is_gone(harness: Harness) -> None:
    harness.comm.gone = True
    loop = WorkerLoop(harness.comm, harness.commands, harness.handlers, harness.marker, harness.defaults)
    with pytest.raises(HolderGoneError):
        loop.run()


def test_the_marker_counts_all_tasks_that_were_handed_over(harness: Harness, tmp_path: Path) -> None:
    seen: list[int] = []
    with TaskMarkerReader(tmp_path / "marker") as reader:

        def look() -> None:
            running = reader.read()
            assert running is not None
            seen.append(running.ordinal)

        harness.run([task("a"), Task(task_uuid="b")], [task("c"), task("d", "sleep", "0.4")], after=0.2, then=look)
        assert reader.read() is None
    assert seen == [4]


def test_an_unexpected_end_of_the_thread_for_orders_ends_the_worker_loudly(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: FakeComm, _timeout: float) -> list[worker_ipc_pb2.WorkerControl]:
        time.sleep(0.1)
        raise ValueError("broken")

    monkeypatch.setattr(FakeComm, "orders", broken)
    with pytest.raises(ValueError, match="broken"):
        harness.run([task("a", "sleep", "0.2")], wait=True)
    assert [report.task_uuid for _, report, _ in harness.comm.delivered] == ["a"]
