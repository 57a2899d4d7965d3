"""The stream client against a small coordinator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.agent_config import Coordinator
from mitosis_common.report_journal import ReportJournal
from mitosis_common.report_pump import ReportPump
from mitosis_common.token_file import Token
from mitosis_nodemgr.session import Session
from tests.unit.nodemgr.fake_coordinator import FakeCoordinator, fake_coordinator


class Holder:
    """Stands where the driver stands, and writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.rejections: list[str] = []
        self.pump: ReportPump | None = None

    def attach(self) -> stream.Attach:
        return stream.Attach(session_uuid="session", assignment_id=4)

    def attached(self, message: stream.Attached) -> None:
        self.heard.append("attached")
        if self.pump is not None:
            self.pump.attached([(task.task_uuid, task.attempt) for task in message.revoked_tasks])

    def received(self, message: stream.ConnectResponse) -> None:
        self.heard.append(str(message.WhichOneof("message")))
        if self.pump is not None and message.HasField("reports_acked"):
            self.pump.acknowledged(message.reports_acked.sequence)

    def disconnected(self) -> None:
        self.heard.append("disconnected")
        if self.pump is not None:
            self.pump.disconnected()

    def rejected(self, why: str) -> None:
        self.rejections.append(why)


@pytest.fixture
async def coordinator() -> AsyncIterator[FakeCoordinator]:
    async with fake_coordinator() as fake:
        yield fake


@pytest.fixture
def holder() -> Holder:
    return Holder()


@pytest.fixture
def token(tmp_path: Path) -> Token:
    path = tmp_path / "token"
    path.write_text("secret\n")
    path.chmod(0o600)
    return Token(path)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[ReportJournal]:
    journal = ReportJournal(tmp_path)
    yield journal
    journal.close()


@pytest.fixture
async def session(coordinator: FakeCoordinator, holder: Holder, token: Token) -> AsyncIterator[Session]:
    session = Session(Coordinator(stream_url=(coordinator.url,)), token, holder)
    running = asyncio.create_task(session.run())
    yield session
    session.leave("the test is over")
    await asyncio.wait_for(running, 5)


def reports(*names: str) -> list[stream.TaskReport]:
    return [stream.TaskReport(task_uuid=name, attempt=1) for name in names]


async def test_it_attaches_first_and_says_goodbye_last(
    coordinator: FakeCoordinator, holder: Holder, session: Session
) -> None:
    await coordinator.until(lambda: holder.heard)
    assert coordinator.attaches[0].session_uuid == "session"
    assert coordinator.tokens == ["Bearer secret"]
    coordinator.send(drain=stream.Drain())
    await coordinator.until(lambda: "drain" in holder.heard)
    session.leave("enough")
    await coordinator.until(lambda: "disconnected" in holder.heard)
    assert [message.reason for message in coordinator.messages("goodbye")] == ["enough"]


async def test_it_comes_back_and_sends_unacknowledged_reports_again(
    coordinator: FakeCoordinator, holder: Holder, session: Session, journal: ReportJournal
) -> None:
    holder.pump = ReportPump(lambda batch: session.send(stream.ConnectRequest(task_reports=batch)), journal)
    await coordinator.until(lambda: holder.heard)
    coordinator.acknowledge = False
    holder.pump.add(reports("a", "b"))
    await coordinator.until(lambda: coordinator.reports)
    coordinator.revoked = [("b", 1)]
    coordinator.acknowledge = True
    coordinator.drop()
    await coordinator.until(lambda: "disconnected" in holder.heard)
    holder.pump.add(reports("c"))
    began = time.monotonic()
    await coordinator.until(lambda: len(coordinator.attaches) == 2 and ("c", 1) in coordinator.reports)
    assert time.monotonic() - began < 2, "the first retry is quick"
    await coordinator.until(lambda: holder.pump is not None and not len(holder.pump))
    sent = [(batch.sequence, [r.task_uuid for r in batch.reports]) for batch in coordinator.messages("task_reports")]
    assert sent == [(1, ["a", "b"]), (1, ["a"]), (2, ["c"])]


async def test_reports_gather_while_a_batch_is_on_its_way(
    coordinator: FakeCoordinator, holder: Holder, session: Session, journal: ReportJournal
) -> None:
    holder.pump = ReportPump(lambda batch: session.send(stream.ConnectRequest(task_reports=batch)), journal)
    await coordinator.until(lambda: holder.heard)
    coordinator.acknowledge = False
    for number in range(100):
        holder.pump.add(reports(str(number)))
    await coordinator.until(lambda: len(coordinator.reports) == 100)
    assert [len(batch.reports) for batch in coordinator.messages("task_reports")] == [1, 99]


async def test_a_replaced_session_does_not_fight(
    coordinator: FakeCoordinator, holder: Holder, session: Session
) -> None:
    await coordinator.until(lambda: holder.heard)
    coordinator.refusal = (grpc.StatusCode.ABORTED, "SESSION_REPLACED", "a newer session")
    coordinator.drop()
    await coordinator.until(lambda: holder.rejections)
    assert "another process" in holder.rejections[0]
    assert len(coordinator.tokens) == 1


async def test_a_refused_token_is_tried_a_few_times(
    coordinator: FakeCoordinator, holder: Holder, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mitosis_common.stream.Backoff.__next__", lambda _: 0.01)
    coordinator.refusal = (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN", "the token was revoked")
    await asyncio.wait_for(Session(Coordinator(stream_url=(coordinator.url,)), token, holder).run(), 5)
    assert len(coordinator.tokens) == 3
    assert holder.rejections == ["the coordinator refuses this process: the token was revoked"]
    assert "secret" not in holder.rejections[0]


async def test_a_token_that_ends_soon_is_replaced(
    coordinator: FakeCoordinator, holder: Holder, token: Token, tmp_path: Path
) -> None:
    coordinator.token_expires_at = int(time.time()) - 1
    session = Session(Coordinator(stream_url=(coordinator.url,)), token, holder)
    running = asyncio.create_task(session.run())
    await coordinator.until(lambda: (tmp_path / "token").read_text() == "fresh-1\n")
    await asyncio.sleep(0.05)
    assert coordinator.refreshed == 1
    session.leave("")
    await asyncio.wait_for(running, 5)


async def test_a_coordinator_that_does_not_answer_is_passed_over(
    coordinator: FakeCoordinator, holder: Holder, token: Token
) -> None:
    dead = "grpc://127.0.0.1:1"
    session = Session(Coordinator(stream_url=(dead, coordinator.url, dead)), token, holder)
    running = asyncio.create_task(session.run())
    await coordinator.until(lambda: "attached" in holder.heard)
    session.leave("")
    await asyncio.wait_for(running, 5)


async def test_leaving_without_a_stream_is_quick(holder: Holder, token: Token) -> None:
    session = Session(Coordinator(stream_url=("grpc://127.0.0.1:1",)), token, holder)
    running = asyncio.create_task(session.run())
    await asyncio.sleep(0.2)
    session.leave("")
    await asyncio.wait_for(running, 2)
    assert holder.heard == []
