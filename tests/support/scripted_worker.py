"""An independent worker that does what a test says, on the real stream with the plain generated stubs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import grpc.aio
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from mitosis.v1 import manager_stream_pb2 as pb
from mitosis.v1 import task_pb2, worker_service_pb2, worker_service_pb2_grpc
from tests.support.coordinator import bearer
from tests.support.scripted_manager import COMPLETED, PATIENCE_SECONDS, Attempt


class ScriptedWorker:
    """One worker process; `attach` after `drop` is its reconnect, `restart` a new process of the same worker."""

    def __init__(self, channel: grpc.aio.Channel, name: str, identifier: str, token: str) -> None:
        self.name = name
        self.uuid = identifier
        self.token = token
        self.tags: list[str] = []
        self.session_uuid = str(uuid.uuid4())
        self.assignment_id = 0
        self._stub: worker_service_pb2_grpc.WorkerServiceAsyncStub = worker_service_pb2_grpc.WorkerServiceStub(channel)
        self._call: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._inbox: list[worker_service_pb2.ConnectWorkerResponse] = []
        self._arrived = asyncio.Condition()
        self._ended: grpc.aio.AioRpcError | bool | None = False
        self._sequence = 0
        self._granted = 0

    async def attach(self, held: Sequence[Attempt] = ()) -> worker_service_pb2.WorkerAttached:
        """Open a stream and say what is held."""
        self._call = self._stub.ConnectWorker(metadata=bearer(self.token))
        self._inbox.clear()
        self._ended = False
        self._granted = 0
        self._reader = asyncio.create_task(self._read(self._call))
        await self.send(
            attach=worker_service_pb2.WorkerAttach(
                session_uuid=self.session_uuid,
                held_tasks=[pb.TaskAttempt(task_uuid=one.task_uuid, attempt=one.attempt) for one in held],
                tags=self.tags,
                version="0",
                hostname="nowhere",
            )
        )
        attached: worker_service_pb2.WorkerAttached = await self.receive("attached")
        self.assignment_id = attached.assignment_id
        return attached

    async def drop(self) -> None:
        """Lose the connection, without a word."""
        if self._reader is None:
            return
        self._call.cancel()
        await self._reader
        self._reader = None

    def restart(self) -> None:
        """Be a new process, which knows nothing."""
        self.session_uuid = str(uuid.uuid4())
        self._sequence = 0

    async def send(self, **message: Message) -> None:
        """Send one message, by the name of its field."""
        await self._call.write(worker_service_pb2.ConnectWorkerRequest(**message))  # type: ignore[arg-type]

    async def receive(self, kind: str) -> Any:
        """The next message of a kind; others wait for their turn."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._arrived:
            while True:
                for place, message in enumerate(self._inbox):
                    if message.WhichOneof("message") == kind:
                        del self._inbox[place]
                        return getattr(message, kind)
                if self._ended is not False:
                    raise AssertionError(f"{self.name}: the stream ended before {kind}: {self._ended}")
                await self._arrived.wait()

    def waiting(self, kind: str) -> int:
        """How many messages of a kind arrived and were not received."""
        return sum(message.WhichOneof("message") == kind for message in self._inbox)

    async def ended(self) -> grpc.aio.AioRpcError | None:
        """Wait for the coordinator to end the stream; the error it ended with."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._arrived:
            while self._ended is False:
                await self._arrived.wait()
        assert not isinstance(self._ended, bool)
        return self._ended

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

    async def report(self, attempts: Iterable[Attempt], outcome: Any = COMPLETED, *, error: str = "") -> list[str]:
        """Report attempts and wait for the acknowledgement; the tasks whose report was stale."""
        self._sequence += 1
        sequence = self._sequence
        now = Timestamp()
        now.GetCurrentTime()
        result = task_pb2.TaskResult(exit_code=0 if outcome == COMPLETED else 1, error=error)
        reports = [
            pb.TaskReport(
                task_uuid=one.task_uuid,
                attempt=one.attempt,
                assignment_id=self.assignment_id,
                outcome=outcome,
                result=result,
                started_at=now,
                finished_at=now,
                worker_deaths=["killed by SIGKILL"] if outcome == pb.TASK_OUTCOME_WORKER_DIED else [],
            )
            for one in attempts
        ]
        await self.send(task_reports=pb.TaskReports(sequence=sequence, reports=reports))
        while True:
            acked: pb.ReportsAcked = await self.receive("reports_acked")
            if acked.sequence >= sequence:
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

    async def beat(self, completed: int, failed: int) -> None:
        """Send a heartbeat with counters."""
        beat = worker_service_pb2.WorkerHeartbeat(tasks_completed=completed, tasks_failed=failed)
        await self.send(heartbeat=beat)

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
