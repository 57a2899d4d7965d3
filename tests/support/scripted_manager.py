"""A node manager that does what a test says, on the real stream with the plain generated stubs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import grpc.aio
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from mitosis.v1 import hook_pb2, manager_pb2, manager_service_pb2_grpc, task_pb2
from mitosis.v1 import manager_stream_pb2 as pb
from tests.support.coordinator import bearer

IDLE = manager_pb2.NODE_MANAGER_STATE_IDLE
PREPARING = manager_pb2.NODE_MANAGER_STATE_PREPARING
EXECUTING = manager_pb2.NODE_MANAGER_STATE_EXECUTING
CLEANING = manager_pb2.NODE_MANAGER_STATE_CLEANING

COMPLETED = pb.TASK_OUTCOME_COMPLETED
FAILED = pb.TASK_OUTCOME_FAILED
TIMED_OUT = pb.TASK_OUTCOME_TIMED_OUT
CANCELLED = pb.TASK_OUTCOME_CANCELLED
WORKER_DIED = pb.TASK_OUTCOME_WORKER_DIED

PATIENCE_SECONDS = 10.0


class Attempt(Protocol):
    """Whatever names one hand-out of one task."""

    @property
    def task_uuid(self) -> str: ...

    @property
    def attempt(self) -> int: ...


class ScriptedManager:
    """One manager process; `attach` after `drop` is its reconnect, `restart` a new process on the same machine."""

    patience_seconds = PATIENCE_SECONDS

    def __init__(
        self, channel: grpc.aio.Channel, name: str, identifier: str, token: str, tags: Iterable[str], max_workers: int
    ) -> None:
        self.name = name
        self.uuid = identifier
        self.token = token
        self.tags = list(tags)
        self.max_workers = max_workers
        self.session_uuid = str(uuid.uuid4())
        # What it holds, to be told at the next `attach`.
        self.assignment_id = 0
        self.state: Any = IDLE
        self._stub: manager_service_pb2_grpc.ManagerServiceAsyncStub
        self.turn_to(channel)
        self._call: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._inbox: list[pb.ConnectResponse] = []
        self._arrived = asyncio.Condition()
        self._ended: grpc.aio.AioRpcError | bool | None = False
        self._sequence = 0
        self._granted = 0

    async def attach(self, held: Sequence[Attempt] = ()) -> pb.Attached:
        """Open a stream and say what is held."""
        self._call = self._stub.Connect(metadata=bearer(self.token))
        self._inbox.clear()
        self._ended = False
        self._granted = 0
        self._reader = asyncio.create_task(self._read(self._call))
        await self.send(
            attach=pb.Attach(
                session_uuid=self.session_uuid,
                assignment_id=self.assignment_id,
                state=self.state,
                held_tasks=[pb.TaskAttempt(task_uuid=one.task_uuid, attempt=one.attempt) for one in held],
                tags=self.tags,
                max_workers=self.max_workers,
                version="0",
                hostname="nowhere",
            )
        )
        attached: pb.Attached = await self.receive("attached")
        return attached

    async def drop(self) -> None:
        """Lose the connection, without a word."""
        if self._reader is None:
            return
        self._call.cancel()
        await self._reader
        self._reader = None

    def turn_to(self, channel: grpc.aio.Channel) -> None:
        """Attach to another coordinator the next time."""
        self._stub = manager_service_pb2_grpc.ManagerServiceStub(channel)

    def restart(self, *, remembers: bool = False) -> None:
        """Be a new process, which knows nothing, or else what the one before it was killed with."""
        self.session_uuid = str(uuid.uuid4())
        self.assignment_id = self.assignment_id if remembers else 0
        self.state = CLEANING if remembers else IDLE
        self._sequence = 0

    async def send(self, **message: Message) -> None:
        """Send one message, by the name of its field."""
        await self._call.write(pb.ConnectRequest(**message))  # type: ignore[arg-type]

    async def receive(self, kind: str) -> Any:
        """The next message of a kind; others wait for their turn."""
        async with asyncio.timeout(self.patience_seconds), self._arrived:
            while True:
                for place, message in enumerate(self._inbox):
                    if message.WhichOneof("message") == kind:
                        del self._inbox[place]
                        return getattr(message, kind)
                if self._ended is not False:
                    raise AssertionError(f"{self.name}: the stream ended before {kind}: {self._ended}")
                await self._arrived.wait()

    def arrived(self) -> list[pb.AssignedTask]:
        """The tasks that arrived and were not received."""
        return [task for message in self._inbox for task in message.task_batch.tasks]

    def waiting(self, kind: str) -> int:
        """How many messages of a kind arrived and were not received."""
        return sum(message.WhichOneof("message") == kind for message in self._inbox)

    async def ended(self) -> grpc.aio.AioRpcError | None:
        """Wait for the coordinator to end the stream; the error it ended with."""
        async with asyncio.timeout(self.patience_seconds), self._arrived:
            while self._ended is False:
                await self._arrived.wait()
        assert not isinstance(self._ended, bool)
        return self._ended

    async def take(self) -> pb.SuiteAssigned:
        """Receive a suite and begin to prepare it."""
        assigned: pb.SuiteAssigned = await self.receive("suite_assigned")
        self.assignment_id = assigned.assignment_id
        await self.become(PREPARING)
        return assigned

    async def become(self, state: Any) -> None:
        """Enter a state."""
        self.state = state
        await self.send(state_changed=pb.StateChanged(assignment_id=self.assignment_id, state=state))

    async def start(self) -> pb.SuiteAssigned:
        """Receive a suite, prepare it with success, and execute it."""
        assigned = await self.take()
        await self.become(EXECUTING)
        return assigned

    async def grant(self, more: int) -> None:
        """Let the coordinator send some more tasks."""
        self._granted += more
        await self.send(task_credit=pb.TaskCredit(assignment_id=self.assignment_id, granted_total=self._granted))

    async def tasks(self, count: int) -> list[pb.AssignedTask]:
        """Receive exactly so many tasks, in however many batches."""
        received: list[pb.AssignedTask] = []
        while len(received) < count:
            batch = await self.receive("task_batch")
            assert batch.assignment_id == self.assignment_id
            received += batch.tasks
        assert len(received) == count
        return received

    async def fetch(self, count: int) -> list[pb.AssignedTask]:
        """Grant credit for some tasks and receive them."""
        await self.grant(count)
        return await self.tasks(count)

    def reports(
        self,
        attempts: Iterable[Attempt],
        outcome: Any = COMPLETED,
        *,
        error: str = "",
        worker_deaths: Sequence[str] = (),
        return_value: str | None = None,
    ) -> pb.TaskReports:
        """A numbered batch of reports, not yet sent."""
        self._sequence += 1
        now = Timestamp()
        now.GetCurrentTime()
        result = task_pb2.TaskResult(
            exit_code=0 if outcome == COMPLETED else 1, error=error, stdout_tail="out", return_value=return_value
        )
        return pb.TaskReports(
            sequence=self._sequence,
            reports=[
                pb.TaskReport(
                    task_uuid=one.task_uuid,
                    attempt=one.attempt,
                    assignment_id=self.assignment_id,
                    outcome=outcome,
                    result=result,
                    started_at=now,
                    finished_at=now,
                    worker_deaths=worker_deaths,
                )
                for one in attempts
            ],
        )

    async def deliver(self, reports: pb.TaskReports) -> pb.ReportsAcked:
        """Send a batch of reports and wait until it is acknowledged."""
        await self.send(task_reports=reports)
        while True:
            acked: pb.ReportsAcked = await self.receive("reports_acked")
            if acked.sequence >= reports.sequence:
                return acked

    async def report(self, attempts: Iterable[Attempt], outcome: Any = COMPLETED, **result: Any) -> list[str]:
        """Report attempts and wait for the acknowledgement; the tasks whose report was stale."""
        acked = await self.deliver(self.reports(attempts, outcome, **result))
        return [one.task_uuid for one in acked.stale]

    async def started(self, attempts: Iterable[Attempt]) -> None:
        """Say that attempts have been running for a while."""
        now = Timestamp()
        now.GetCurrentTime()
        starts = [pb.TaskStart(task_uuid=one.task_uuid, attempt=one.attempt, started_at=now) for one in attempts]
        await self.send(tasks_started=pb.TasksStarted(assignment_id=self.assignment_id, starts=starts))

    async def hand_back(self, attempts: Iterable[Attempt]) -> None:
        """Return attempts that were not started."""
        refs = [pb.TaskAttempt(task_uuid=one.task_uuid, attempt=one.attempt) for one in attempts]
        await self.send(task_return=pb.TaskReturn(assignment_id=self.assignment_id, tasks=refs))

    async def hook_ended(
        self,
        result: Any = hook_pb2.HOOK_RESULT_SUCCESS,
        hook_type: Any = hook_pb2.HOOK_TYPE_PREPARATION,
        *,
        error: str = "",
        output_tail: str = "",
    ) -> None:
        """Report how a hook ended."""
        now = Timestamp()
        now.GetCurrentTime()
        await self.send(
            hook_report=pb.HookReport(
                assignment_id=self.assignment_id,
                hook_type=hook_type,
                result=result,
                exit_code=0 if result == hook_pb2.HOOK_RESULT_SUCCESS else 1,
                error=error,
                output_tail=output_tail,
                started_at=now,
                duration_seconds=0.25,
            )
        )

    async def finish(self, reason: Any = pb.FINISH_REASON_RELEASED) -> None:
        """Let go of the suite."""
        assignment_id, self.assignment_id, self._granted = self.assignment_id, 0, 0
        await self.send(suite_finished=pb.SuiteFinished(assignment_id=assignment_id, reason=reason))
        await self.become(IDLE)

    async def fail_preparation(self, error: str = "exit code 1") -> pb.SuiteAssigned:
        """Receive a suite, fail to prepare it, and let go."""
        assigned = await self.take()
        await self.hook_ended(hook_pb2.HOOK_RESULT_FAILURE, error=error, output_tail="no such file")
        await self.finish(pb.FINISH_REASON_PREPARATION_FAILED)
        return assigned

    async def goodbye(self) -> None:
        """Leave on purpose."""
        await self.send(goodbye=pb.Goodbye(reason="maintenance"))
        assert await self.ended() is None

    async def _read(self, call: Any) -> None:
        ended: grpc.aio.AioRpcError | None = None
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                async with self._arrived:
                    self._inbox.append(message)
                    self._arrived.notify_all()
            code = await call.code()
            assert code is grpc.StatusCode.OK
        except grpc.aio.AioRpcError as error:
            ended = error
        except asyncio.CancelledError:
            # The test dropped the call; only a cancelled reader would be cancelled otherwise.
            pass
        async with self._arrived:
            self._ended = ended
            self._arrived.notify_all()
