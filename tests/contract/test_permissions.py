"""Who may call which RPC: the table of `rpc.access` against the real coordinator, as every kind of caller."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.api import annotations_pb2  # type: ignore[import-untyped]

from mitosis.v1 import admin_service_pb2 as admin
from mitosis.v1 import auth_service_pb2 as auth
from mitosis.v1 import manager_pb2, manager_stream_pb2, task_pb2, user_pb2
from mitosis.v1 import manager_service_pb2 as managers
from mitosis.v1 import suite_service_pb2 as suites
from mitosis.v1 import task_service_pb2 as tasks
from mitosis.v1 import worker_service_pb2 as workers
from mitosis_coordinator.rpc.access import RIGHTS, Right
from tests.support.api import ADMIN, Api
from tests.support.coordinator import USER_PASSWORD, RunningCoordinator, bearer, refusal
from tests.support.rpcs import call, methods

PAGE = Path(__file__).parents[2] / "docs/user-guide/permissions.md"
TASK = task_pb2.TaskSpec(command="true")
OK = "OK"

# How much each caller may do in the group that owns everything here. "outsider" is Admin, of another group.
ROLES = {"outsider": 0, "viewer": 1, "member": 2, "admin": 3, "administrator": 4}
NEEDED = {Right.USER: 0, Right.VIEWER: 1, Right.MEMBER: 2, Right.GROUP_ADMIN: 3, Right.ADMINISTRATOR: 4}


@dataclass(frozen=True)
class Things:
    """What a request may name."""

    group: str
    suite: str
    task: str
    manager: str
    worker: str


def absent(group: str) -> Things:
    """Names as long as those of what there is, of nothing."""
    return Things("x" * len(group), *(str(uuid.uuid4()) for _ in range(4)))


class World:
    """A coordinator with one caller of each kind, and fresh things for every call that may change them."""

    def __init__(self, coordinator: RunningCoordinator) -> None:
        self.coordinator = coordinator
        self.root = Api(coordinator)
        self.methods = methods(service.descriptor for service in coordinator.inner.components.services)
        self.tokens: dict[str, str | None] = {"nobody": None, "administrator": coordinator.admin_token}

    async def populate(self) -> None:
        """Make the callers."""
        group, role = "default", user_pb2
        for name, value in (
            ("viewer", role.GROUP_ROLE_VIEWER),
            ("member", role.GROUP_ROLE_MEMBER),
            ("admin", role.GROUP_ROLE_ADMIN),
        ):
            self.tokens[name] = (await self.root.user(value, group)).metadata[0][1].removeprefix("Bearer ")
        elsewhere = await self.root.group("elsewhere")
        outsider = await self.root.user(role.GROUP_ROLE_ADMIN, elsewhere)
        self.tokens["outsider"] = outsider.metadata[0][1].removeprefix("Bearer ")
        self.tokens["manager"] = (await self.root.register()).token
        self.tokens["worker"] = (await self.root.register_worker()).token

    async def things(self) -> Things:
        """A suite with a task, a manager and a worker."""
        suite = await self.root.create(f"suite {uuid.uuid4()}")
        [task] = await self.root.submit(suite.uuid)
        manager = await self.root.register(f"manager-{uuid.uuid4()}", memberships=[ADMIN])
        worker = await self.root.register_worker(f"worker-{uuid.uuid4()}")
        return Things("default", suite.uuid, task, manager.uuid, worker.uuid)

    async def refused(self, caller: str, name: str, request: Any) -> tuple[str, bytes]:
        """The reason why a caller is refused, OK for none, and all that is said about it."""
        token = self.tokens[caller]
        # One request id, so that nothing in two answers may differ.
        metadata = (*(bearer(token) if token else ()), ("x-request-id", "the-same"))
        try:
            await call(self.coordinator.channel, name, self.methods[name], request, metadata)
        except grpc.aio.AioRpcError as error:
            trailers = dict(error.trailing_metadata())
            return refusal(error).reason, repr((error.code(), error.details(), sorted(trailers.items()))).encode()
        return OK, b""


@pytest.fixture
async def world(coordinator: RunningCoordinator) -> AsyncIterator[World]:
    made = World(coordinator)
    await made.populate()
    yield made
    await made.root.close()


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def registration(it: Things) -> managers.RegisterManagerRequest:
    membership = manager_pb2.GroupMembership(group_name=it.group, role=manager_pb2.MANAGER_ROLE_WORKER)
    return managers.RegisterManagerRequest(name=unique("new"), max_workers=1, group_memberships=[membership])


def membership(it: Things) -> admin.SetMemberRequest:
    return admin.SetMemberRequest(group_name=it.group, username="admin", role=user_pb2.GROUP_ROLE_ADMIN)


# A request of each RPC that names these things and is good in everything else.
REQUESTS: dict[str, Callable[[Things], Any]] = {
    "SuiteService/CreateSuite": lambda it: suites.CreateSuiteRequest(name="new", group_name=it.group),
    "SuiteService/GetSuite": lambda it: suites.GetSuiteRequest(uuid=it.suite),
    "SuiteService/ExplainSuite": lambda it: suites.ExplainSuiteRequest(uuid=it.suite),
    "SuiteService/ListSuites": lambda it: suites.ListSuitesRequest(),
    "SuiteService/UpdateSuite": lambda it: suites.UpdateSuiteRequest(uuid=it.suite, priority=1),
    "SuiteService/CancelSuite": lambda it: suites.CancelSuiteRequest(uuid=it.suite),
    "SuiteService/CloseSuite": lambda it: suites.CloseSuiteRequest(uuid=it.suite),
    "SuiteService/RetrySuite": lambda it: suites.RetrySuiteRequest(uuid=it.suite),
    "SuiteService/RefreshSuiteManagers": lambda it: suites.RefreshSuiteManagersRequest(uuid=it.suite),
    "SuiteService/AddSuiteManagers": lambda it: suites.AddSuiteManagersRequest(
        uuid=it.suite, manager_uuids=[it.manager]
    ),
    "SuiteService/RemoveSuiteManagers": lambda it: suites.RemoveSuiteManagersRequest(
        uuid=it.suite, manager_uuids=[it.manager]
    ),
    "SuiteService/WatchSuite": lambda it: suites.WatchSuiteRequest(uuid=it.suite),
    "TaskService/SubmitTask": lambda it: tasks.SubmitTaskRequest(suite_uuid=it.suite, task_spec=TASK),
    "TaskService/SubmitTasks": lambda it: tasks.SubmitTasksRequest(
        suite_uuid=it.suite, tasks=[tasks.NewTask(task_spec=TASK)]
    ),
    "TaskService/SubmitTaskStream": lambda it: tasks.SubmitTaskStreamRequest(
        suite_uuid=it.suite, tasks=[tasks.NewTask(task_spec=TASK)]
    ),
    "TaskService/SubmitArray": lambda it: tasks.SubmitArrayRequest(
        suite_uuid=it.suite, task_spec=TASK, range=tasks.PayloadRange(stop=3)
    ),
    "TaskService/GetTask": lambda it: tasks.GetTaskRequest(uuid=it.task),
    "TaskService/ExplainTask": lambda it: tasks.ExplainTaskRequest(uuid=it.task),
    "TaskService/ListTasks": lambda it: tasks.ListTasksRequest(),
    "TaskService/CancelTask": lambda it: tasks.CancelTaskRequest(uuid=it.task),
    "ManagerService/RegisterManager": registration,
    "ManagerService/Heartbeat": lambda it: managers.HeartbeatRequest(),
    "ManagerService/RefreshToken": lambda it: managers.RefreshTokenRequest(),
    "ManagerService/ListManagers": lambda it: managers.ListManagersRequest(),
    "ManagerService/GetManager": lambda it: managers.GetManagerRequest(uuid=it.manager),
    "ManagerService/ShutdownManager": lambda it: managers.ShutdownManagerRequest(uuid=it.manager),
    "ManagerService/DrainManager": lambda it: managers.DrainManagerRequest(uuid=it.manager),
    "ManagerService/ResumeManager": lambda it: managers.ResumeManagerRequest(uuid=it.manager),
    "ManagerService/RevokeManagerToken": lambda it: managers.RevokeManagerTokenRequest(uuid=it.manager),
    "ManagerService/Connect": lambda it: manager_stream_pb2.ConnectRequest(
        attach=manager_stream_pb2.Attach(session_uuid=str(uuid.uuid4()), max_workers=1)
    ),
    "WorkerService/RegisterWorker": lambda it: workers.RegisterWorkerRequest(
        name=unique("new"), group_names=[it.group]
    ),
    "WorkerService/RefreshWorkerToken": lambda it: workers.RefreshWorkerTokenRequest(),
    "WorkerService/ListWorkers": lambda it: workers.ListWorkersRequest(),
    "WorkerService/GetWorker": lambda it: workers.GetWorkerRequest(uuid=it.worker),
    "WorkerService/ShutdownWorker": lambda it: workers.ShutdownWorkerRequest(uuid=it.worker),
    "WorkerService/RevokeWorkerToken": lambda it: workers.RevokeWorkerTokenRequest(uuid=it.worker),
    "WorkerService/ConnectWorker": lambda it: workers.ConnectWorkerRequest(
        attach=workers.WorkerAttach(session_uuid=str(uuid.uuid4()))
    ),
    "AuthService/Login": lambda it: auth.LoginRequest(username="nobody", password="wrong"),
    "AuthService/GetCurrentUser": lambda it: auth.GetCurrentUserRequest(),
    # The wrong one, because the right one would revoke the caller's token.
    "AuthService/ChangePassword": lambda it: auth.ChangePasswordRequest(
        current_password="wrong password", new_password="another password"
    ),
    "AuthService/RevokeTokens": lambda it: auth.RevokeTokensRequest(),
    "AdminService/CreateUser": lambda it: admin.CreateUserRequest(username=unique("u"), password=USER_PASSWORD),
    "AdminService/ListUsers": lambda it: admin.ListUsersRequest(),
    "AdminService/UpdateUser": lambda it: admin.UpdateUserRequest(username="admin", is_admin=True),
    "AdminService/RevokeUserTokens": lambda it: admin.RevokeUserTokensRequest(username="nobody"),
    "AdminService/CreateGroup": lambda it: admin.CreateGroupRequest(group_name=unique("g")),
    "AdminService/GetGroup": lambda it: admin.GetGroupRequest(group_name=it.group),
    "AdminService/ListGroups": lambda it: admin.ListGroupsRequest(),
    "AdminService/SetMember": membership,
    "AdminService/RemoveMember": lambda it: admin.RemoveMemberRequest(group_name=it.group, username="nobody"),
}

# What whoever is let through is told, where the request cannot succeed.
LET_THROUGH = {
    "AuthService/Login": "INVALID_CREDENTIALS",
    "AuthService/ChangePassword": "INVALID_CREDENTIALS",
    "ManagerService/ShutdownManager": "WRONG_STATE",
    "WorkerService/ShutdownWorker": "WRONG_STATE",
    "SuiteService/AddSuiteManagers": "INVALID_FIELD",
    "AdminService/RevokeUserTokens": "NOT_FOUND",
}

# Other ways to name something of a group, in RPCs that are open to every user or name more than one thing.
MORE_REQUESTS: dict[str, tuple[str, Callable[[Things], Any]]] = {
    "suites of a group": ("SuiteService/ListSuites", lambda it: suites.ListSuitesRequest(group_name=it.group)),
    "tasks of a group": ("TaskService/ListTasks", lambda it: tasks.ListTasksRequest(group_name=it.group)),
    "tasks of a suite": ("TaskService/ListTasks", lambda it: tasks.ListTasksRequest(suite_uuid=it.suite)),
    "managers of a group": (
        "ManagerService/ListManagers",
        lambda it: managers.ListManagersRequest(group_name=it.group),
    ),
    "workers of a group": ("WorkerService/ListWorkers", lambda it: workers.ListWorkersRequest(group_name=it.group)),
    "a task of a group": (
        "TaskService/SubmitTask",
        lambda it: tasks.SubmitTaskRequest(group_name=it.group, task_spec=TASK),
    ),
    "a task of suite and group": (
        "TaskService/SubmitTask",
        lambda it: tasks.SubmitTaskRequest(group_name=it.group, suite_uuid=it.suite, task_spec=TASK),
    ),
}


def short(name: str) -> str:
    return name.removeprefix("mitosis.v1.")


def expected(caller: str, name: str, right: Right) -> str:
    """What the table says of a caller."""
    through = LET_THROUGH.get(short(name), OK)
    if right is Right.NOTHING:
        return through
    if caller == "nobody":
        return "INVALID_TOKEN"
    if (caller == "manager") != (right is Right.MANAGER) or (caller == "worker") != (right is Right.WORKER):
        return "WRONG_TOKEN_KIND"
    if caller in ("manager", "worker") or ROLES[caller] >= NEEDED[right]:
        return through
    group_right = right in (Right.VIEWER, Right.MEMBER, Right.GROUP_ADMIN)
    return "NOT_FOUND" if group_right and ROLES[caller] == 0 else "PERMISSION_DENIED"


async def test_every_rpc_that_is_served_has_a_row_and_a_request(coordinator: RunningCoordinator) -> None:
    served = set(methods(service.descriptor for service in coordinator.inner.components.services))
    assert served == set(RIGHTS)
    assert {short(name) for name in served} == set(REQUESTS)


async def test_every_rpc_answers_every_caller_as_the_table_says(world: World) -> None:
    wanted, found = {}, {}
    # Who has revoked all tokens makes no further call, and the administrator makes the things of all calls.
    for name, right in sorted(RIGHTS.items(), key=lambda row: row[0].endswith("/RevokeTokens")):
        for caller in sorted(world.tokens, key=lambda caller: caller == "administrator"):
            request = REQUESTS[short(name)](await world.things())
            wanted[name, caller] = expected(caller, name, right)
            found[name, caller], _ = await world.refused(caller, name, request)
    assert found == wanted


async def test_what_belongs_to_others_and_what_is_not_there_are_the_same(world: World) -> None:
    probes = {
        short(name): (name, REQUESTS[short(name)])
        for name, right in RIGHTS.items()
        if right in (Right.VIEWER, Right.MEMBER, Right.GROUP_ADMIN)
    }
    probes |= {title: (f"mitosis.v1.{name}", make) for title, (name, make) in MORE_REQUESTS.items()}
    theirs = await world.things()
    nothing = absent(theirs.group)
    for title, (name, make) in probes.items():
        reason, told = await world.refused("outsider", name, make(theirs))
        assert reason == "NOT_FOUND", title
        _, told_of_nothing = await world.refused("outsider", name, make(nothing))
        for one, other in zip(vars(theirs).values(), vars(nothing).values(), strict=True):
            told = told.replace(one.encode(), other.encode())
        assert told == told_of_nothing, title


async def test_a_manager_of_another_group_cannot_be_guessed_through_a_suite_of_ones_own(world: World) -> None:
    theirs = await world.things()
    own = Api(world.coordinator, world.tokens["outsider"])
    suite = await own.create("own", "elsewhere")
    name = "mitosis.v1.SuiteService/AddSuiteManagers"
    told = []
    for manager in (theirs.manager, str(uuid.uuid4())):
        request = REQUESTS[short(name)](replace(theirs, suite=suite.uuid, manager=manager))
        reason, text = await world.refused("outsider", name, request)
        assert reason == "NOT_FOUND"
        told.append(text.replace(manager.encode(), b"<manager>"))
    assert told[0] == told[1]
    name = "mitosis.v1.SuiteService/RemoveSuiteManagers"
    for manager in (theirs.manager, str(uuid.uuid4())):
        request = REQUESTS[short(name)](replace(theirs, suite=suite.uuid, manager=manager))
        assert (await world.refused("outsider", name, request))[0] == OK


async def test_lists_hold_nothing_of_other_groups(world: World) -> None:
    theirs = await world.things()
    lists: dict[str, Callable[[Api], Awaitable[Any]]] = {
        theirs.suite: lambda api: api.suites.ListSuites(suites.ListSuitesRequest(), metadata=api.metadata),
        theirs.task: lambda api: api.tasks.ListTasks(tasks.ListTasksRequest(), metadata=api.metadata),
        theirs.manager: lambda api: api.managers.ListManagers(managers.ListManagersRequest(), metadata=api.metadata),
        theirs.worker: lambda api: api.workers.ListWorkers(workers.ListWorkersRequest(), metadata=api.metadata),
        f'"{theirs.group}"': lambda api: world.coordinator.admin.ListGroups(
            admin.ListGroupsRequest(), metadata=api.metadata
        ),
    }
    viewer, outsider = (Api(world.coordinator, world.tokens[name]) for name in ("viewer", "outsider"))
    for thing, listed in lists.items():
        assert thing in str(await listed(viewer))
        assert thing not in str(await listed(outsider))


async def test_the_page_shows_the_table(coordinator: RunningCoordinator) -> None:
    served = methods(service.descriptor for service in coordinator.inner.components.services)
    wanted = {}
    for name, right in RIGHTS.items():
        rule = served[name].GetOptions().Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        path = f"`{verb.upper()} {getattr(rule, verb)}`" if verb else ""
        wanted[short(name)] = (path, right.value)
    rows = re.findall(r"^\| `(\w+/\w+)` \| (.*?) ?\| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert {rpc: (path, right) for rpc, path, right in rows} == wanted
