"""Users and groups as messages."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from mitosis.v1 import user_pb2
from mitosis_coordinator.domain.errors import InvalidField
from mitosis_coordinator.domain.principal import GroupRole
from mitosis_coordinator.storage.groups import Group
from mitosis_coordinator.storage.users import User


def user_message(user: User) -> user_pb2.User:
    """A user with all memberships."""
    return user_pb2.User(
        uuid=str(user.id),
        username=user.username,
        is_admin=user.is_admin,
        disabled=user.disabled,
        memberships=[
            user_pb2.UserMembership(group_name=name, role=role_message(role)) for name, role in user.memberships.items()
        ],
        created_at=timestamp(user.created_at),
    )


def group_message(group: Group) -> user_pb2.Group:
    """A group with the members it was read with."""
    return user_pb2.Group(
        uuid=str(group.id),
        group_name=group.name,
        members=[
            user_pb2.GroupMember(username=username, role=role_message(role)) for username, role in group.members.items()
        ],
        created_at=timestamp(group.created_at),
    )


def role_message(role: GroupRole) -> str:
    """The enum's value by its name."""
    return f"GROUP_ROLE_{role.name}"


def role_from_message(field: str, value: int) -> GroupRole:
    """Read a role.

    Raises:
        InvalidField: it is unspecified or unknown.
    """
    try:
        return GroupRole(value)
    except ValueError:
        raise InvalidField.one(field, value, "Viewer, Member or Admin") from None


def timestamp(moment: datetime) -> Timestamp:
    """A moment as a message."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message
