"""Who may call which RPC: the whole contract in one table.

Tokens and administrators are checked here, before the request is looked at. A role in a group is checked by the
service, in the transaction that acts, because only there it is known whose thing the request names.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from mitosis_coordinator.domain.errors import PermissionDenied
from mitosis_coordinator.domain.principal import Principal, UserPrincipal
from mitosis_coordinator.services.tokens import TokenKind


class Right(StrEnum):
    """What the caller of an RPC needs.

    Administrators have every role in every group. Who has no role in a group is told that its things do not exist.
    """

    NOTHING = "nothing"
    USER = "a user's token"
    VIEWER = "Viewer"
    MEMBER = "Member"
    GROUP_ADMIN = "Admin"
    ADMINISTRATOR = "administrator"
    MANAGER = "the manager's token"
    WORKER = "the worker's token"

    @property
    def token(self) -> TokenKind | None:
        """The kind of token, None for none."""
        match self:
            case Right.NOTHING:
                return None
            case Right.MANAGER:
                return TokenKind.MANAGER
            case Right.WORKER:
                return TokenKind.WORKER
            case _:
                return TokenKind.USER


RIGHTS: Final[dict[str, Right]] = {
    "mitosis.v1.SuiteService/CreateSuite": Right.MEMBER,
    "mitosis.v1.SuiteService/GetSuite": Right.VIEWER,
    "mitosis.v1.SuiteService/ExplainSuite": Right.VIEWER,
    "mitosis.v1.SuiteService/ListSuites": Right.USER,
    "mitosis.v1.SuiteService/UpdateSuite": Right.MEMBER,
    "mitosis.v1.SuiteService/CancelSuite": Right.MEMBER,
    "mitosis.v1.SuiteService/CloseSuite": Right.MEMBER,
    "mitosis.v1.SuiteService/RetrySuite": Right.MEMBER,
    "mitosis.v1.SuiteService/RefreshSuiteManagers": Right.MEMBER,
    "mitosis.v1.SuiteService/AddSuiteManagers": Right.MEMBER,
    "mitosis.v1.SuiteService/RemoveSuiteManagers": Right.MEMBER,
    "mitosis.v1.SuiteService/WatchSuite": Right.VIEWER,
    "mitosis.v1.TaskService/SubmitTask": Right.MEMBER,
    "mitosis.v1.TaskService/SubmitTasks": Right.MEMBER,
    "mitosis.v1.TaskService/SubmitTaskStream": Right.MEMBER,
    "mitosis.v1.TaskService/SubmitArray": Right.MEMBER,
    "mitosis.v1.TaskService/GetTask": Right.VIEWER,
    "mitosis.v1.TaskService/ExplainTask": Right.VIEWER,
    "mitosis.v1.TaskService/ListTasks": Right.USER,
    "mitosis.v1.TaskService/CancelTask": Right.MEMBER,
    "mitosis.v1.ManagerService/RegisterManager": Right.GROUP_ADMIN,
    "mitosis.v1.ManagerService/Heartbeat": Right.MANAGER,
    "mitosis.v1.ManagerService/RefreshToken": Right.MANAGER,
    "mitosis.v1.ManagerService/ListManagers": Right.USER,
    "mitosis.v1.ManagerService/GetManager": Right.VIEWER,
    "mitosis.v1.ManagerService/ShutdownManager": Right.GROUP_ADMIN,
    "mitosis.v1.ManagerService/DrainManager": Right.GROUP_ADMIN,
    "mitosis.v1.ManagerService/ResumeManager": Right.GROUP_ADMIN,
    "mitosis.v1.ManagerService/RevokeManagerToken": Right.GROUP_ADMIN,
    "mitosis.v1.ManagerService/Connect": Right.MANAGER,
    "mitosis.v1.WorkerService/RegisterWorker": Right.GROUP_ADMIN,
    "mitosis.v1.WorkerService/RefreshWorkerToken": Right.WORKER,
    "mitosis.v1.WorkerService/ListWorkers": Right.USER,
    "mitosis.v1.WorkerService/GetWorker": Right.VIEWER,
    "mitosis.v1.WorkerService/ShutdownWorker": Right.GROUP_ADMIN,
    "mitosis.v1.WorkerService/RevokeWorkerToken": Right.GROUP_ADMIN,
    "mitosis.v1.WorkerService/ConnectWorker": Right.WORKER,
    "mitosis.v1.AuthService/Login": Right.NOTHING,
    "mitosis.v1.AuthService/GetCurrentUser": Right.USER,
    "mitosis.v1.AuthService/ChangePassword": Right.USER,
    "mitosis.v1.AuthService/RevokeTokens": Right.USER,
    "mitosis.v1.AdminService/CreateUser": Right.ADMINISTRATOR,
    "mitosis.v1.AdminService/ListUsers": Right.ADMINISTRATOR,
    "mitosis.v1.AdminService/UpdateUser": Right.ADMINISTRATOR,
    "mitosis.v1.AdminService/RevokeUserTokens": Right.ADMINISTRATOR,
    "mitosis.v1.AdminService/CreateGroup": Right.ADMINISTRATOR,
    "mitosis.v1.AdminService/GetGroup": Right.VIEWER,
    "mitosis.v1.AdminService/ListGroups": Right.USER,
    "mitosis.v1.AdminService/SetMember": Right.GROUP_ADMIN,
    "mitosis.v1.AdminService/RemoveMember": Right.GROUP_ADMIN,
}

# Probes and debugging tools bring no token, and learn nothing but what is public.
_OPEN_SERVICES: Final = (
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
)


def required_right(method: str) -> Right:
    """What a method needs; the most there is for one without a row.

    Args:
        method: The full name, as in `/mitosis.v1.AuthService/Login`.
    """
    if method.startswith(_OPEN_SERVICES):
        return Right.NOTHING
    return RIGHTS.get(method.removeprefix("/"), Right.ADMINISTRATOR)


def required_token(method: str) -> TokenKind | None:
    """The kind of token that a method needs, None for none."""
    return required_right(method).token


def require_administrator(method: str, caller: Principal) -> None:
    """Check what needs no look at the request.

    Raises:
        PermissionDenied: The method is for administrators, and the caller is none.
    """
    if required_right(method) is not Right.ADMINISTRATOR:
        return
    if not (isinstance(caller, UserPrincipal) and caller.is_admin):
        raise PermissionDenied("only administrators may do this")
