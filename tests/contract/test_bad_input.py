"""Every kind of bad input: the right code and reason, the field and what it accepts, and nothing changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
import pytest_asyncio

from mitosis.v1 import (
    auth_service_pb2,
    hook_pb2,
    manager_pb2,
    manager_service_pb2,
    suite_pb2,
    task_pb2,
    task_service_pb2,
    user_pb2,
)
from tests.support.api import NOOP, Api, refused
from tests.support.coordinator import Refusal, coordinator_config, running
from tests.support.invariants import snapshot
from tests.support.postgres import SessionPostgres
from tests.support.scripted_manager import ScriptedManager

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
# A number that a later version may give a meaning to.
UNKNOWN_ROLE: Any = 9
UNKNOWN = "550e8400-e29b-41d4-a716-446655440000"
ONE_EXECUTOR = "one of command, args and handler"


@dataclass(frozen=True)
class World:
    """A coordinator with something of everything in it."""

    database_url: str
    admin: Api
    viewer: Api
    stranger: Api
    nobody: Api
    expired: Api
    garbage: Api
    as_manager: Api
    suite: str
    cancelled: str
    finished_task: str
    manager: ScriptedManager
    suites_token: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(postgres: SessionPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory: Path = tmp_path_factory.mktemp("coordinator")
    with postgres.fresh() as url:
        async with running(coordinator_config(url, directory)) as coordinator:
            admin = Api(coordinator)
            suite = await admin.create("suite", labels=["x"])
            await admin.create("another", labels=["x"])
            cancelled = await admin.create("cancelled")
            [finished_task] = await admin.submit(cancelled.uuid)
            await admin.cancel(cancelled.uuid)
            page = await admin.list_suites(page_size=1)
            who = await coordinator.auth.GetCurrentUser(
                auth_service_pb2.GetCurrentUserRequest(), metadata=admin.metadata
            )
            authority = coordinator.inner.components.authority
            long_ago = datetime.now(UTC) - timedelta(days=400)
            expired = authority.issue_user_token(UUID(who.user.uuid), issued_at=long_ago).token
            manager = await admin.register("taken")
            yield World(
                database_url=url,
                admin=admin,
                viewer=await admin.user(user_pb2.GROUP_ROLE_VIEWER),
                stranger=await admin.user(),
                nobody=_without_token(coordinator),
                expired=Api(coordinator, expired),
                garbage=Api(coordinator, "nonsense"),
                as_manager=Api(coordinator, manager.token),
                suite=suite.uuid,
                cancelled=cancelled.uuid,
                finished_task=finished_task,
                manager=manager,
                suites_token=page.next_page_token,
            )


def _without_token(coordinator: Any) -> Api:
    api = Api(coordinator)
    api.metadata = ()
    return api


@dataclass(frozen=True)
class Case:
    """A call, and how it is refused: `field` is the one violation, or the resource, `told` what is said of it."""

    name: str
    call: Callable[[World], Awaitable[object]]
    reason: str
    field: str = ""
    told: str = ""


CODES = {
    "INVALID_FIELD": grpc.StatusCode.INVALID_ARGUMENT,
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "ALREADY_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "PERMISSION_DENIED": grpc.StatusCode.PERMISSION_DENIED,
    "WRONG_STATE": grpc.StatusCode.FAILED_PRECONDITION,
    "LIMIT_EXCEEDED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "INVALID_TOKEN": grpc.StatusCode.UNAUTHENTICATED,
    "WRONG_TOKEN_KIND": grpc.StatusCode.UNAUTHENTICATED,
}


def bad_suite(name: str, field: str, told: str, /, **fields: Any) -> Case:
    return Case(name, lambda world: world.admin.create(**fields), "INVALID_FIELD", field, told)


def bad_update(name: str, field: str, told: str, /, **fields: Any) -> Case:
    return Case(name, lambda world: world.admin.update(world.suite, **fields), "INVALID_FIELD", field, told)


def bad_task(name: str, field: str, told: str, /, **spec: Any) -> Case:
    """A spec that is refused in its place in a batch."""
    task = task_service_pb2.NewTask(task_spec=task_pb2.TaskSpec(**spec))
    good = task_service_pb2.NewTask(task_spec=NOOP)
    return Case(
        name,
        lambda world: world.admin.submit_all(world.suite, [good, task]),
        "INVALID_FIELD",
        f"tasks[1].task_spec{field}",
        told,
    )


def submit_array(api: Api, suite_uuid: str, **fields: Any) -> Awaitable[object]:
    fields = {"task_spec": task_pb2.TaskSpec(handler="m:f"), **fields}
    request = task_service_pb2.SubmitArrayRequest(suite_uuid=suite_uuid, **fields)
    return api.tasks.SubmitArray(request, metadata=api.metadata)


def bad_array(name: str, field: str, told: str, /, **fields: Any) -> Case:
    return Case(name, lambda world: submit_array(world.admin, world.suite, **fields), "INVALID_FIELD", field, told)


def numbers(start: int, stop: int, step: int | None = None) -> task_service_pb2.PayloadRange:
    return task_service_pb2.PayloadRange(start=start, stop=stop, step=step)


def plan(**fields: Any) -> suite_pb2.WorkerSchedulePlan:
    return suite_pb2.WorkerSchedulePlan(**fields)


def hook(**fields: Any) -> hook_pb2.EnvHookSpec:
    return hook_pb2.EnvHookSpec(**fields)


def submit_one(api: Api, **fields: Any) -> Awaitable[object]:
    return api.tasks.SubmitTask(task_service_pb2.SubmitTaskRequest(**fields), metadata=api.metadata)


def register(api: Api, **fields: Any) -> Awaitable[object]:
    fields = {
        "name": "new",
        "group_memberships": [manager_pb2.GroupMembership(group_name="default")],
        **fields,
    }
    return api.managers.RegisterManager(manager_service_pb2.RegisterManagerRequest(**fields), metadata=api.metadata)


def bad_manager(name: str, field: str, told: str, /, **fields: Any) -> Case:
    return Case(name, lambda world: register(world.admin, **fields), "INVALID_FIELD", field, told)


def manager_of(world: World, uuid: str) -> ScriptedManager:
    """Something with the identifier of a manager."""
    return ScriptedManager(world.admin.coordinator.channel, "", uuid, "", (), 1)


def heartbeat(api: Api) -> Awaitable[object]:
    return api.managers.Heartbeat(manager_service_pb2.HeartbeatRequest(), metadata=api.metadata)


def shut_down(api: Api, uuid: str) -> Awaitable[object]:
    return api.managers.ShutdownManager(manager_service_pb2.ShutdownManagerRequest(uuid=uuid), metadata=api.metadata)


CASES = [
    # Who may do what.
    Case("create-unknown-group", lambda w: w.admin.create(group_name="nowhere"), "NOT_FOUND", "group", "nowhere"),
    Case("submit-unknown-group", lambda w: submit_one(w.admin, group_name="nowhere", task_spec=NOOP), "NOT_FOUND"),
    Case("list-unknown-group", lambda w: w.admin.list_suites(group_name="nowhere"), "NOT_FOUND", "group", "nowhere"),
    Case("create-no-group", lambda w: w.admin.create(group_name=""), "INVALID_FIELD", "group_name", "name of a group"),
    Case("create-as-stranger", lambda w: w.stranger.create(), "NOT_FOUND", "group", "default"),
    Case("create-as-viewer", lambda w: w.viewer.create(), "PERMISSION_DENIED", told="needs the role Member"),
    Case("submit-as-stranger", lambda w: w.stranger.submit(w.suite), "NOT_FOUND", "suite"),
    Case("submit-as-viewer", lambda w: w.viewer.submit(w.suite), "PERMISSION_DENIED", told="needs the role Member"),
    Case("cancel-as-viewer", lambda w: w.viewer.cancel(w.suite), "PERMISSION_DENIED", told="needs the role Member"),
    Case("register-as-viewer", lambda w: register(w.viewer), "PERMISSION_DENIED", told="needs the role Admin"),
    Case("shutdown-as-viewer", lambda w: shut_down(w.viewer, w.manager.uuid), "PERMISSION_DENIED", told="role Admin"),
    # Tokens.
    Case("no-token", lambda w: w.nobody.create(), "INVALID_TOKEN"),
    Case("garbage-token", lambda w: w.garbage.create(), "INVALID_TOKEN", told="malformed"),
    Case("expired-token", lambda w: w.expired.create(), "INVALID_TOKEN", told="the token expired at"),
    Case("managers-token-for-a-user", lambda w: w.as_manager.create(), "WRONG_TOKEN_KIND", told="manager"),
    Case("users-token-for-a-manager", lambda w: heartbeat(w.admin), "WRONG_TOKEN_KIND", told="user"),
    # Suites.
    bad_suite(
        "worker-count-0",
        "worker_schedule.worker_count",
        "given 0; accepts 1 to 4096",
        worker_schedule=plan(worker_count=0),
    ),
    bad_suite(
        "worker-count-100000",
        "worker_schedule.worker_count",
        "given 100000; accepts 1 to 4096",
        worker_schedule=plan(worker_count=100_000),
    ),
    bad_update(
        "update-worker-count-0", "worker_schedule.worker_count", "1 to 4096", worker_schedule=plan(worker_count=0)
    ),
    bad_suite(
        "prefetch-negative",
        "worker_schedule.task_prefetch_count",
        "0 to 4096",
        worker_schedule=plan(task_prefetch_count=-1),
    ),
    bad_suite(
        "core-negative", "worker_schedule.cores[1]", "given -1; accepts 0 to 65535", worker_schedule=plan(cores=[0, -1])
    ),
    bad_suite(
        "unknown-strategy",
        "worker_schedule.strategy",
        "given 9; accepts Fixed, Proportional",
        worker_schedule=plan(strategy=9),
    ),
    bad_suite(
        "unknown-binding",
        "worker_schedule.cpu_binding",
        "accepts RoundRobin, Exclusive, Shared",
        worker_schedule=plan(cpu_binding=9),
    ),
    bad_suite("no-name", "name", 'given ""; accepts 1 to 255 characters', name=""),
    bad_suite("long-name", "name", "accepts 1 to 255 characters", name="x" * 256),
    bad_suite("long-description", "description", "at most 4096 characters", description="x" * 4097),
    bad_suite("tag-with-comma", "tags[0]", 'given "a,b"; accepts 1 to 255 characters without a comma', tags=["a,b"]),
    bad_suite("tag-with-space", "tags[1]", "without a comma or white space", tags=["ok", "a b"]),
    bad_suite("tag-300", "tags[0]", "(302 characters); accepts 1 to 255 characters", tags=["x" * 300]),
    bad_suite("tags-65", "tags", "given 65 of them; accepts at most 64", tags=[str(number) for number in range(65)]),
    bad_update("update-tag-with-comma", "tags.values[0]", "without a comma", tags={"values": ["a,b"]}),
    bad_suite("label-with-comma", "labels[0]", "without a comma", labels=["a,b"]),
    bad_suite("priority", "priority", "accepts -1000000 to 1000000", priority=1_000_001),
    bad_suite(
        "auto-close-negative",
        "auto_close_timeout_seconds",
        "given -1; accepts 0 to 604800",
        auto_close_timeout_seconds=-1,
    ),
    bad_suite("max-attempts-0", "max_attempts", "given 0; accepts 1 to 100", max_attempts=0),
    bad_suite("max-preparation-failures", "max_preparation_failures", "accepts 1 to 100", max_preparation_failures=101),
    bad_suite("request-id", "request_id", "at most 128 characters", request_id="x" * 129),
    bad_suite(
        "hook-with-both",
        "env_preparation",
        f"given command and args; accepts exactly {ONE_EXECUTOR}",
        env_preparation=hook(command="true", args=["true"]),
    ),
    bad_suite("hook-with-neither", "env_cleanup", f"given none; accepts exactly {ONE_EXECUTOR}", env_cleanup=hook()),
    bad_suite(
        "hook-timeout-negative",
        "env_cleanup.timeout_seconds",
        "given -5.0; accepts above 0 to 86400 seconds",
        env_cleanup=hook(command="true", timeout_seconds=-5),
    ),
    bad_suite(
        "hook-timeout-0", "env_cleanup.timeout_seconds", "above 0", env_cleanup=hook(command="true", timeout_seconds=0)
    ),
    bad_suite(
        "hook-env",
        "env_cleanup.envs.MITOSIS_X",
        "not starting with MITOSIS_",
        env_cleanup=hook(command="true", envs={"MITOSIS_X": ""}),
    ),
    bad_suite(
        "hook-directory",
        "env_cleanup.working_directory",
        "an absolute path",
        env_cleanup=hook(command="true", working_directory="x"),
    ),
    bad_suite(
        "defaults-with-both",
        "task_defaults",
        f"at most {ONE_EXECUTOR}",
        task_defaults=task_pb2.TaskSpec(command="x", handler="m:f"),
    ),
    # Tasks.
    bad_task(
        "command-and-args", "", f"given command and args; accepts at most {ONE_EXECUTOR}", command="true", args=["true"]
    ),
    bad_task(
        "all-three",
        "",
        f"given command and args and handler; accepts at most {ONE_EXECUTOR}",
        command="x",
        args=["x"],
        handler="m:f",
    ),
    bad_task("neither", "", "one of command, args and handler; or a payload"),
    bad_task(
        "handler-without-colon",
        ".handler",
        'given "package.module"; accepts package.module:function',
        handler="package.module",
    ),
    bad_task("handler-with-path", ".handler", "package.module:function", handler="../module:f"),
    bad_task(
        "payload-too-large",
        ".payload",
        f"given {MIB + 1} bytes; accepts at most {MIB} bytes",
        handler="m:f",
        payload='"' + "x" * (MIB - 1) + '"',
    ),
    bad_task(
        "payload-not-json",
        ".payload",
        "given \"{'a': 1}\"; accepts one JSON document",
        handler="m:f",
        payload="{'a': 1}",
    ),
    bad_task(
        "timeout-negative",
        ".timeout_seconds",
        "given -1.0; accepts above 0 to 604800 seconds",
        command="true",
        timeout_seconds=-1,
    ),
    bad_task(
        "timeout-nan",
        ".timeout_seconds",
        "given nan; accepts above 0 to 604800 seconds",
        command="true",
        timeout_seconds=float("nan"),
    ),
    bad_task(
        "backoff-negative",
        ".retry_backoff_seconds",
        "accepts 0 to 86400 seconds",
        command="true",
        retry_backoff_seconds=-0.5,
    ),
    bad_task("retries-101", ".max_retries", "given 101; accepts 0 to 100", command="true", max_retries=101),
    bad_task("retries-negative", ".max_retries", "given -1; accepts 0 to 100", command="true", max_retries=-1),
    bad_task("directory", ".working_directory", "an absolute path", command="true", working_directory="relative"),
    bad_task("env", ".envs.A=B", "letters, digits and _", command="true", envs={"A=B": ""}),
    bad_task("command-with-nul", ".command", "none of them NUL", command="a\0b"),
    Case("no-tasks", lambda w: w.admin.submit(w.suite, 0), "INVALID_FIELD", "tasks", "given none; accepts 1 to 10000"),
    Case("too-many-tasks", lambda w: w.admin.submit(w.suite, 10_001), "LIMIT_EXCEEDED", told="10001 is over the limit"),
    Case(
        "too-large-together",
        lambda w: w.admin.submit(w.suite, 17, task_pb2.TaskSpec(handler="m:f", payload='"' + "x" * (MIB - 2) + '"')),
        "LIMIT_EXCEEDED",
        told=f"over the limit of {16 * MIB} bytes",
    ),
    Case(
        "one-task-priority",
        lambda w: submit_one(w.admin, suite_uuid=w.suite, task_spec=NOOP, priority=-1_000_001),
        "INVALID_FIELD",
        "priority",
        "accepts -1000000 to 1000000",
    ),
    Case(
        "one-task-handler",
        lambda w: submit_one(w.admin, suite_uuid=w.suite, task_spec=task_pb2.TaskSpec(handler="x")),
        "INVALID_FIELD",
        "task_spec.handler",
        "package.module:function",
    ),
    # Arrays.
    bad_array("array-without-payloads", "items", "given neither range nor list; accepts exactly one of range and list"),
    bad_array("array-empty-range", "range", "given 3 to 3 in steps of 1; accepts at least one", range=numbers(3, 3)),
    bad_array("array-backwards", "range", "given 0 to 5 in steps of -1; accepts at least one", range=numbers(0, 5, -1)),
    bad_array("array-step-0", "range.step", "accepts a whole number other than 0", range=numbers(0, 5, 0)),
    bad_array("array-not-exact", "range", f"accepts numbers from -{2**53} to {2**53}", range=numbers(2**53, 2**53 + 2)),
    bad_array("array-empty-list", "list.payloads", "given none; accepts 1 to 10000 documents", list={"payloads": []}),
    bad_array("array-not-json", "list.payloads[1]", "accepts one JSON document", list={"payloads": ["1", "{"]}),
    bad_array(
        "array-payload-in-template",
        "task_spec.payload",
        "accepts none: the payloads come from range or list",
        task_spec=task_pb2.TaskSpec(handler="m:f", payload="1"),
        range=numbers(0, 5),
    ),
    bad_array(
        "array-handler",
        "task_spec.handler",
        'given "x"; accepts package.module:function',
        task_spec=task_pb2.TaskSpec(handler="x"),
        range=numbers(0, 5),
    ),
    bad_array("array-priority", "priority", "accepts -1000000 to", range=numbers(0, 5), priority=1_000_001),
    bad_array("array-request-id", "request_id", "at most 128 characters", range=numbers(0, 5), request_id="x" * 129),
    Case(
        "array-suite-uuid",
        lambda w: submit_array(w.admin, "nonsense", range=numbers(0, 5)),
        "INVALID_FIELD",
        "suite_uuid",
        'given "nonsense"; accepts a UUID',
    ),
    Case("array-unknown-suite", lambda w: submit_array(w.admin, UNKNOWN, range=numbers(0, 5)), "NOT_FOUND", "suite"),
    Case(
        "array-too-long",
        lambda w: submit_array(w.admin, w.suite, range=numbers(0, 1_000_001)),
        "LIMIT_EXCEEDED",
        told="1000001 is over the limit of 1000000",
    ),
    Case(
        "array-list-too-long",
        lambda w: submit_array(w.admin, w.suite, list={"payloads": ["1"] * 10_001}),
        "LIMIT_EXCEEDED",
        told="10001 is over the limit",
    ),
    Case(
        "array-for-cancelled",
        lambda w: submit_array(w.admin, w.cancelled, range=numbers(0, 5)),
        "WRONG_STATE",
        told="is Cancelled, so it cannot be given tasks",
    ),
    # Identifiers.
    Case(
        "suite-uuid", lambda w: w.admin.suite("nonsense"), "INVALID_FIELD", "uuid", 'given "nonsense"; accepts a UUID'
    ),
    Case("no-suite-uuid", lambda w: w.admin.suite(""), "INVALID_FIELD", "uuid", 'given ""; accepts a UUID'),
    Case("submit-suite-uuid", lambda w: w.admin.submit("nonsense"), "INVALID_FIELD", "suite_uuid", "accepts a UUID"),
    Case("task-uuid", lambda w: w.admin.cancel_task("nonsense"), "INVALID_FIELD", "uuid", "accepts a UUID"),
    Case("list-suite-uuid", lambda w: w.admin.list_tasks(suite_uuid="x"), "INVALID_FIELD", "suite_uuid", "a UUID"),
    Case("manager-uuid", lambda w: shut_down(w.admin, "nonsense"), "INVALID_FIELD", "uuid", "accepts a UUID"),
    Case(
        "manager-uuids",
        lambda w: w.admin.add_managers(w.suite, w.manager, manager_of(w, "nonsense")),
        "INVALID_FIELD",
        "manager_uuids[1]",
        "accepts a UUID",
    ),
    Case("no-manager-uuids", lambda w: w.admin.add_managers(w.suite), "INVALID_FIELD", "manager_uuids", "1 to 1000"),
    Case("unknown-suite", lambda w: w.admin.suite(UNKNOWN), "NOT_FOUND", "suite", UNKNOWN),
    Case("submit-unknown-suite", lambda w: w.admin.submit(UNKNOWN), "NOT_FOUND", "suite", UNKNOWN),
    Case("unknown-task", lambda w: w.admin.cancel_task(UNKNOWN), "NOT_FOUND", "task", UNKNOWN),
    Case("unknown-manager", lambda w: shut_down(w.admin, UNKNOWN), "NOT_FOUND", "manager", UNKNOWN),
    Case(
        "add-unknown-manager",
        lambda w: w.admin.add_managers(w.suite, w.manager, manager_of(w, UNKNOWN)),
        "NOT_FOUND",
        "manager",
        UNKNOWN,
    ),
    # Pages.
    Case(
        "page-size-0",
        lambda w: w.admin.list_suites(page_size=0),
        "INVALID_FIELD",
        "page_size",
        "given 0; accepts 1 to 1000",
    ),
    Case("page-size-1001", lambda w: w.admin.list_tasks(page_size=1001), "INVALID_FIELD", "page_size", "1 to 1000"),
    Case(
        "page-token",
        lambda w: w.admin.list_suites(page_token="nonsense"),
        "INVALID_FIELD",
        "page_token",
        "next_page_token",
    ),
    Case(
        "page-token-of-another-list",
        lambda w: w.admin.list_tasks(page_token=w.suites_token),
        "INVALID_FIELD",
        "page_token",
        "accepts empty, or the next_page_token of the page before, with the same filters",
    ),
    Case(
        "page-token-of-another-filter",
        lambda w: w.admin.list_suites(labels=["x"], page_token=w.suites_token),
        "INVALID_FIELD",
        "page_token",
        "with the same filters",
    ),
    Case(
        "filter-state",
        lambda w: w.admin.list_suites(state=77),
        "INVALID_FIELD",
        "state",
        "given 77; accepts Queued, Open",
    ),
    # States.
    Case(
        "submit-to-cancelled",
        lambda w: w.admin.submit(w.cancelled),
        "WRONG_STATE",
        told="is Cancelled, so it cannot be given tasks",
    ),
    Case("cancel-cancelled", lambda w: w.admin.cancel(w.cancelled), "WRONG_STATE", told="is Cancelled"),
    Case("close-cancelled", lambda w: w.admin.close_suite(w.cancelled), "WRONG_STATE", told="is Cancelled"),
    Case("update-cancelled", lambda w: w.admin.update(w.cancelled, priority=1), "WRONG_STATE", told="is Cancelled"),
    Case("retry-cancelled", lambda w: w.admin.retry(w.cancelled), "WRONG_STATE", told="is Cancelled"),
    Case(
        "add-to-cancelled", lambda w: w.admin.add_managers(w.cancelled, w.manager), "WRONG_STATE", told="is Cancelled"
    ),
    Case("cancel-finished-task", lambda w: w.admin.cancel_task(w.finished_task), "WRONG_STATE", told="is Cancelled"),
    Case("shutdown-offline", lambda w: shut_down(w.admin, w.manager.uuid), "WRONG_STATE", told="is Offline"),
    # Managers.
    bad_manager("manager-without-name", "name", "accepts 1 to 255 characters", name=""),
    bad_manager("manager-tag", "tags[0]", "without a comma or white space", tags=["a,b"]),
    bad_manager("manager-workers-0", "max_workers", "given 0; accepts 1 to 4096", max_workers=0),
    bad_manager(
        "manager-without-group", "group_memberships", "given 0 of them; accepts 1 to 100", group_memberships=[]
    ),
    bad_manager(
        "manager-role",
        "group_memberships[0].role",
        "accepts Worker, Admin",
        group_memberships=[manager_pb2.GroupMembership(group_name="default", role=UNKNOWN_ROLE)],
    ),
    Case(
        "manager-group",
        lambda w: register(w.admin, group_memberships=[manager_pb2.GroupMembership(group_name="nowhere")]),
        "NOT_FOUND",
        "group",
        "nowhere",
    ),
    Case("manager-name-taken", lambda w: register(w.admin, name="taken"), "ALREADY_EXISTS", "manager", "taken"),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_bad_input_is_refused_by_name_and_changes_nothing(world: World, case: Case) -> None:
    before = snapshot(world.database_url)
    told = await refused(case.call(world))
    assert snapshot(world.database_url) == before
    assert told.reason == case.reason
    assert told.code is CODES[case.reason]
    _check_details(told, case)


def _check_details(told: Refusal, case: Case) -> None:
    match case.reason:
        case "INVALID_FIELD":
            assert list(told.fields) == [case.field]
            assert case.told in told.fields[case.field]
            assert told.fields[case.field].startswith("given ")
            assert "; accepts " in told.fields[case.field]
        case "NOT_FOUND" | "ALREADY_EXISTS":
            resource = told.details["ResourceInfo"]
            assert case.field in resource.resource_type
            assert case.told in resource.resource_name
        case "WRONG_STATE":
            [violation] = told.details["PreconditionFailure"].violations
            assert case.told in violation.description
            assert told.facts["state"] in ("Cancelled", "Offline")
        case "LIMIT_EXCEEDED":
            [violation] = told.details["QuotaFailure"].violations
            assert case.told in violation.description
        case _:
            assert case.told in told.message


async def test_all_mistakes_of_a_request_are_told_at_once(world: World) -> None:
    told = await refused(
        world.admin.create(
            "",
            tags=["a,b"],
            priority=9_999_999,
            worker_schedule=plan(worker_count=0),
            env_preparation=hook(),
            auto_close_timeout_seconds=-1,
        )
    )
    assert set(told.fields) == {
        "name",
        "tags[0]",
        "priority",
        "worker_schedule.worker_count",
        "env_preparation",
        "auto_close_timeout_seconds",
    }


async def test_so_many_mistakes_that_not_all_are_told_are_counted(world: World) -> None:
    bad = task_service_pb2.NewTask(task_spec=task_pb2.TaskSpec(handler="x" * 200))
    told = await refused(world.admin.submit_all(world.suite, [bad] * 5000))
    assert told.reason == "INVALID_FIELD"
    assert "tasks[0].task_spec.handler" in told.fields
    assert int(told.facts["violation_count"]) >= len(told.fields)
