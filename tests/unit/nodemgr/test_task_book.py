"""The task book and the report ledger: nothing is lost, nothing is said twice."""

from __future__ import annotations

import signal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mitosis.ipc.v1 import worker_ipc_pb2 as ipc
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common import report_ledger as reports
from mitosis_common.report_ledger import Key, ReportLedger
from mitosis_nodemgr.deaths import Death
from mitosis_nodemgr.feed import Feed
from mitosis_nodemgr.task_book import Counters, Fate, Task, TaskBook

WORKERS = st.integers(0, 2)
FATES = st.sampled_from(Fate)


def assigned(*names: str) -> list[stream.AssignedTask]:
    return [stream.AssignedTask(task_uuid=name, attempt=1, task_spec=b"") for name in names]


def ended(task: Task, outcome: stream.TaskOutcome = stream.TASK_OUTCOME_COMPLETED) -> ipc.WorkerReport:
    report = ipc.WorkerReport(task_uuid=task.uuid, attempt=task.attempt, outcome=outcome)
    report.finished_at.seconds = 1
    return report


class EveryAttemptLeavesOnce(RuleBasedStateMachine):
    """Random deliveries, reports, deaths and orders; each attempt is somewhere, and leaves once."""

    def __init__(self) -> None:
        super().__init__()
        self.counters = Counters()
        self.book = TaskBook(1, self.counters)
        self.received: set[Key] = set()
        self.dropped: set[Key] = set()
        self.left: list[Key] = []

    @rule(count=st.integers(1, 5))
    def receive(self, count: int) -> None:
        tasks = assigned(*(f"t{len(self.received) + n}" for n in range(count)))
        self.book.receive(tasks)
        still_held = set(self.book.keys())
        self.book.receive([task for task in tasks if (task.task_uuid, 1) in still_held])
        self.received |= {(task.task_uuid, 1) for task in tasks}

    @rule(worker=WORKERS)
    def give(self, worker: int) -> None:
        if not self.book.held_by(worker):
            self.book.give(worker, 3, 0.0)

    @rule(worker=WORKERS, stopped=st.booleans())
    def end(self, worker: int, stopped: bool) -> None:
        for task in self.book.held_by(worker)[:1]:
            outcome = stream.TASK_OUTCOME_CANCELLED if stopped else stream.TASK_OUTCOME_COMPLETED
            self.book.end(worker, ended(task, outcome))
            self.book.end(worker, ended(task, outcome))

    @rule(worker=WORKERS, running=st.integers(0, 3), wanted=st.booleans())
    def die(self, worker: int, running: int, wanted: bool) -> None:
        held = self.book.held_by(worker)
        ordinal = held[running].ordinal if running < len(held) else None
        self.book.worker_ended(worker, Death(-signal.SIGSEGV, wanted=wanted), ordinal, 0.0)

    @precondition(lambda self: self.book.keys())
    @rule(data=st.data(), fate=FATES)
    def stop(self, data: st.DataObject, fate: Fate) -> None:
        keys = data.draw(st.lists(st.sampled_from(self.book.keys()), max_size=4))
        self.dropped |= set(keys) if fate is Fate.DROPPED else set()
        self.book.stop([*keys, ("unknown", 1)], fate, 0.0, 0.0)

    @rule(limit=st.one_of(st.none(), st.integers(0, 3)))
    def recall(self, limit: int | None) -> None:
        self.book.recall(limit)

    @precondition(lambda self: len(self.received) > 20)
    @rule(fate=st.sampled_from([Fate.CANCELLED, Fate.RETURNED]))
    def wind(self, fate: Fate) -> None:
        self.book.wind(fate, 0.0)

    @invariant()
    def accounts_balance(self) -> None:
        self.left += [(report.task_uuid, report.attempt) for report in self.book.take_reports()]
        self.left += self.book.take_returns()
        assert len(self.left) == len(set(self.left)), "said twice"
        held = set(self.book.keys())
        assert not held & set(self.left)
        assert self.received - held - set(self.left) <= self.dropped, "lost"
        assert not (set(self.left) & self.dropped), "said, though it belongs to somebody else"
        with_workers = sum(len(self.book.held_by(worker)) for worker in range(3))
        assert len(self.book) == self.book.waiting + with_workers


TestEveryAttemptLeavesOnce = EveryAttemptLeavesOnce.TestCase
TestEveryAttemptLeavesOnce.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_task_that_kills_its_workers_is_handed_back_with_its_history() -> None:
    book = TaskBook(9, Counters())
    book.receive(assigned("bad", "good"))
    for last_words in ("first", "second"):
        (task,) = book.give(0, 1, 0.0)
        assert task.uuid == "bad"
        death = Death(-signal.SIGSEGV, output_tail=last_words)
        assert book.worker_ended(0, death, task.ordinal, 5.5) is task
    (report,) = book.take_reports()
    assert (report.outcome, report.assignment_id) == (stream.TASK_OUTCOME_WORKER_DIED, 9)
    assert list(report.worker_deaths) == ["killed by SIGSEGV"] * 2
    assert report.result.error == "killed 2 workers, the last one killed by SIGSEGV"
    assert report.result.stderr_tail == "second"
    assert report.finished_at.seconds == 5
    assert [task.uuid for task in book.give(0, 1, 0.0)] == ["good"]


def test_a_suspect_travels_alone_and_innocents_go_first_in_their_order() -> None:
    book = TaskBook(1, Counters())
    book.time.add(0.0)
    book.time.spread_seconds = 0.0
    book.receive(assigned(*"abcdef"))
    batch = book.give(0, 1, 0.0)
    assert [task.uuid for task in batch] == list("abcdef")
    book.end(0, ended(batch[0]))
    book.time.spread_seconds = book.time.mean_seconds = 0.0
    book.worker_ended(0, Death(-signal.SIGSEGV), batch[2].ordinal, 0.0)
    assert [task.uuid for task in book.give(0, 1, 0.0)] == ["c"]
    assert [task.uuid for task in book.give(1, 1, 0.0)] == ["b", "d", "e", "f"]


def test_a_worker_that_leaves_charges_nobody() -> None:
    book = TaskBook(1, Counters())
    book.receive(assigned("a"))
    (task,) = book.give(0, 1, 0.0)
    assert book.worker_ended(0, Death(0), task.ordinal, 0.0) is None
    assert book.worker_ended(0, Death(-signal.SIGKILL, wanted=True), None, 0.0) is None
    assert (book.waiting, task.deaths) == (1, [])


async def test_a_report_is_kept_before_its_worker_is_answered_and_told_of_until_it_is_taken() -> None:
    kept: list[stream.TaskReport] = []
    feed = Feed(TaskBook(1, Counters()), kept.extend, lambda: None)
    feed.worker_started(0, 77)
    with feed.book() as book:
        book.receive(assigned("a", "b", "c"))
        (task,) = book.give(0, 3, 0.0)
    assert feed.exchange(ipc.WorkerRequest(worker_index=0, pid=77, reports=[ended(task)])) is not None
    assert [one.task_uuid for one in kept] == ["a"]
    with feed.book() as book:
        book.stop([("b", 1)], Fate.CANCELLED, 0.0, 0.0)
    assert [one.task_uuid for one in kept] == ["a", "b"]
    assert set(feed.unsettled()) == {("a", 1), ("b", 1), ("c", 1)}
    assert feed.take_reports() == kept
    assert feed.unsettled() == [("c", 1)]


def report(name: str, size: int = 0) -> stream.TaskReport:
    made = stream.TaskReport(task_uuid=name, attempt=1)
    made.result.stdout_tail = "x" * size
    return made


def test_reports_are_numbered_kept_and_sent_again() -> None:
    ledger = ReportLedger()
    for number in range(2500):
        ledger.add(report(str(number)))
    batches = list(iter(ledger.seal, None))
    assert [batch.sequence for batch in batches] == [1, 2, 3]
    assert [len(batch.reports) for batch in batches] == [1024, 1024, 452]
    ledger.acknowledge(2)
    ledger.acknowledge(1)
    assert ledger.unacknowledged() == batches[2:]
    assert len(ledger) == 452
    ledger.acknowledge(3)
    assert len(ledger) == 0
    assert ledger.unacknowledged() == []
    ledger.add(report("later"))
    sealed = ledger.seal()
    assert sealed is not None
    assert sealed.sequence == 4


def test_large_reports_make_small_batches() -> None:
    ledger = ReportLedger()
    for number in range(5):
        ledger.add(report(str(number), 1_200_000))
    assert [len(batch.reports) for batch in iter(ledger.seal, None)] == [2, 2, 1]


def test_a_full_ledger_says_so_and_keeps_everything() -> None:
    ledger = ReportLedger(max_reports=3)
    for name in "abcd":
        ledger.add(report(name))
    assert (ledger.is_full, [name for name, _ in ledger.attempts()]) == (True, list("abcd"))
    ledger.seal()
    ledger.acknowledge(1)
    assert (ledger.is_full, ledger.attempts()) == (False, [])
    by_size = ReportLedger(max_bytes=100)
    by_size.add(report("a", 200))
    assert by_size.is_full


def test_revoked_reports_are_forgotten_wherever_they_are() -> None:
    ledger = ReportLedger()
    for name in "ab":
        ledger.add(report(name))
    ledger.seal()
    ledger.add(report("c"))
    ledger.seal()
    ledger.add(report("d"))
    ledger.drop([("a", 1), ("c", 1), ("d", 1)])
    assert ledger.attempts() == [("b", 1)]
    assert [batch.sequence for batch in ledger.unacknowledged()] == [1]
    assert reports.MAX_BATCH_REPORTS == 1024, "the protocol's limit"
    ledger.clear()
    assert len(ledger) == 0
