"""Users, groups and memberships through the wire, and who may change them."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest

from mitosis.v1 import admin_service_pb2 as pb
from mitosis.v1 import auth_service_pb2
from tests.support.coordinator import USER_PASSWORD, Refusal, RunningCoordinator, bearer, refusal

VIEWER, MEMBER, ADMIN = "GROUP_ROLE_VIEWER", "GROUP_ROLE_MEMBER", "GROUP_ROLE_ADMIN"


async def refused(call: Any) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


def new_user(username: str, password: str = USER_PASSWORD) -> pb.CreateUserRequest:
    return pb.CreateUserRequest(username=username, password=password)


async def test_a_user_is_created_once_in_whatever_case(coordinator: RunningCoordinator) -> None:
    as_admin = coordinator.as_admin
    created = (await coordinator.admin.CreateUser(new_user("Ada"), metadata=as_admin)).user
    assert (created.username, created.is_admin, created.disabled, list(created.memberships)) == (
        "Ada",
        False,
        False,
        [],
    )
    again = await refused(coordinator.admin.CreateUser(new_user("ada"), metadata=as_admin))
    assert again.reason == "ALREADY_EXISTS"
    assert again.details["ResourceInfo"].resource_name == "ada"
    await coordinator.log_in("ADA", USER_PASSWORD)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (new_user(""), "username"),
        (new_user("with space"), "username"),
        (new_user("x" * 65), "username"),
        (new_user("bob", "short"), "password"),
        (new_user("bob", "x" * 1025), "password"),
    ],
)
async def test_a_bad_user_is_refused_by_field(
    coordinator: RunningCoordinator, request_: pb.CreateUserRequest, field: str
) -> None:
    told = await refused(coordinator.admin.CreateUser(request_, metadata=coordinator.as_admin))
    assert list(told.fields) == [field]
    assert "accepts" in told.fields[field]
    users = await coordinator.admin.ListUsers(pb.ListUsersRequest(), metadata=coordinator.as_admin)
    assert [user.username for user in users.users] == ["admin"]


async def test_only_administrators_make_users_and_groups(coordinator: RunningCoordinator) -> None:
    username, token = await coordinator.new_user()
    as_user = bearer(token)
    for call in (
        coordinator.admin.CreateUser(new_user("eve"), metadata=as_user),
        coordinator.admin.ListUsers(pb.ListUsersRequest(), metadata=as_user),
        coordinator.admin.UpdateUser(pb.UpdateUserRequest(username=username, is_admin=True), metadata=as_user),
        coordinator.admin.CreateGroup(pb.CreateGroupRequest(group_name="physics"), metadata=as_user),
    ):
        assert (await refused(call)).reason == "PERMISSION_DENIED"


async def test_users_are_listed_in_pages_by_name(coordinator: RunningCoordinator) -> None:
    for name in ("Zoe", "bob", "Ada"):
        await coordinator.new_user(name=name)
    await coordinator.admin.SetMember(
        pb.SetMemberRequest(group_name="default", username="bob", role=MEMBER), metadata=coordinator.as_admin
    )
    seen, token = [], ""
    while True:
        page = await coordinator.admin.ListUsers(
            pb.ListUsersRequest(page_size=2, page_token=token), metadata=coordinator.as_admin
        )
        seen += [(user.username, [item.group_name for item in user.memberships]) for user in page.users]
        token = page.next_page_token
        if not token:
            break
        assert len(page.users) == 2
    assert seen == [("Ada", []), ("admin", ["default"]), ("bob", ["default"]), ("Zoe", [])]


@pytest.mark.parametrize(
    ("size", "token", "field"), [(0, "", "page_size"), (1001, "", "page_size"), (5, "x", "page_token")]
)
async def test_bad_pages_are_refused(coordinator: RunningCoordinator, size: int, token: str, field: str) -> None:
    request = pb.ListUsersRequest(page_size=size, page_token=token)
    assert list((await refused(coordinator.admin.ListUsers(request, metadata=coordinator.as_admin))).fields) == [field]


async def test_a_page_token_of_another_list_is_refused(coordinator: RunningCoordinator) -> None:
    await coordinator.new_user()
    page = await coordinator.admin.ListUsers(pb.ListUsersRequest(page_size=1), metadata=coordinator.as_admin)
    told = await refused(
        coordinator.admin.ListGroups(
            pb.ListGroupsRequest(page_token=page.next_page_token), metadata=coordinator.as_admin
        )
    )
    assert list(told.fields) == ["page_token"]


async def test_disabling_ends_tokens_and_logins_and_can_be_undone(coordinator: RunningCoordinator) -> None:
    username, token = await coordinator.new_user()
    who_am_i = auth_service_pb2.GetCurrentUserRequest()
    await coordinator.auth.GetCurrentUser(who_am_i, metadata=bearer(token))
    disable = pb.UpdateUserRequest(username=username, disabled=True)
    for _ in range(2):
        assert (await coordinator.admin.UpdateUser(disable, metadata=coordinator.as_admin)).user.disabled
    assert (await refused(coordinator.auth.GetCurrentUser(who_am_i, metadata=bearer(token)))).reason == "INVALID_TOKEN"
    login = auth_service_pb2.LoginRequest(username=username, password=USER_PASSWORD)
    assert (await refused(coordinator.auth.Login(login))).reason == "INVALID_CREDENTIALS"

    enable = pb.UpdateUserRequest(username=username, disabled=False)
    assert not (await coordinator.admin.UpdateUser(enable, metadata=coordinator.as_admin)).user.disabled
    # The old token stays revoked.
    assert (await refused(coordinator.auth.GetCurrentUser(who_am_i, metadata=bearer(token)))).reason == "INVALID_TOKEN"
    await coordinator.log_in(username, USER_PASSWORD)


async def test_an_administrator_sets_a_password(coordinator: RunningCoordinator) -> None:
    username, token = await coordinator.new_user()
    request = pb.UpdateUserRequest(username=username, password="a password set by another")
    await coordinator.admin.UpdateUser(request, metadata=coordinator.as_admin)
    call = coordinator.auth.GetCurrentUser(auth_service_pb2.GetCurrentUserRequest(), metadata=bearer(token))
    assert (await refused(call)).reason == "INVALID_TOKEN"
    await coordinator.log_in(username, "a password set by another")


async def test_an_update_of_nothing_changes_nothing(coordinator: RunningCoordinator) -> None:
    username, token = await coordinator.new_user()
    await coordinator.admin.UpdateUser(pb.UpdateUserRequest(username=username), metadata=coordinator.as_admin)
    await coordinator.auth.GetCurrentUser(auth_service_pb2.GetCurrentUserRequest(), metadata=bearer(token))


@pytest.mark.parametrize(
    ("change", "event"), [({"disabled": True}, "disabled"), ({"is_admin": False}, "demoted")], ids=["disable", "demote"]
)
async def test_the_last_administrator_stays(
    coordinator: RunningCoordinator, change: dict[str, bool], event: str
) -> None:
    request = pb.UpdateUserRequest(username="admin", **change)  # type: ignore[arg-type]
    told = await refused(coordinator.admin.UpdateUser(request, metadata=coordinator.as_admin))
    assert told.reason == "WRONG_STATE"
    assert told.facts == {"state": "LastAdministrator", "event": event, "allowed": ""}
    assert told.message == f"user admin is the last administrator, so it cannot be {event}"

    other, token = await coordinator.new_user(is_admin=True)
    await coordinator.admin.UpdateUser(request, metadata=bearer(token))
    # Now the other one is the last.
    request = pb.UpdateUserRequest(username=other, **change)  # type: ignore[arg-type]
    assert (await refused(coordinator.admin.UpdateUser(request, metadata=bearer(token)))).reason == "WRONG_STATE"


async def test_unknown_names_are_not_found(coordinator: RunningCoordinator) -> None:
    as_admin = coordinator.as_admin
    for call in (
        coordinator.admin.UpdateUser(pb.UpdateUserRequest(username="nobody"), metadata=as_admin),
        coordinator.admin.UpdateUser(pb.UpdateUserRequest(username="a\0b"), metadata=as_admin),
        coordinator.admin.GetGroup(pb.GetGroupRequest(group_name="nothing"), metadata=as_admin),
        coordinator.admin.SetMember(
            pb.SetMemberRequest(group_name="default", username="nobody", role=MEMBER), metadata=as_admin
        ),
        coordinator.admin.SetMember(
            pb.SetMemberRequest(group_name="nothing", username="admin", role=MEMBER), metadata=as_admin
        ),
        coordinator.admin.RemoveMember(
            pb.RemoveMemberRequest(group_name="nothing", username="admin"), metadata=as_admin
        ),
    ):
        assert (await refused(call)).reason == "NOT_FOUND"


async def test_a_group_belongs_to_its_maker(coordinator: RunningCoordinator) -> None:
    created = await coordinator.admin.CreateGroup(
        pb.CreateGroupRequest(group_name="physics"), metadata=coordinator.as_admin
    )
    assert [(member.username, member.role) for member in created.group.members] == [("admin", 3)]
    again = coordinator.admin.CreateGroup(pb.CreateGroupRequest(group_name="physics"), metadata=coordinator.as_admin)
    assert (await refused(again)).reason == "ALREADY_EXISTS"
    bad = coordinator.admin.CreateGroup(pb.CreateGroupRequest(group_name="a,b"), metadata=coordinator.as_admin)
    assert list((await refused(bad)).fields) == ["group_name"]


async def test_a_group_is_seen_by_its_members_and_changed_by_its_admins(coordinator: RunningCoordinator) -> None:
    alice, alice_token = await coordinator.new_user()
    bob, bob_token = await coordinator.new_user()
    as_alice, as_bob = bearer(alice_token), bearer(bob_token)
    await coordinator.admin.CreateGroup(pb.CreateGroupRequest(group_name="physics"), metadata=coordinator.as_admin)
    see = pb.GetGroupRequest(group_name="physics")
    list_groups = pb.ListGroupsRequest()

    assert (await refused(coordinator.admin.GetGroup(see, metadata=as_alice))).reason == "NOT_FOUND"
    assert not (await coordinator.admin.ListGroups(list_groups, metadata=as_alice)).groups

    await coordinator.admin.SetMember(
        pb.SetMemberRequest(group_name="physics", username=alice.upper(), role=MEMBER), metadata=coordinator.as_admin
    )
    assert len((await coordinator.admin.GetGroup(see, metadata=as_alice)).group.members) == 2
    listed = (await coordinator.admin.ListGroups(list_groups, metadata=as_alice)).groups
    assert [(group.group_name, list(group.members)) for group in listed] == [("physics", [])]
    add_bob = pb.SetMemberRequest(group_name="physics", username=bob, role=VIEWER)
    assert (await refused(coordinator.admin.SetMember(add_bob, metadata=as_alice))).reason == "PERMISSION_DENIED"
    assert (await refused(coordinator.admin.SetMember(add_bob, metadata=as_bob))).reason == "NOT_FOUND"

    await coordinator.admin.SetMember(
        pb.SetMemberRequest(group_name="physics", username=alice, role=ADMIN), metadata=coordinator.as_admin
    )
    for _ in range(2):
        await coordinator.admin.SetMember(add_bob, metadata=as_alice)
    assert len((await coordinator.admin.GetGroup(see, metadata=as_bob)).group.members) == 3
    remove_bob = pb.RemoveMemberRequest(group_name="physics", username=bob)
    for _ in range(2):
        left = await coordinator.admin.RemoveMember(remove_bob, metadata=as_alice)
        assert sorted(member.username for member in left.group.members) == sorted(["admin", alice])
    assert (await refused(coordinator.admin.GetGroup(see, metadata=as_bob))).reason == "NOT_FOUND"
    # Leaving by oneself is a change like any other, and the answer still shows what is left.
    await coordinator.admin.RemoveMember(
        pb.RemoveMemberRequest(group_name="physics", username=alice), metadata=as_alice
    )
    assert (await refused(coordinator.admin.GetGroup(see, metadata=as_alice))).reason == "NOT_FOUND"


@pytest.mark.parametrize("role", [0, 7])
async def test_a_role_must_be_one_of_three(coordinator: RunningCoordinator, role: int) -> None:
    request = pb.SetMemberRequest(group_name="default", username="admin", role=role)  # type: ignore[arg-type]
    told = await refused(coordinator.admin.SetMember(request, metadata=coordinator.as_admin))
    assert told.fields == {"role": f"given {role}; accepts Viewer, Member or Admin"}
