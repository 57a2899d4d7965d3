"""What every holder says and is told of its tasks, between the wire and `sessions.messages`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mitosis.v1 import manager_stream_pb2 as pb
from mitosis.v1 import task_pb2, worker_service_pb2
from mitosis_coordinator.domain.errors import InvalidField
from mitosis_coordinator.domain.rules import Rules, is_uuid
from mitosis_coordinator.domain.task import AttemptRef, Outcome, Report, TaskResult
from mitosis_coordinator.rpc import enums
from mitosis_coordinator.sessions import messages as msg

_MAX_REPORTS = 1024

Request = pb.ConnectRequest | worker_service_pb2.ConnectWorkerRequest


def task_credit(request: Request) -> msg.TaskCredit:
    """Decode credit."""
    return msg.TaskCredit(request.task_credit.assignment_id, request.task_credit.granted_total)


def task_reports(request: Request) -> msg.TaskReports:
    """Decode a batch of reports. Raises InvalidField."""
    message = request.task_reports
    if len(message.reports) > _MAX_REPORTS:
        accepts = f"at most {_MAX_REPORTS}"
        raise InvalidField.one("task_reports.reports", f"{len(message.reports)} of them", accepts)
    rules = Rules()
    reports = tuple([_report(rules, index, report) for index, report in enumerate(message.reports)])
    rules.raise_if_broken()
    return msg.TaskReports(message.sequence, reports)


def _report(rules: Rules, index: int, report: pb.TaskReport) -> Report:
    task_id = report.task_uuid
    if not is_uuid(task_id):
        rules.uuid(f"task_reports.reports[{index}].task_uuid", task_id)
    result = report.result
    return Report(
        task_id,
        report.attempt,
        report.assignment_id,
        enums.OUTCOME.member(report.outcome) or Outcome.FAILED,
        _result(result) if result.ByteSize() else TaskResult(),
        _datetime(report.started_at) if report.HasField("started_at") else None,
        _datetime(report.finished_at) if report.HasField("finished_at") else None,
        tuple([storable(death) for death in report.worker_deaths]) if report.worker_deaths else (),
    )


def _result(result: task_pb2.TaskResult) -> TaskResult:
    return TaskResult(
        exit_code=result.exit_code if result.HasField("exit_code") else None,
        error=storable(result.error),
        stdout_tail=storable(result.stdout_tail),
        stderr_tail=storable(result.stderr_tail),
        return_value=storable(result.return_value) if result.HasField("return_value") else None,
    )


def tasks_started(request: Request) -> msg.TasksStarted:
    """Decode starts. Raises InvalidField."""
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


def task_return(request: Request) -> msg.TaskReturn:
    """Decode what is handed back. Raises InvalidField."""
    message = request.task_return
    rules = Rules()
    returned = tuple(attempts(rules, "task_return.tasks", message.tasks))
    rules.raise_if_broken()
    return msg.TaskReturn(message.assignment_id, returned)


def goodbye(request: Request) -> msg.Goodbye:
    """Decode the end."""
    return msg.Goodbye(request.goodbye.reason)


def attempts(rules: Rules, field: str, given: Iterable[pb.TaskAttempt]) -> list[AttemptRef]:
    """Attempts, whose UUIDs are checked."""
    found = [AttemptRef(attempt.task_uuid, attempt.attempt) for attempt in given]
    for index, ref in enumerate(found):
        rules.uuid(f"{field}[{index}].task_uuid", ref.task_id)
    return found


def moment(message: pb.Heartbeat | pb.HookReport, field: str) -> datetime | None:
    """A moment that may not be there."""
    if not message.HasField(field):
        return None
    return _datetime(getattr(message, field))


def storable(text: str) -> str:
    """Text without NUL, which PostgreSQL cannot hold."""
    return text.replace("\x00", "�") if "\x00" in text else text


def refs(given: Iterable[AttemptRef]) -> list[pb.TaskAttempt]:
    """Encode attempts."""
    return [pb.TaskAttempt(task_uuid=ref.task_id, attempt=ref.attempt) for ref in given]


def task_batch(message: msg.TaskBatch) -> pb.TaskBatch:
    """Encode tasks."""
    return pb.TaskBatch(
        assignment_id=message.assignment_id,
        tasks=[
            pb.AssignedTask(task_uuid=task.task_id, attempt=task.attempt, task_spec=task.spec, priority=task.priority)
            for task in message.tasks
        ],
    )


def reports_acked(message: msg.ReportsAcked) -> pb.ReportsAcked:
    """Encode an acknowledgement."""
    return pb.ReportsAcked(sequence=message.sequence, stale=refs(message.stale))


def cancel_tasks(message: msg.CancelTasks) -> pb.CancelTasks:
    """Encode an order to stop tasks."""
    return pb.CancelTasks(assignment_id=message.assignment_id, tasks=refs(message.refs))


def shutdown(message: msg.Shutdown) -> pb.Shutdown:
    """Encode an order to end."""
    return pb.Shutdown(graceful=message.graceful, reason=message.reason)


def duration(span: timedelta) -> Duration:
    """A span of time as a message."""
    message = Duration()
    message.FromTimedelta(span)
    return message


def _datetime(timestamp: Timestamp) -> datetime | None:
    """A moment; None for one that no calendar has: a holder's broken clock must not cost a result."""
    try:
        # Not ToDatetime, which takes five times as long.
        return datetime.fromtimestamp(timestamp.seconds + timestamp.nanos / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return None
