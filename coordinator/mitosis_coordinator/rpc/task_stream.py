"""Submission by a stream: each message a transaction, the next one decoded while the database stores the last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from mitosis.v1 import task_service_pb2 as pb
from mitosis_coordinator.domain.ids import UuidBlock
from mitosis_coordinator.domain.rules import MAX_REQUEST_ID, Rules
from mitosis_coordinator.rpc import requests
from mitosis_coordinator.rpc.context import current_user
from mitosis_coordinator.rpc.requests import Limits
from mitosis_coordinator.services.submission import SubmissionService

# What a message adds to the stream's request id.
_MAX_SUFFIX = 28


class TaskStream:
    """One call of `SubmitTaskStream`."""

    def __init__(self, submission: SubmissionService, limits: Limits) -> None:
        self._submission = submission
        self._limits = limits
        self._answer = pb.SubmitTaskStreamResponse()
        self._storing: asyncio.Task[UuidBlock] | None = None

    async def stored(self, messages: AsyncIterator[pb.SubmitTaskStreamRequest]) -> pb.SubmitTaskStreamResponse:
        """Store every message, one after the other.

        Raises:
            MitosisError: What `SubmissionService.submit` raises of a message; those before it are stored.
        """
        first: pb.SubmitTaskStreamRequest | None = None
        number = count = 0
        try:
            async for message in messages:
                if first is None:
                    first = pb.SubmitTaskStreamRequest(
                        group_name=message.group_name, suite_uuid=message.suite_uuid, request_id=message.request_id
                    )
                suite_id = self._target(message, first)
                tasks = requests.new_tasks(message, self._limits, count)
                await self._settle()
                request_id = f"{first.request_id}/{number}" if first.request_id else ""
                # The names that `SubmitTasks` would be given: it then knows what was stored here.
                message.group_name, message.request_id = first.group_name, request_id
                fingerprint = requests.fingerprint(message) if request_id else b""
                self._storing = asyncio.create_task(
                    self._submission.submit(
                        current_user(), first.group_name, suite_id, tasks, request_id, fingerprint, before=count
                    )
                )
                number += 1
                count += len(tasks)
        finally:
            await self._settle()
        return self._answer

    def _target(self, message: pb.SubmitTaskStreamRequest, first: pb.SubmitTaskStreamRequest) -> UUID | None:
        rules = Rules()
        for field in ("group_name", "suite_uuid", "request_id"):
            given, said = getattr(message, field), getattr(first, field)
            if given not in ("", said):
                rules.refuse(field, given, f'"{said}", as in the first message, or nothing')
        rules.text("request_id", first.request_id, MAX_REQUEST_ID - _MAX_SUFFIX)
        suite_id = rules.optional_uuid("suite_uuid", first.suite_uuid)
        rules.raise_if_broken()
        message.suite_uuid = first.suite_uuid
        return suite_id

    async def _settle(self) -> None:
        """Wait for the message that is being stored."""
        if self._storing is not None:
            storing, self._storing = self._storing, None
            ids = await storing
            self._answer.task_count += len(ids)
            self._answer.ranges.append(task_range(ids))


def task_range(ids: UuidBlock) -> pb.TaskRange:
    """Encode consecutive ids."""
    return pb.TaskRange(first_task_uuid=str(ids[0]), count=len(ids))
