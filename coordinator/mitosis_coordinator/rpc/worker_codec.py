"""The worker stream's messages between the wire and `sessions.messages`."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import assert_never

from mitosis.v1 import worker_service_pb2 as pb
from mitosis_coordinator.domain.rules import Rules
from mitosis_coordinator.rpc import task_codec as codec
from mitosis_coordinator.rpc.convert import optional_timestamp
from mitosis_coordinator.sessions import messages as msg
from mitosis_coordinator.storage.workers import WorkerIntroduction


async def decoded(requests: AsyncIterable[pb.ConnectWorkerRequest]) -> AsyncIterator[msg.WorkerIncoming]:
    """Decode a stream; a message of a kind that this version does not know is skipped.

    Raises:
        InvalidField: A message is malformed.
    """
    async for request in requests:
        kind = request.WhichOneof("message")
        if kind is not None:
            yield _DECODERS[kind](request)


def encoded(message: msg.WorkerOutgoing) -> pb.ConnectWorkerResponse:
    """Encode one message."""
    match message:
        case msg.TaskBatch():
            return pb.ConnectWorkerResponse(task_batch=codec.task_batch(message))
        case msg.ReportsAcked():
            return pb.ConnectWorkerResponse(reports_acked=codec.reports_acked(message))
        case msg.WorkerAttached():
            return pb.ConnectWorkerResponse(attached=_attached(message))
        case msg.CancelTasks():
            return pb.ConnectWorkerResponse(cancel_tasks=codec.cancel_tasks(message))
        case msg.Shutdown():
            return pb.ConnectWorkerResponse(shutdown=codec.shutdown(message))
        case _:
            assert_never(message)


def _attached(message: msg.WorkerAttached) -> pb.WorkerAttached:
    return pb.WorkerAttached(
        session_epoch=message.epoch,
        assignment_id=message.assignment_id,
        worker_uuid=str(message.worker_id),
        worker_name=message.worker_name,
        heartbeat_interval=codec.duration(message.heartbeat_interval),
        heartbeat_timeout=codec.duration(message.heartbeat_timeout),
        revoked_tasks=codec.refs(message.revoked),
        token_expires_at=optional_timestamp(message.token_expires_at),
    )


def _attach(request: pb.ConnectWorkerRequest) -> msg.WorkerAttach:
    message = request.attach
    rules = Rules()
    introduction = WorkerIntroduction(
        session_uuid=rules.uuid("attach.session_uuid", message.session_uuid),
        tags=rules.tags("attach.tags", message.tags),
        version=rules.text("attach.version", message.version, 255),
        hostname=rules.text("attach.hostname", message.hostname, 255),
    )
    held = frozenset(codec.attempts(rules, "attach.held_tasks", message.held_tasks))
    rules.raise_if_broken()
    return msg.WorkerAttach(introduction, held)


def _heartbeat(request: pb.ConnectWorkerRequest) -> msg.WorkerHeartbeat:
    return msg.WorkerHeartbeat(max(0, request.heartbeat.tasks_completed), max(0, request.heartbeat.tasks_failed))


_DECODERS: dict[str, Callable[[pb.ConnectWorkerRequest], msg.WorkerIncoming]] = {
    "attach": _attach,
    "heartbeat": _heartbeat,
    "task_credit": codec.task_credit,
    "task_reports": codec.task_reports,
    "tasks_started": codec.tasks_started,
    "task_return": codec.task_return,
    "goodbye": codec.goodbye,
}
