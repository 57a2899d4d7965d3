"""The manager stream's messages between the wire and `sessions.messages`."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from datetime import UTC, datetime
from typing import assert_never

from mitosis.v1 import manager_pb2
from mitosis.v1 import manager_stream_pb2 as pb
from mitosis_coordinator.domain.hook import HookResult, HookType
from mitosis_coordinator.domain.manager import ManagerMetrics, ManagerState
from mitosis_coordinator.domain.plan import MAX_WORKERS
from mitosis_coordinator.domain.rules import Rules
from mitosis_coordinator.rpc import enums
from mitosis_coordinator.rpc.convert import hook_message, optional_timestamp, plan_message, task_spec
from mitosis_coordinator.rpc.task_codec import (
    attempts,
    cancel_tasks,
    duration,
    goodbye,
    moment,
    refs,
    reports_acked,
    shutdown,
    storable,
    task_batch,
    task_credit,
    task_reports,
    task_return,
    tasks_started,
)
from mitosis_coordinator.services.assignments import FinishReason
from mitosis_coordinator.sessions import messages as msg
from mitosis_coordinator.storage.managers import HookReport, Introduction


async def decoded(requests: AsyncIterable[pb.ConnectRequest]) -> AsyncIterator[msg.Incoming]:
    """Decode a stream; a message of a kind that this version does not know is skipped.

    Raises:
        InvalidField: A message is malformed.
    """
    async for request in requests:
        kind = request.WhichOneof("message")
        if kind is not None:
            yield _DECODERS[kind](request)


def encoded(message: msg.Outgoing) -> pb.ConnectResponse:
    """Encode one message."""
    match message:
        case msg.TaskBatch():
            return pb.ConnectResponse(task_batch=task_batch(message))
        case msg.ReportsAcked():
            return pb.ConnectResponse(reports_acked=reports_acked(message))
        case msg.Attached():
            return pb.ConnectResponse(attached=_attached(message))
        case msg.SuiteAssigned():
            return pb.ConnectResponse(suite_assigned=_suite_assigned(message))
        case msg.CancelTasks():
            return pb.ConnectResponse(cancel_tasks=cancel_tasks(message))
        case msg.RecallTasks():
            recall = pb.RecallTasks(assignment_id=message.assignment_id, max_tasks=message.count)
            return pb.ConnectResponse(recall_tasks=recall)
        case msg.CancelSuite():
            return pb.ConnectResponse(
                cancel_suite=pb.CancelSuite(
                    assignment_id=message.assignment_id,
                    cancel_running_tasks=message.running_too,
                    reason=message.reason,
                )
            )
        case msg.SuiteDrained():
            return pb.ConnectResponse(suite_drained=pb.SuiteDrained(assignment_id=message.assignment_id))
        case msg.ConfigUpdate():
            update = pb.ConfigUpdate(assignment_id=message.assignment_id, worker_count=message.worker_count)
            return pb.ConnectResponse(config_update=update)
        case msg.Shutdown():
            return pb.ConnectResponse(shutdown=shutdown(message))
        case _:
            assert_never(message)


def manager_metrics(message: manager_pb2.ManagerMetrics) -> ManagerMetrics:
    """Counters as a manager tells them."""
    return ManagerMetrics(
        active_workers=message.active_workers,
        tasks_completed=message.tasks_completed,
        tasks_failed=message.tasks_failed,
        prefetch_buffer_size=message.prefetch_buffer_size,
        worker_restarts=message.worker_restarts,
        prefetch_hits=message.prefetch_hits,
        prefetch_misses=message.prefetch_misses,
    )


def _attached(message: msg.Attached) -> pb.Attached:
    return pb.Attached(
        session_epoch=message.epoch,
        verdict=enums.VERDICT.number(message.verdict),
        manager_uuid=str(message.manager_id),
        manager_name=message.manager_name,
        heartbeat_interval=duration(message.heartbeat_interval),
        heartbeat_timeout=duration(message.heartbeat_timeout),
        server_time=optional_timestamp(datetime.now(UTC)),
        revoked_tasks=refs(message.revoked),
        token_expires_at=optional_timestamp(message.token_expires_at),
    )


def _suite_assigned(message: msg.SuiteAssigned) -> pb.SuiteAssigned:
    spec = message.suite.spec
    return pb.SuiteAssigned(
        assignment_id=message.assignment_id,
        suite_uuid=str(message.suite.id),
        suite_name=spec.name,
        group_name=message.suite.group_name,
        worker_schedule=plan_message(spec.plan),
        worker_count=message.worker_count,
        env_preparation=hook_message(spec.env_preparation),
        env_cleanup=hook_message(spec.env_cleanup),
        task_defaults=task_spec(spec.task_defaults),
    )


def _attach(request: pb.ConnectRequest) -> msg.Attach:
    message = request.attach
    rules = Rules()
    introduction = Introduction(
        session_uuid=rules.uuid("attach.session_uuid", message.session_uuid),
        tags=rules.tags("attach.tags", message.tags),
        max_workers=rules.integer("attach.max_workers", message.max_workers, 1, MAX_WORKERS),
        version=rules.text("attach.version", message.version, 255),
        hostname=rules.text("attach.hostname", message.hostname, 255),
    )
    held = frozenset(attempts(rules, "attach.held_tasks", message.held_tasks))
    state = enums.MANAGER_STATE.member(message.state) or ManagerState.IDLE
    rules.raise_if_broken()
    return msg.Attach(introduction, state, message.assignment_id, held)


def _heartbeat(request: pb.ConnectRequest) -> msg.Heartbeat:
    message = request.heartbeat
    return msg.Heartbeat(manager_metrics(message.metrics), moment(message, "sent_at"))


def _hook_report(request: pb.ConnectRequest) -> HookReport:
    message = request.hook_report
    return HookReport(
        assignment_id=message.assignment_id,
        hook_type=enums.HOOK_TYPE.member(message.hook_type) or HookType.PREPARATION,
        result=enums.HOOK_RESULT.member(message.result) or HookResult.FAILURE,
        exit_code=message.exit_code if message.HasField("exit_code") else None,
        error=storable(message.error),
        output_tail=storable(message.output_tail),
        started_at=moment(message, "started_at") or datetime.now(UTC),
        duration_seconds=message.duration_seconds,
    )


def _worker_failure(request: pb.ConnectRequest) -> msg.WorkerFailure:
    message = request.worker_failure
    return msg.WorkerFailure(message.assignment_id, message.worker_index, message.reason)


def _state_changed(request: pb.ConnectRequest) -> msg.StateChanged:
    message = request.state_changed
    state = enums.MANAGER_STATE.member(message.state) or ManagerState.IDLE
    return msg.StateChanged(message.assignment_id, state)


def _suite_finished(request: pb.ConnectRequest) -> msg.SuiteFinished:
    message = request.suite_finished
    reason = enums.FINISH_REASON.member(message.reason) or FinishReason.RELEASED
    return msg.SuiteFinished(message.assignment_id, reason)


_DECODERS: dict[str, Callable[[pb.ConnectRequest], msg.Incoming]] = {
    "attach": _attach,
    "heartbeat": _heartbeat,
    "task_credit": task_credit,
    "task_reports": task_reports,
    "tasks_started": tasks_started,
    "task_return": task_return,
    "hook_report": _hook_report,
    "worker_failure": _worker_failure,
    "state_changed": _state_changed,
    "suite_finished": _suite_finished,
    "goodbye": goodbye,
}
