"""The manager stream's messages between the wire and `sessions.messages`."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from typing import assert_never

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mitosis.v1 import manager_pb2, task_pb2
from mitosis.v1 import manager_stream_pb2 as pb
from mitosis_coordinator.domain.errors import InvalidField
from mitosis_coordinator.domain.hook import HookResult, HookType
from mitosis_coordinator.domain.manager import ManagerMetrics, ManagerState
from mitosis_coordinator.domain.plan import MAX_WORKERS
from mitosis_coordinator.domain.rules import Rules
from mitosis_coordinator.domain.task import AttemptRef, Outcome, Report, TaskResult
from mitosis_coordinator.rpc import enums
from mitosis_coordinator.rpc.convert import hook_message, optional_timestamp, plan_message, task_spec
from mitosis_coordinator.services.assignments import FinishReason
from mitosis_coordinator.sessions import messages as msg
from mitosis_coordinator.storage.managers import HookReport, Introduction

_MAX_REPORTS = 1024


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
            return pb.ConnectResponse(
                task_batch=pb.TaskBatch(
                    assignment_id=message.assignment_id,
                    tasks=[
                        pb.AssignedTask(task_uuid=task.task_id, attempt=task.attempt, task_spec=task.spec)
                        for task in message.tasks
                    ],
                )
            )
        case msg.ReportsAcked():
            acked = pb.ReportsAcked(sequence=message.sequence, stale=_refs(message.stale))
            return pb.ConnectResponse(reports_acked=acked)
        case msg.Attached():
            return pb.ConnectResponse(attached=_attached(message))
        case msg.SuiteAssigned():
            return pb.ConnectResponse(suite_assigned=_suite_assigned(message))
        case msg.CancelTasks():
            cancel = pb.CancelTasks(assignment_id=message.assignment_id, tasks=_refs(message.refs))
            return pb.ConnectResponse(cancel_tasks=cancel)
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
            return pb.ConnectResponse(shutdown=pb.Shutdown(graceful=message.graceful, reason=message.reason))
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
    interval, timeout = Duration(), Duration()
    interval.FromTimedelta(message.heartbeat_interval)
    timeout.FromTimedelta(message.heartbeat_timeout)
    return pb.Attached(
        session_epoch=message.epoch,
        verdict=enums.VERDICT.number(message.verdict),
        manager_uuid=str(message.manager_id),
        manager_name=message.manager_name,
        heartbeat_interval=interval,
        heartbeat_timeout=timeout,
        server_time=optional_timestamp(datetime.now(UTC)),
        revoked_tasks=_refs(message.revoked),
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


def _refs(refs: Iterable[AttemptRef]) -> list[pb.TaskAttempt]:
    return [pb.TaskAttempt(task_uuid=ref.task_id, attempt=ref.attempt) for ref in refs]


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
    held = frozenset(_attempts(rules, "attach.held_tasks", message.held_tasks))
    state = enums.MANAGER_STATE.member(message.state) or ManagerState.IDLE
    rules.raise_if_broken()
    return msg.Attach(introduction, state, message.assignment_id, held)


def _heartbeat(request: pb.ConnectRequest) -> msg.Heartbeat:
    message = request.heartbeat
    return msg.Heartbeat(manager_metrics(message.metrics), _moment(message, "sent_at"))


def _task_credit(request: pb.ConnectRequest) -> msg.TaskCredit:
    return msg.TaskCredit(request.task_credit.assignment_id, request.task_credit.granted_total)


def _task_reports(request: pb.ConnectRequest) -> msg.TaskReports:
    message = request.task_reports
    if len(message.reports) > _MAX_REPORTS:
        accepts = f"at most {_MAX_REPORTS}"
        raise InvalidField.one("task_reports.reports", f"{len(message.reports)} of them", accepts)
    rules = Rules()
    reports = tuple(_report(rules, f"task_reports.reports[{index}]", one) for index, one in enumerate(message.reports))
    rules.raise_if_broken()
    return msg.TaskReports(message.sequence, reports)


def _report(rules: Rules, field: str, report: pb.TaskReport) -> Report:
    rules.uuid(f"{field}.task_uuid", report.task_uuid)
    return Report(
        task_id=report.task_uuid,
        attempt=report.attempt,
        assignment_id=report.assignment_id,
        outcome=enums.OUTCOME.member(report.outcome) or Outcome.FAILED,
        result=_result(report.result),
        started_at=_moment(report, "started_at"),
        finished_at=_moment(report, "finished_at"),
        worker_deaths=tuple(_storable(death) for death in report.worker_deaths),
    )


def _result(result: task_pb2.TaskResult) -> TaskResult:
    return TaskResult(
        exit_code=result.exit_code if result.HasField("exit_code") else None,
        error=_storable(result.error),
        stdout_tail=_storable(result.stdout_tail),
        stderr_tail=_storable(result.stderr_tail),
        return_value=_storable(result.return_value) if result.HasField("return_value") else None,
    )


def _tasks_started(request: pb.ConnectRequest) -> msg.TasksStarted:
    message = request.tasks_started
    rules = Rules()
    starts = tuple(
        (AttemptRef(start.task_uuid, start.attempt), _datetime(start.started_at) or datetime.now(UTC))
        for start in message.starts
    )
    for index, (ref, _) in enumerate(starts):
        rules.uuid(f"tasks_started.starts[{index}].task_uuid", ref.task_id)
    rules.raise_if_broken()
    return msg.TasksStarted(message.assignment_id, starts)


def _task_return(request: pb.ConnectRequest) -> msg.TaskReturn:
    message = request.task_return
    rules = Rules()
    refs = tuple(_attempts(rules, "task_return.tasks", message.tasks))
    rules.raise_if_broken()
    return msg.TaskReturn(message.assignment_id, refs)


def _hook_report(request: pb.ConnectRequest) -> HookReport:
    message = request.hook_report
    return HookReport(
        assignment_id=message.assignment_id,
        hook_type=enums.HOOK_TYPE.member(message.hook_type) or HookType.PREPARATION,
        result=enums.HOOK_RESULT.member(message.result) or HookResult.FAILURE,
        exit_code=message.exit_code if message.HasField("exit_code") else None,
        error=_storable(message.error),
        output_tail=_storable(message.output_tail),
        started_at=_moment(message, "started_at") or datetime.now(UTC),
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


def _goodbye(request: pb.ConnectRequest) -> msg.Goodbye:
    return msg.Goodbye(request.goodbye.reason)


_DECODERS: dict[str, Callable[[pb.ConnectRequest], msg.Incoming]] = {
    "attach": _attach,
    "heartbeat": _heartbeat,
    "task_credit": _task_credit,
    "task_reports": _task_reports,
    "tasks_started": _tasks_started,
    "task_return": _task_return,
    "hook_report": _hook_report,
    "worker_failure": _worker_failure,
    "state_changed": _state_changed,
    "suite_finished": _suite_finished,
    "goodbye": _goodbye,
}


def _attempts(rules: Rules, field: str, attempts: Iterable[pb.TaskAttempt]) -> list[AttemptRef]:
    refs = [AttemptRef(attempt.task_uuid, attempt.attempt) for attempt in attempts]
    for index, ref in enumerate(refs):
        rules.uuid(f"{field}[{index}].task_uuid", ref.task_id)
    return refs


def _moment(message: pb.Heartbeat | pb.TaskReport | pb.HookReport, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    return _datetime(getattr(message, field))


def _datetime(timestamp: Timestamp) -> datetime | None:
    """A moment; None for one that no calendar has: a manager's broken clock must not cost a result."""
    try:
        return timestamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        return None


def _storable(text: str) -> str:
    """Text without NUL, which PostgreSQL cannot hold."""
    return text.replace("\x00", "�") if "\x00" in text else text
