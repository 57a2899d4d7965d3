"""A coordinator of a few lines: one stream, one suite, tasks against credit, and a record of all that was said."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from mitosis.v1 import manager_service_pb2, manager_service_pb2_grpc, task_pb2
from mitosis.v1 import manager_stream_pb2 as stream

MANAGER_UUID = "0198c0de-0000-7000-8000-00000000beef"
Key = tuple[str, int]


class FakeCoordinator(manager_service_pb2_grpc.ManagerServiceServicer):
    """Answers `Connect` as the protocol says, unless a test tells it otherwise."""

    def __init__(self) -> None:
        self.said: list[stream.ConnectRequest] = []
        self.attaches: list[stream.Attach] = []
        self.reports: dict[Key, list[stream.TaskReport]] = {}
        self.returned: list[Key] = []
        self.tokens: list[str] = []
        self.tasks: deque[stream.AssignedTask] = deque()
        self.acknowledge = True
        self.verdict: stream.AttachVerdict | None = None
        self.revoked: list[Key] = []
        self.refusal: tuple[grpc.StatusCode, str, str] | None = None
        self.token_expires_at = 0
        self.refreshed = 0
        self.live: set[int] = set()
        self._assignment = 0
        self._sent = 0
        self._granted = 0
        self._epoch = 0
        self._outbox: asyncio.Queue[stream.ConnectResponse | None] | None = None
        self._news = asyncio.Event()
        self._server = grpc.aio.server()
        manager_service_pb2_grpc.add_ManagerServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    async def __aenter__(self) -> FakeCoordinator:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drop()
        await self._server.stop(0.5)

    @property
    def url(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def send(self, **message: Any) -> None:
        assert self._outbox is not None, "no manager is attached"
        self._outbox.put_nowait(stream.ConnectResponse(**message))

    def assign(self, suite: stream.SuiteAssigned) -> None:
        self._assignment = suite.assignment_id
        self.live.add(suite.assignment_id)
        self._sent = self._granted = 0
        self.send(suite_assigned=suite)

    def submit(self, tasks: list[tuple[str, task_pb2.TaskSpec]], attempt: int = 1) -> None:
        self.tasks.extend(
            stream.AssignedTask(task_uuid=uuid, attempt=attempt, task_spec=spec.SerializeToString())
            for uuid, spec in tasks
        )
        self._dispatch()

    def drop(self) -> None:
        """Ends the stream as a coordinator does that goes down."""
        if self._outbox is not None:
            self._outbox.put_nowait(None)

    def messages(self, kind: str) -> list[Any]:
        return [getattr(message, kind) for message in self.said if message.WhichOneof("message") == kind]

    async def until(self, condition: Callable[[], object], timeout: float = 15.0) -> None:
        """Waits until the condition holds, looking at it after each message."""
        async with asyncio.timeout(timeout):
            while not condition():
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), 0.1)

    async def RefreshToken(  # noqa: N802
        self, request: manager_service_pb2.RefreshTokenRequest, context: Any
    ) -> manager_service_pb2.RefreshTokenResponse:
        self.refreshed += 1
        self.token_expires_at += 30 * 86400
        expires = Timestamp(seconds=self.token_expires_at)
        return manager_service_pb2.RefreshTokenResponse(token=f"fresh-{self.refreshed}", token_expires_at=expires)

    async def Connect(  # noqa: N802
        self, request_iterator: AsyncIterator[stream.ConnectRequest], context: Any
    ) -> AsyncIterator[stream.ConnectResponse]:
        self.tokens.append(dict(context.invocation_metadata()).get("authorization", ""))
        if self.refusal is not None:
            await context.abort_with_status(_status(*self.refusal))
        attach = (await anext(request_iterator)).attach
        self.attaches.append(attach)
        outbox: asyncio.Queue[stream.ConnectResponse | None] = asyncio.Queue()
        self._outbox = outbox
        self._epoch += 1
        self._sent = self._granted = 0
        yield stream.ConnectResponse(attached=self._attached(attach))
        reader = asyncio.create_task(self._read(request_iterator, outbox))
        self._news.set()
        try:
            while (message := await outbox.get()) is not None:
                yield message
        finally:
            reader.cancel()
            if self._outbox is outbox:
                self._outbox = None
            self._news.set()
        if self.refusal is not None:
            await context.abort_with_status(_status(*self.refusal))

    def _attached(self, attach: stream.Attach) -> stream.Attached:
        verdict = self.verdict
        if verdict is None:
            held = attach.assignment_id
            verdict = (
                stream.ATTACH_VERDICT_IDLE
                if not held
                else stream.ATTACH_VERDICT_RESUME
                if held in self.live
                else stream.ATTACH_VERDICT_ABORT
            )
        attached = stream.Attached(
            session_epoch=self._epoch,
            verdict=verdict,
            manager_uuid=MANAGER_UUID,
            manager_name="fake",
            revoked_tasks=[stream.TaskAttempt(task_uuid=uuid, attempt=attempt) for uuid, attempt in self.revoked],
        )
        attached.heartbeat_interval.seconds = 30
        attached.token_expires_at.seconds = self.token_expires_at
        return attached

    async def _read(
        self,
        requests: AsyncIterator[stream.ConnectRequest],
        outbox: asyncio.Queue[stream.ConnectResponse | None],
    ) -> None:
        async for message in requests:
            self.said.append(message)
            match message.WhichOneof("message"):
                case "task_reports":
                    for report in message.task_reports.reports:
                        self.reports.setdefault((report.task_uuid, report.attempt), []).append(report)
                    if self.acknowledge:
                        acked = stream.ReportsAcked(sequence=message.task_reports.sequence)
                        outbox.put_nowait(stream.ConnectResponse(reports_acked=acked))
                case "task_credit":
                    self._granted = message.task_credit.granted_total
                    self._dispatch()
                case "task_return":
                    self.returned += [(task.task_uuid, task.attempt) for task in message.task_return.tasks]
                case "suite_finished":
                    self.live.discard(message.suite_finished.assignment_id)
                case "goodbye":
                    outbox.put_nowait(None)
            self._news.set()
        outbox.put_nowait(None)

    def _dispatch(self) -> None:
        room = self._granted - self._sent
        if room <= 0 or not self.tasks or self._outbox is None:
            return
        batch = [self.tasks.popleft() for _ in range(min(room, len(self.tasks)))]
        self._sent += len(batch)
        self.send(task_batch=stream.TaskBatch(assignment_id=self._assignment, tasks=batch))


def fake_coordinator() -> FakeCoordinator:
    # The calls that no manager makes stay as grpc's base class has them: unimplemented.
    return FakeCoordinator()  # type: ignore[abstract]


def _status(code: grpc.StatusCode, reason: str, message: str) -> Any:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(domain="mitosis", reason=reason))
    number = code_pb2.Code.Value(code.name)
    return rpc_status.to_status(status_pb2.Status(code=number, message=message, details=[detail]))
