"""Which token opens which RPC: the whole contract, so that a new RPC is decided on and not forgotten."""

from google.protobuf.descriptor import ServiceDescriptor

from mitosis.v1 import (
    admin_service_pb2,
    auth_service_pb2,
    manager_service_pb2,
    suite_service_pb2,
    task_service_pb2,
)
from mitosis_coordinator.rpc.access import required_token
from mitosis_coordinator.services.tokens import TokenKind

_MODULES = (admin_service_pb2, auth_service_pb2, manager_service_pb2, suite_service_pb2, task_service_pb2)

OPEN = {"AuthService/Login"}
FOR_MANAGERS = {"ManagerService/Heartbeat", "ManagerService/RefreshToken", "ManagerService/Connect"}
FOR_USERS = {
    "AuthService": {"GetCurrentUser", "ChangePassword"},
    "AdminService": {
        "CreateUser",
        "ListUsers",
        "UpdateUser",
        "CreateGroup",
        "GetGroup",
        "ListGroups",
        "SetMember",
        "RemoveMember",
    },
    "ManagerService": {"RegisterManager", "ListManagers", "GetManager", "ShutdownManager"},
}


def services() -> list[ServiceDescriptor]:
    return [service for module in _MODULES for service in module.DESCRIPTOR.services_by_name.values()]


def test_every_rpc_has_its_row() -> None:
    decided = {
        f"{service.name}/{method.name}": required_token(f"/{service.full_name}/{method.name}")
        for service in services()
        for method in service.methods
    }
    assert {name for name, kind in decided.items() if kind is None} == OPEN
    assert {name for name, kind in decided.items() if kind is TokenKind.MANAGER} == FOR_MANAGERS
    for_users = {name for name, kind in decided.items() if kind is TokenKind.USER}
    for service, methods in FOR_USERS.items():
        assert {name.partition("/")[2] for name in for_users if name.startswith(f"{service}/")} == methods
    # Suites and tasks are the users' alone.
    assert {name.partition("/")[0] for name in for_users} == {*FOR_USERS, "SuiteService", "TaskService"}


def test_probes_and_debugging_tools_need_no_token() -> None:
    assert required_token("/grpc.health.v1.Health/Check") is None
    for version in ("v1", "v1alpha"):
        assert required_token(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo") is None


def test_what_is_unknown_is_closed() -> None:
    assert required_token("/mitosis.v1.FutureService/Anything") is TokenKind.USER
    assert required_token("/grpc.channelz.v1.Channelz/GetServers") is TokenKind.USER
