"""The plain generated stubs, synchronous as in most programs, against the real server, with pytest-grpc's fixtures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from mitosis.v1 import (
    auth_service_pb2,
    auth_service_pb2_grpc,
    suite_pb2,
    suite_service_pb2,
    suite_service_pb2_grpc,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
)
from mitosis_coordinator.app import Coordinator, serving
from mitosis_coordinator.config import CoordinatorConfig
from tests.support.coordinator import ADMIN_PASSWORD, coordinator_config, quick_passwords
from tests.support.postgres import SessionPostgres

Stub = TypeVar("Stub")
DEADLINE = 30.0


@pytest.fixture(scope="module")
def grpc_server(postgres: SessionPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """The plugin's server is a synchronous one of its own; this is ours, in a thread with a loop of its own."""
    started: Future[tuple[Coordinator, Callable[[], object]]] = Future()

    async def serve(config: CoordinatorConfig) -> None:
        stopping = asyncio.Event()
        try:
            async with serving(config, quick_passwords()) as coordinator:
                loop = asyncio.get_running_loop()
                started.set_result((coordinator, lambda: loop.call_soon_threadsafe(stopping.set)))
                await stopping.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    with postgres.fresh() as url:
        config = coordinator_config(url, tmp_path_factory.mktemp("stubs"))
        # The loop is made in the thread: one made here would become the main thread's, which is pytest-asyncio's.
        thread = threading.Thread(target=lambda: asyncio.run(serve(config)), name="coordinator")
        thread.start()
        coordinator, stop = started.result(DEADLINE)
        try:
            yield coordinator
        finally:
            stop()
            thread.join(DEADLINE)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def grpc_addr(grpc_server: Coordinator) -> str:
    """Where it listens; the plugin would choose a port before there is a server."""
    return f"127.0.0.1:{grpc_server.grpc_port}"


@pytest.fixture(scope="module")
def grpc_stub_cls() -> Callable[[grpc.Channel], auth_service_pb2_grpc.AuthServiceStub]:
    """What the plugin's `grpc_stub` is made of."""
    return auth_service_pb2_grpc.AuthServiceStub


@dataclass(frozen=True)
class Caller:
    """The stubs that need a token, and the token."""

    suites: suite_service_pb2_grpc.SuiteServiceStub
    tasks: task_service_pb2_grpc.TaskServiceStub
    metadata: Sequence[tuple[str, str]]

    def call(self, method: Any, request: Any) -> Any:
        """Make a call."""
        return method(request, metadata=self.metadata, timeout=DEADLINE)

    def created(self, name: str, **fields: Any) -> suite_pb2.TaskSuite:
        """A new suite."""
        request = suite_service_pb2.CreateSuiteRequest(name=name, group_name="default", **fields)
        response: suite_service_pb2.CreateSuiteResponse = self.call(self.suites.CreateSuite, request)
        return response.suite


@pytest.fixture(scope="module")
def caller(grpc_channel: grpc.Channel, grpc_stub: auth_service_pb2_grpc.AuthServiceStub) -> Caller:
    """The administrator, logged in with the password."""
    request = auth_service_pb2.LoginRequest(username="admin", password=ADMIN_PASSWORD)
    login = grpc_stub.Login(request, timeout=DEADLINE)
    return Caller(
        suite_service_pb2_grpc.SuiteServiceStub(grpc_channel),
        task_service_pb2_grpc.TaskServiceStub(grpc_channel),
        [("authorization", f"Bearer {login.token}")],
    )


def tasks(count: int) -> list[task_service_pb2.NewTask]:
    """New tasks that differ in what they print."""
    return [task_service_pb2.NewTask(task_spec=task_pb2.TaskSpec(command=f"echo {number}")) for number in range(count)]


def test_a_login_tells_who_it_is(caller: Caller, grpc_stub: auth_service_pb2_grpc.AuthServiceStub) -> None:
    user = caller.call(grpc_stub.GetCurrentUser, auth_service_pb2.GetCurrentUserRequest()).user
    assert (user.username, user.is_admin) == ("admin", True)


def test_create_submit_and_read_back(caller: Caller) -> None:
    suite = caller.created("stubs", labels=["ring:stubs"])
    assert (suite.name, suite.state, list(suite.labels)) == (
        "stubs",
        suite_pb2.TASK_SUITE_STATE_QUEUED,
        ["ring:stubs"],
    )
    submitted = caller.call(
        caller.tasks.SubmitTasks, task_service_pb2.SubmitTasksRequest(suite_uuid=suite.uuid, tasks=tasks(3))
    )
    one = caller.call(
        caller.tasks.SubmitTask,
        task_service_pb2.SubmitTaskRequest(suite_uuid=suite.uuid, task_spec=task_pb2.TaskSpec(args=["true"])),
    ).task
    assert one.suite_uuid == suite.uuid

    read = caller.call(caller.suites.GetSuite, suite_service_pb2.GetSuiteRequest(uuid=suite.uuid)).suite
    assert (read.total_tasks, read.pending_tasks) == (4, 4)
    second = caller.call(caller.tasks.GetTask, task_service_pb2.GetTaskRequest(uuid=submitted.task_uuids[1])).task
    assert (second.task_spec.command, second.state) == ("echo 1", task_pb2.TASK_STATE_READY)

    listed = caller.call(
        caller.suites.ListSuites, suite_service_pb2.ListSuitesRequest(labels=["ring:stubs"], group_name="default")
    )
    assert [found.uuid for found in listed.suites] == [suite.uuid]


def test_lists_page(caller: Caller) -> None:
    suite = caller.created("paged")
    request = task_service_pb2.SubmitTasksRequest(suite_uuid=suite.uuid, tasks=tasks(5))
    wanted = set(caller.call(caller.tasks.SubmitTasks, request).task_uuids)
    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        page = caller.call(
            caller.tasks.ListTasks,
            task_service_pb2.ListTasksRequest(suite_uuid=suite.uuid, page_size=2, page_token=token),
        )
        pages.append([task.uuid for task in page.tasks])
        token = page.next_page_token
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {uuid for page in pages for uuid in page} == wanted


def test_errors_are_read_with_grpc_status(caller: Caller) -> None:
    request = suite_service_pb2.CreateSuiteRequest(group_name="default", priority=1 << 30)
    with pytest.raises(grpc.RpcError) as caught:
        caller.call(caller.suites.CreateSuite, request)
    status: Any = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    info, fields = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for packed in status.details:
        assert packed.Unpack(info) or packed.Unpack(fields)
    assert (info.domain, info.reason) == ("mitosis", "INVALID_FIELD")
    assert {violation.field for violation in fields.field_violations} >= {"name"}


@pytest.mark.parametrize("metadata", [[], [("authorization", "Bearer nonsense")]], ids=["none", "malformed"])
def test_without_a_good_token_nothing_opens(caller: Caller, metadata: list[tuple[str, str]]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        replace(caller, metadata=metadata).created("never")
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_watch_shows_each_change_and_ends_with_the_suite(caller: Caller) -> None:
    suite = caller.created("watched")
    watched = caller.call(caller.suites.WatchSuite, suite_service_pb2.WatchSuiteRequest(uuid=suite.uuid))
    assert next(watched).suite.total_tasks == 0
    caller.call(caller.tasks.SubmitTasks, task_service_pb2.SubmitTasksRequest(suite_uuid=suite.uuid, tasks=tasks(2)))
    assert next(watched).suite.total_tasks == 2
    caller.call(
        caller.suites.CancelSuite, suite_service_pb2.CancelSuiteRequest(uuid=suite.uuid, cancel_running_tasks=True)
    )
    *_, last = [response.suite for response in watched]
    assert (last.state, last.cancelled_tasks) == (suite_pb2.TASK_SUITE_STATE_CANCELLED, 2)


def test_a_watch_that_is_given_up_ends(caller: Caller) -> None:
    suite = caller.created("given up")
    watched = caller.call(caller.suites.WatchSuite, suite_service_pb2.WatchSuiteRequest(uuid=suite.uuid))
    next(watched)
    watched.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        next(watched)
    assert caught.value is watched
    assert watched.code() is grpc.StatusCode.CANCELLED
