"""Results on disk: what the coordinator has not acknowledged is there after a crash, whatever the disk does."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from structlog.testing import capture_logs

from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.report_journal import ReportJournal, decode, encode
from mitosis_common.report_ledger import ReportLedger


def report(name: str) -> stream.TaskReport:
    return stream.TaskReport(task_uuid=name, attempt=1, assignment_id=7)


def names(reports: list[stream.TaskReport]) -> list[str]:
    return [one.task_uuid for one in reports]


def found(directory: Path) -> list[str]:
    """What a process that starts now would find, without being one."""
    files = sorted(directory.glob("outbox.*"), key=lambda path: int(path.suffix[1:]))
    return [name for path in files for name in names(decode(path.read_bytes())[0])]


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


class Disk:
    """Takes every write, until it is told to be full."""

    def __init__(self) -> None:
        self.refuse: Callable[[bytes], int] | None = None
        self.now = 0.0
        self.asked = 0

    def write(self, file: int, data: bytes, offset: int) -> int:
        self.asked += 1
        taken = len(data) if self.refuse is None else self.refuse(data)
        return os.pwrite(file, data[:taken], offset)

    def journal(self, directory: Path) -> ReportJournal:
        return ReportJournal(directory, write=self.write, clock=lambda: self.now)


def test_a_record_that_is_torn_anywhere_costs_only_itself() -> None:
    whole, last = encode([report("a"), report("b")]), encode([report("c")])
    for cut in range(len(last)):
        reports, good = decode(whole + last[:cut])
        assert (names(reports), good) == (["a", "b"], len(whole))
    assert names(decode(whole + last)[0]) == ["a", "b", "c"]


def test_a_damaged_byte_anywhere_is_noticed() -> None:
    data = encode([report("a"), report("b"), report("c")])
    first = len(encode([report("a")]))
    for place in range(first, 2 * first):
        spoilt = bytearray(data)
        spoilt[place] ^= 0x40
        assert names(decode(bytes(spoilt))[0]) == ["a"]
    assert decode(data + bytes(4096)) == decode(data)


def test_the_next_process_finds_what_was_not_released(tmp_path: Path) -> None:
    journal = ReportJournal(tmp_path, segment_bytes=1)
    assert journal.recover() == []
    for name in "abcd":
        journal.append([report(name)])
    journal.release(2)
    again = ReportJournal(tmp_path)
    assert names(again.recover()) == ["c", "d"]
    again.append([report("e")])
    assert found(tmp_path) == ["c", "d", "e"]
    # Counted from the first one that it found.
    again.release(2)
    assert found(tmp_path) == ["e"]
    again.release(3)
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_acknowledged_takes_no_space(tmp_path: Path) -> None:
    journal = ReportJournal(tmp_path, segment_bytes=1000)
    journal.recover()
    for count in range(1, 500):
        journal.append([report(str(count))])
        journal.release(count - 10)
        assert size(tmp_path) < 2000
    journal.release(499)
    assert size(tmp_path) == 0
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())


def test_a_torn_file_is_read_up_to_there_and_goes_with_its_reports(tmp_path: Path) -> None:
    (tmp_path / "outbox.9").write_bytes(encode([report("a"), report("b")])[:-1])
    (tmp_path / "outbox.10").write_bytes(encode([report("c")]))
    (tmp_path / "intent.json").write_text("{}")
    with capture_logs() as logs:
        journal = ReportJournal(tmp_path)
        assert names(journal.recover()) == ["a", "c"]
    assert [line["event"] for line in logs] == ["outbox_damaged"]
    journal.append([report("d")])
    journal.release(3)
    assert [path.name for path in tmp_path.iterdir() if path.stat().st_size] == ["intent.json"]


def refuse_all(data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("refuse", [refuse_all, lambda data: len(data) - 1], ids=["no space", "space for a part"])
def test_a_full_disk_is_said_once_and_survived(tmp_path: Path, refuse: Callable[[bytes], int]) -> None:
    disk = Disk()
    journal = disk.journal(tmp_path)
    journal.recover()
    journal.append([report("a")])
    disk.refuse = refuse
    with capture_logs() as logs:
        for name in "bcd":
            journal.append([report(name)])
        assert disk.asked == 2, "one for the first report, one that failed"
        disk.now += 1.0
        journal.mend()
        assert disk.asked == 3
        assert found(tmp_path) == ["a"]
        disk.refuse = None
        journal.mend()
        assert disk.asked == 3, "not before another second"
        disk.now += 1.0
        journal.append([report("e")])
    assert found(tmp_path) == list("abcde")
    assert [line["event"] for line in logs] == ["outbox_not_written", "outbox_written_again"]


def test_what_was_acknowledged_while_the_disk_was_full_is_not_written(tmp_path: Path) -> None:
    disk = Disk()
    journal = disk.journal(tmp_path)
    journal.recover()
    disk.refuse = refuse_all
    for name in "abc":
        journal.append([report(name)])
    journal.release(2)
    disk.refuse, disk.now = None, 1.0
    journal.mend()
    assert found(tmp_path) == ["c"]


def test_a_disk_that_became_read_only_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = ReportJournal(tmp_path, segment_bytes=1)
    journal.recover()
    for name in "abc":
        journal.append([report(name)])

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", refuse)
    with capture_logs() as logs:
        journal.release(1)
        journal.release(3)
        journal.close()
    assert [line["event"] for line in logs] == ["outbox_not_deleted"] * 3
    monkeypatch.undo()
    # They are told of again, and the next process begins after them.
    again = ReportJournal(tmp_path)
    assert names(again.recover()) == ["a", "b", "c"]
    again.release(3)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_gone_is_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    journal = ReportJournal(tmp_path / "gone")
    assert journal.recover() == []
    with capture_logs() as logs:
        journal.append([report("a")])
    journal.close()
    assert [line["event"] for line in logs] == ["outbox_not_written"]


class NothingIsLost(RuleBasedStateMachine):
    """The ledger and the journal together, as a manager uses them."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.disk = Disk()
        self.given = 0
        self.outbox: list[stream.TaskReport] = []
        self._start([])

    def _start(self, expected: list[str]) -> None:
        self.journal = ReportJournal(self.directory, segment_bytes=60, write=self.disk.write)
        self.ledger = ReportLedger()
        recovered = self.journal.recover()
        for one in recovered:
            self.ledger.add(one)
        assert set(expected) <= set(names(recovered))

    def wanted(self) -> list[str]:
        return [name for name, _ in self.ledger.attempts()] + names(self.outbox)

    @rule(count=st.integers(1, 4))
    def keep(self, count: int) -> None:
        reports = [report(str(self.given + number)) for number in range(count)]
        self.given += count
        self.journal.append(reports)
        self.outbox += reports

    @rule(silent=st.booleans())
    def settle(self, silent: bool) -> None:
        taken, self.outbox = self.outbox, []
        if silent:
            self.ledger.skip(len(taken))
        else:
            for one in taken:
                self.ledger.add(one)
        self.journal.release(self.ledger.settled)

    @rule()
    def seal(self) -> None:
        self.ledger.seal()

    @precondition(lambda self: self.ledger.unacknowledged())
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        sequences = [batch.sequence for batch in self.ledger.unacknowledged()]
        self.ledger.acknowledge(data.draw(st.sampled_from(sequences)))
        self.journal.release(self.ledger.settled)

    @precondition(lambda self: self.ledger.attempts())
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        self.ledger.drop(data.draw(st.lists(st.sampled_from(self.ledger.attempts()), max_size=3)))
        self.journal.release(self.ledger.settled)

    @rule()
    def clear(self) -> None:
        self.ledger.clear()
        self.journal.release(self.ledger.settled)

    @rule()
    def crash(self) -> None:
        expected, self.outbox = self.wanted(), []
        self.journal.close()
        self._start(expected)

    @invariant()
    def everything_is_on_disk(self) -> None:
        on_disk = found(self.directory)
        assert [name for name in on_disk if name in set(self.wanted())] == self.wanted()

    def teardown(self) -> None:
        self.journal.close()
        for path in self.directory.iterdir():
            path.unlink()
        self.directory.rmdir()


TestNothingIsLost = NothingIsLost.TestCase
TestNothingIsLost.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
