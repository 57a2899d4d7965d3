"""What the table of permissions says where it has no row, and before a request is looked at."""

from uuid import uuid4

import pytest

from mitosis_coordinator.domain.errors import PermissionDenied
from mitosis_coordinator.domain.principal import ManagerPrincipal, UserPrincipal
from mitosis_coordinator.rpc.access import RIGHTS, Right, require_administrator, required_right, required_token
from mitosis_coordinator.services.tokens import TokenKind

FOR_ADMINISTRATORS = "/mitosis.v1.AdminService/CreateUser"


def test_a_row_says_which_token() -> None:
    assert required_token("/mitosis.v1.AuthService/Login") is None
    assert required_token("/mitosis.v1.ManagerService/Heartbeat") is TokenKind.MANAGER
    assert required_token("/mitosis.v1.WorkerService/ConnectWorker") is TokenKind.WORKER
    assert required_token("/mitosis.v1.SuiteService/GetSuite") is TokenKind.USER
    assert {right for right in Right if right.token is None} == {Right.NOTHING}


def test_probes_and_debugging_tools_need_no_token() -> None:
    assert required_token("/grpc.health.v1.Health/Check") is None
    for version in ("v1", "v1alpha"):
        assert required_token(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo") is None


@pytest.mark.parametrize("method", ["/mitosis.v1.FutureService/Anything", "/grpc.channelz.v1.Channelz/GetServers", "/"])
def test_what_is_unknown_is_closed(method: str) -> None:
    assert required_right(method) is Right.ADMINISTRATOR


def test_only_administrators_pass_where_the_table_says_so() -> None:
    plain = UserPrincipal(uuid4(), "user", is_admin=False)
    for caller in (plain, ManagerPrincipal(uuid4(), "manager")):
        with pytest.raises(PermissionDenied, match="only administrators"):
            require_administrator(FOR_ADMINISTRATORS, caller)
        for name, right in RIGHTS.items():
            if right is not Right.ADMINISTRATOR:
                require_administrator(f"/{name}", caller)
    require_administrator(FOR_ADMINISTRATORS, UserPrincipal(uuid4(), "admin", is_admin=True))
