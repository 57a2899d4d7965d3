"""The coordinator as a user sees it, in the few words that tests need."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import grpc.aio
import pytest

from mitosis.v1 import (
    admin_service_pb2,
    manager_pb2,
    manager_service_pb2,
    manager_service_pb2_grpc,
    suite_pb2,
    suite_service_pb2,
    suite_service_pb2_grpc,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
    worker_pb2,
    worker_service_pb2,
    worker_service_pb2_grpc,
)
from tests.support.coordinator import Refusal, RunningCoordinator, bearer, refusal
from tests.support.scripted_manager import PATIENCE_SECONDS, ScriptedManager
from tests.support.scripted_worker import ScriptedWorker

Value = TypeVar("Value")

GROUP = "default"
WORKER = manager_pb2.GroupMembership(group_name=GROUP, role=manager_pb2.MANAGER_ROLE_WORKER)
ADMIN = manager_pb2.GroupMembership(group_name=GROUP, role=manager_pb2.MANAGER_ROLE_ADMIN)
NOOP = task_pb2.TaskSpec(command="true")


class Api:
    """The services with one user's token; the administrator's unless told otherwise."""

    def __init__(self, coordinator: RunningCoordinator, token: str | None = None) -> None:
        self.coordinator = coordinator
        self.metadata = bearer(token or coordinator.admin_token)
        channel = coordinator.channel
        self.suites: suite_service_pb2_grpc.SuiteServiceAsyncStub = suite_service_pb2_grpc.SuiteServiceStub(channel)
        self.tasks: task_service_pb2_grpc.TaskServiceAsyncStub = task_service_pb2_grpc.TaskServiceStub(channel)
        self.managers: manager_service_pb2_grpc.ManagerServiceAsyncStub = manager_service_pb2_grpc.ManagerServiceStub(
            channel
        )
        self.workers: worker_service_pb2_grpc.WorkerServiceAsyncStub = worker_service_pb2_grpc.WorkerServiceStub(
            channel
        )
        self._numbers = itertools.count(1)
        self._scripted: list[ScriptedManager | ScriptedWorker] = []

    async def close(self) -> None:
        """Drop the managers and workers that are still connected."""
        for scripted in self._scripted:
            await scripted.drop()

    async def user(self, role: Any = None, group: str = GROUP) -> Api:
        """Another user, with a role in a group or in none."""
        username, token = await self.coordinator.new_user()
        if role is not None:
            await self.coordinator.admin.SetMember(
                admin_service_pb2.SetMemberRequest(group_name=group, username=username, role=role),
                metadata=self.metadata,
            )
        return Api(self.coordinator, token)

    async def group(self, name: str) -> str:
        """A new group."""
        await self.coordinator.admin.CreateGroup(
            admin_service_pb2.CreateGroupRequest(group_name=name), metadata=self.metadata
        )
        return name

    async def create(self, name: str = "suite", group_name: str = GROUP, **fields: Any) -> suite_pb2.TaskSuite:
        """Create a suite."""
        request = suite_service_pb2.CreateSuiteRequest(name=name, group_name=group_name, **fields)
        return (await self.suites.CreateSuite(request, metadata=self.metadata)).suite

    async def suite(self, uuid: str) -> suite_pb2.TaskSuite:
        """Read a suite."""
        request = suite_service_pb2.GetSuiteRequest(uuid=uuid)
        return (await self.suites.GetSuite(request, metadata=self.metadata)).suite

    async def cancel(self, uuid: str, **fields: Any) -> suite_service_pb2.CancelSuiteResponse:
        """Cancel a suite."""
        request = suite_service_pb2.CancelSuiteRequest(uuid=uuid, **fields)
        return await self.suites.CancelSuite(request, metadata=self.metadata)

    async def close_suite(self, uuid: str) -> suite_pb2.TaskSuite:
        """Say that no more tasks are coming."""
        request = suite_service_pb2.CloseSuiteRequest(uuid=uuid)
        return (await self.suites.CloseSuite(request, metadata=self.metadata)).suite

    async def retry(self, uuid: str) -> suite_service_pb2.RetrySuiteResponse:
        """Retry a suite."""
        request = suite_service_pb2.RetrySuiteRequest(uuid=uuid)
        return await self.suites.RetrySuite(request, metadata=self.metadata)

    async def update(self, uuid: str, **fields: Any) -> suite_pb2.TaskSuite:
        """Change a suite."""
        request = suite_service_pb2.UpdateSuiteRequest(uuid=uuid, **fields)
        return (await self.suites.UpdateSuite(request, metadata=self.metadata)).suite

    async def list_suites(self, **filters: Any) -> suite_service_pb2.ListSuitesResponse:
        """One page of suites."""
        request = suite_service_pb2.ListSuitesRequest(**filters)
        return await self.suites.ListSuites(request, metadata=self.metadata)

    async def refresh(self, uuid: str) -> Sequence[suite_pb2.EligibleManager]:
        """Match a suite with managers anew."""
        request = suite_service_pb2.RefreshSuiteManagersRequest(uuid=uuid)
        return (await self.suites.RefreshSuiteManagers(request, metadata=self.metadata)).managers

    async def add_managers(self, uuid: str, *managers: ScriptedManager) -> Sequence[suite_pb2.EligibleManager]:
        """Make managers eligible by hand."""
        request = suite_service_pb2.AddSuiteManagersRequest(uuid=uuid, manager_uuids=[one.uuid for one in managers])
        return (await self.suites.AddSuiteManagers(request, metadata=self.metadata)).managers

    async def remove_managers(self, uuid: str, *managers: ScriptedManager) -> Sequence[suite_pb2.EligibleManager]:
        """Make managers ineligible."""
        request = suite_service_pb2.RemoveSuiteManagersRequest(uuid=uuid, manager_uuids=[one.uuid for one in managers])
        return (await self.suites.RemoveSuiteManagers(request, metadata=self.metadata)).managers

    async def submit(self, suite_uuid: str, count: int = 1, spec: task_pb2.TaskSpec = NOOP) -> list[str]:
        """Submit some equal tasks."""
        return await self.submit_all(suite_uuid, [task_service_pb2.NewTask(task_spec=spec)] * count)

    async def submit_all(self, suite_uuid: str, tasks: Iterable[task_service_pb2.NewTask], **fields: Any) -> list[str]:
        """Submit tasks."""
        request = task_service_pb2.SubmitTasksRequest(suite_uuid=suite_uuid, tasks=tasks, **fields)
        return list((await self.tasks.SubmitTasks(request, metadata=self.metadata)).task_uuids)

    async def task(self, uuid: str) -> task_pb2.Task:
        """Read a task."""
        request = task_service_pb2.GetTaskRequest(uuid=uuid)
        return (await self.tasks.GetTask(request, metadata=self.metadata)).task

    async def list_tasks(self, **filters: Any) -> task_service_pb2.ListTasksResponse:
        """One page of tasks."""
        request = task_service_pb2.ListTasksRequest(**filters)
        return await self.tasks.ListTasks(request, metadata=self.metadata)

    async def cancel_task(self, uuid: str, reason: str = "") -> task_pb2.Task:
        """Cancel a task."""
        request = task_service_pb2.CancelTaskRequest(uuid=uuid, reason=reason)
        return (await self.tasks.CancelTask(request, metadata=self.metadata)).task

    async def register(
        self,
        name: str = "",
        tags: Iterable[str] = (),
        max_workers: int = 2,
        memberships: Sequence[manager_pb2.GroupMembership] = (WORKER, ADMIN),
    ) -> ScriptedManager:
        """Register a manager, and be it."""
        tags = list(tags)
        response = await self.managers.RegisterManager(
            manager_service_pb2.RegisterManagerRequest(
                name=name or f"manager-{next(self._numbers)}",
                tags=tags,
                max_workers=max_workers,
                group_memberships=memberships,
            ),
            metadata=self.metadata,
        )
        manager = response.manager
        scripted = ScriptedManager(
            self.coordinator.channel, manager.name, manager.uuid, response.token, tags, max_workers
        )
        self._scripted.append(scripted)
        return scripted

    async def connect(self, name: str = "", **fields: Any) -> ScriptedManager:
        """Register a manager and attach it."""
        scripted = await self.register(name, **fields)
        await scripted.attach()
        return scripted

    async def manager(self, manager: ScriptedManager) -> manager_pb2.NodeManager:
        """Read a manager."""
        request = manager_service_pb2.GetManagerRequest(uuid=manager.uuid)
        return (await self.managers.GetManager(request, metadata=self.metadata)).manager

    async def submit_independent(
        self, count: int = 1, group_name: str = GROUP, tags: Sequence[str] = (), spec: task_pb2.TaskSpec = NOOP
    ) -> list[str]:
        """Submit some equal tasks of no suite."""
        task = task_service_pb2.NewTask(task_spec=spec, tags=tags)
        return await self.submit_all("", [task] * count, group_name=group_name)

    async def register_worker(
        self, name: str = "", tags: Iterable[str] = (), groups: Sequence[str] = (GROUP,)
    ) -> ScriptedWorker:
        """Register an independent worker, and be it."""
        request = worker_service_pb2.RegisterWorkerRequest(
            name=name or f"worker-{next(self._numbers)}", tags=tags, group_names=groups
        )
        response = await self.workers.RegisterWorker(request, metadata=self.metadata)
        worker = response.worker
        scripted = ScriptedWorker(self.coordinator.channel, worker.name, worker.uuid, response.token)
        self._scripted.append(scripted)
        return scripted

    async def connect_worker(self, name: str = "", **fields: Any) -> ScriptedWorker:
        """Register an independent worker and attach it."""
        scripted = await self.register_worker(name, **fields)
        await scripted.attach()
        return scripted

    async def worker(self, worker: ScriptedWorker) -> worker_pb2.Worker:
        """Read an independent worker."""
        request = worker_service_pb2.GetWorkerRequest(uuid=worker.uuid)
        return (await self.workers.GetWorker(request, metadata=self.metadata)).worker

    async def worker_when(
        self, worker: ScriptedWorker, holds: Callable[[worker_pb2.Worker], object]
    ) -> worker_pb2.Worker:
        """The independent worker as soon as a condition holds."""
        return await eventually(lambda: self.worker(worker), holds)

    async def suite_when(self, uuid: str, holds: Callable[[suite_pb2.TaskSuite], object]) -> suite_pb2.TaskSuite:
        """The suite as soon as a condition holds."""
        return await eventually(lambda: self.suite(uuid), holds)

    async def task_when(self, uuid: str, holds: Callable[[task_pb2.Task], object]) -> task_pb2.Task:
        """The task as soon as a condition holds."""
        return await eventually(lambda: self.task(uuid), holds)

    async def manager_when(
        self, manager: ScriptedManager, holds: Callable[[manager_pb2.NodeManager], object]
    ) -> manager_pb2.NodeManager:
        """The manager as soon as a condition holds."""
        return await eventually(lambda: self.manager(manager), holds)


async def eventually(read: Callable[[], Awaitable[Value]], holds: Callable[[Value], object]) -> Value:
    """What is read as soon as a condition holds; fail the test after some seconds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        value = await read()
        if holds(value):
            return value
        assert time.monotonic() < deadline, f"waited in vain; the last was\n{value}"
        await asyncio.sleep(0.01)


async def refused(call: Awaitable[Any]) -> Refusal:
    """What a call that must fail was refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)
