"""Tokens that end before their time, against a real coordinator."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest

from mitosis.v1 import (
    admin_service_pb2,
    auth_service_pb2,
    manager_service_pb2,
    manager_stream_pb2,
    user_pb2,
    worker_service_pb2,
)
from tests.support.api import ADMIN, WORKER, Api, refused
from tests.support.coordinator import USER_PASSWORD, bearer, refusal

WHO_AM_I = auth_service_pb2.GetCurrentUserRequest()
REVOKE = auth_service_pb2.RevokeTokensRequest()


async def test_a_user_ends_all_tokens_of_ones_own_and_logs_in_again(api: Api) -> None:
    auth = api.coordinator.auth
    username, first = await api.coordinator.new_user()
    second = await api.coordinator.log_in(username, USER_PASSWORD)
    _, other = await api.coordinator.new_user()
    for token in (first, second, other):
        await auth.GetCurrentUser(WHO_AM_I, metadata=bearer(token))
    await auth.RevokeTokens(REVOKE, metadata=bearer(first))
    for token in (first, second):
        told = await refused(auth.GetCurrentUser(WHO_AM_I, metadata=bearer(token)))
        assert (told.reason, told.message) == ("INVALID_TOKEN", "the token was revoked; log in again")
    await auth.GetCurrentUser(WHO_AM_I, metadata=bearer(other))
    # Within the same second, and good all the same.
    fresh = await api.coordinator.log_in(username, USER_PASSWORD)
    await auth.GetCurrentUser(WHO_AM_I, metadata=bearer(fresh))


async def test_an_administrator_ends_the_tokens_of_a_user(api: Api) -> None:
    username, token = await api.coordinator.new_user()
    await api.coordinator.auth.GetCurrentUser(WHO_AM_I, metadata=bearer(token))
    request = admin_service_pb2.RevokeUserTokensRequest(username=username)
    answer = await api.coordinator.admin.RevokeUserTokens(request, metadata=api.metadata)
    assert (answer.user.username, answer.user.disabled) == (username, False)
    told = await refused(api.coordinator.auth.GetCurrentUser(WHO_AM_I, metadata=bearer(token)))
    assert told.reason == "INVALID_TOKEN"
    await api.coordinator.log_in(username, USER_PASSWORD)


async def test_a_revoked_manager_is_cut_off_and_a_renewed_one_resumes(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid)
    manager = await api.connect(memberships=[WORKER, ADMIN])
    await manager.start()
    admin = await api.user(user_pb2.GROUP_ROLE_ADMIN)
    request = manager_service_pb2.RevokeManagerTokenRequest(uuid=manager.uuid)
    answer = await admin.managers.RevokeManagerToken(request, metadata=admin.metadata)
    assert (answer.manager.uuid, answer.HasField("token")) == (manager.uuid, False)
    ended = await asyncio.wait_for(manager.ended(), 10)
    assert ended is not None
    assert refusal(ended).reason == "INVALID_TOKEN"
    with pytest.raises(AssertionError, match="UNAUTHENTICATED"):
        await manager.attach()
    request.renew = True
    renewed = await admin.managers.RevokeManagerToken(request, metadata=admin.metadata)
    assert renewed.HasField("token_expires_at")
    manager.token = renewed.token
    assert (await manager.attach()).verdict == manager_stream_pb2.ATTACH_VERDICT_RESUME
    assert (await api.suite(suite.uuid)).assigned_managers == 1


async def test_a_manager_that_only_works_for_a_group_is_not_its_to_revoke(api: Api) -> None:
    manager = await api.connect(memberships=[WORKER])
    admin = await api.user(user_pb2.GROUP_ROLE_ADMIN)
    request = manager_service_pb2.RevokeManagerTokenRequest(uuid=manager.uuid)
    told = await refused(admin.managers.RevokeManagerToken(request, metadata=admin.metadata))
    assert told.reason == "PERMISSION_DENIED"
    await manager.drop()
    await manager.attach()


async def test_a_revoked_worker_is_cut_off_and_comes_back_with_a_new_token(api: Api) -> None:
    worker = await api.connect_worker()
    request = worker_service_pb2.RevokeWorkerTokenRequest(uuid=worker.uuid)
    member = await api.user(user_pb2.GROUP_ROLE_MEMBER)
    told = await refused(member.workers.RevokeWorkerToken(request, metadata=member.metadata))
    assert told.reason == "PERMISSION_DENIED"
    admin = await api.user(user_pb2.GROUP_ROLE_ADMIN)
    assert not (await admin.workers.RevokeWorkerToken(request, metadata=admin.metadata)).HasField("token")
    ended = await asyncio.wait_for(worker.ended(), 10)
    assert isinstance(ended, grpc.aio.AioRpcError)
    with pytest.raises(AssertionError, match="UNAUTHENTICATED"):
        await worker.attach()
    request.renew = True
    worker.token = (await admin.workers.RevokeWorkerToken(request, metadata=admin.metadata)).token
    await worker.attach()


async def test_registering_again_ends_a_token_that_was_in_use(api: Api) -> None:
    request = manager_service_pb2.RegisterManagerRequest(name="once", group_memberships=[WORKER], request_id="r-1")
    first = await api.managers.RegisterManager(request, metadata=api.metadata)
    beat = manager_service_pb2.HeartbeatRequest()
    await api.managers.Heartbeat(beat, metadata=bearer(first.token))
    await api.managers.RegisterManager(request, metadata=api.metadata)
    assert (await refused(api.managers.Heartbeat(beat, metadata=bearer(first.token)))).reason == "INVALID_TOKEN"
