"""What the fields of requests accept beyond their types, as JSON Schema.

Numbers come from where the coordinator takes them; a document that promises more or less than is checked is found by
tests/contract/test_schemathesis.py.
"""

from typing import Any

from mitosis_coordinator.config import LimitsConfig
from mitosis_coordinator.domain import rules
from mitosis_coordinator.domain.plan import MAX_WORKERS
from mitosis_coordinator.rpc import requests
from mitosis_coordinator.services import paging, passwords

Schema = dict[str, Any]

_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_NO_NUL = r"^[^\u0000]*$"

UUID: Schema = {"type": "string", "format": "uuid", "pattern": f"^{_UUID}$"}
UUID_OR_EMPTY: Schema = {"type": "string", "pattern": f"^({_UUID})?$"}
DATE_TIME: Schema = {"type": "string", "format": "date-time"}

_NAME: Schema = {"minLength": 1, "maxLength": rules.MAX_NAME, "pattern": r"^[^\u0000]+$"}
_TEXT: Schema = {"maxLength": rules.MAX_TEXT, "pattern": _NO_NUL}
_REQUEST_ID: Schema = {"maxLength": rules.MAX_REQUEST_ID, "pattern": _NO_NUL}
_LABELS: Schema = {
    "maxItems": rules.MAX_TAGS,
    "items": {"type": "string", "minLength": 1, "maxLength": rules.MAX_NAME, "pattern": r"^[^,\u0000]+$"},
}
# White space as Python has it; the dialects of regular expressions do not agree on `\s`.
_SPACE = r"\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_TAGS: Schema = {
    "maxItems": rules.MAX_TAGS,
    "items": {"type": "string", "minLength": 1, "maxLength": rules.MAX_NAME, "pattern": rf"^[^,\u0000{_SPACE}]+$"},
}
_PRIORITY: Schema = {"minimum": -rules.MAX_PRIORITY, "maximum": rules.MAX_PRIORITY}
_SMALL_COUNT: Schema = {"minimum": 1, "maximum": 100}
_AUTO_CLOSE: Schema = {"minimum": 0, "maximum": rules.MAX_AUTO_CLOSE_SECONDS}
# What may be called so: a name that breaks this is of nobody and is answered NOT_FOUND.
_ACCOUNT: Schema = {"minLength": 1, "maxLength": 64, "pattern": r"^(?!\.{1,2}$)[A-Za-z0-9._@-]{1,64}$"}
_ACCOUNT_OR_EMPTY: Schema = {"maxLength": 64, "pattern": r"^[A-Za-z0-9._@-]{0,64}$"}
_PASSWORD: Schema = {"minLength": passwords.MIN_LENGTH, "maxLength": passwords.MAX_LENGTH}
_PAGE_SIZE: Schema = {"minimum": 1, "maximum": paging.MAX_PAGE_SIZE, "default": paging.DEFAULT_PAGE_SIZE}
_DIRECTORY: Schema = {"maxLength": rules.MAX_TEXT, "pattern": r"^(/[^\u0000]*)?$"}
_COMMAND: Schema = {"maxLength": rules.MAX_COMMAND, "pattern": _NO_NUL}
_ARGS: Schema = {
    "maxItems": rules.MAX_ARGS,
    "prefixItems": [{"type": "string", "minLength": 1, "maxLength": rules.MAX_COMMAND, "pattern": _NO_NUL}],
    "items": {"type": "string", "maxLength": rules.MAX_COMMAND, "pattern": _NO_NUL},
}
_ENVS: Schema = {
    "maxProperties": rules.MAX_ENVS,
    "propertyNames": {"pattern": r"^(?!MITOSIS_)[A-Za-z_][A-Za-z0-9_]*$"},
    "additionalProperties": {"type": "string", "maxLength": rules.MAX_ENV_VALUE, "pattern": _NO_NUL},
}
_MANAGER_UUIDS: Schema = {"minItems": 1, "maxItems": requests.MAX_MANAGERS_PER_CALL, "items": UUID}
_CORES: Schema = {"maxItems": MAX_WORKERS, "items": {"type": "integer", "minimum": 0, "maximum": 65_535}}


def _seconds(high: int, *, zero: bool = False) -> Schema:
    return {"minimum" if zero else "exclusiveMinimum": 0, "maximum": high}


_SUITE: dict[str, Schema] = {
    "name": _NAME,
    "description": _TEXT,
    "labels": _LABELS,
    "tags": _TAGS,
    "priority": _PRIORITY,
    "auto_close_timeout_seconds": _AUTO_CLOSE,
    "max_preparation_failures": _SMALL_COUNT,
    "max_attempts": _SMALL_COUNT,
}

# By message and field.
FIELDS: dict[str, dict[str, Schema]] = {
    "CreateSuiteRequest": {**_SUITE, "group_name": _ACCOUNT, "request_id": _REQUEST_ID},
    "UpdateSuiteRequest": _SUITE,
    "CancelSuiteRequest": {"reason": _TEXT},
    "ListSuitesRequest": {
        "group_name": _ACCOUNT_OR_EMPTY,
        "labels": _LABELS,
        "tags": _TAGS,
        "name": {"maxLength": rules.MAX_TEXT, "pattern": _NO_NUL},
        "page_size": _PAGE_SIZE,
    },
    "AddSuiteManagersRequest": {"manager_uuids": _MANAGER_UUIDS},
    "RemoveSuiteManagersRequest": {"manager_uuids": _MANAGER_UUIDS},
    "WorkerSchedulePlan": {
        "worker_count": {"minimum": 1, "maximum": MAX_WORKERS},
        "cores": _CORES,
        "task_prefetch_count": {"minimum": 0, "maximum": MAX_WORKERS},
    },
    "EnvHookSpec": {
        "command": _COMMAND,
        "args": _ARGS,
        "timeout_seconds": _seconds(requests.MAX_HOOK_SECONDS),
        "working_directory": _DIRECTORY,
        "envs": _ENVS,
    },
    "TaskSpec": {
        "command": _COMMAND,
        "args": _ARGS,
        "handler": {"pattern": r"^([A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?$"},
        "envs": _ENVS,
        "working_directory": _DIRECTORY,
        "timeout_seconds": _seconds(requests.MAX_TASK_SECONDS),
        "max_retries": {"minimum": 0, "maximum": 100},
        "retry_backoff_seconds": _seconds(requests.MAX_BACKOFF_SECONDS, zero=True),
    },
    "SubmitTaskRequest": {
        "group_name": _ACCOUNT_OR_EMPTY,
        "priority": _PRIORITY,
        "request_id": _REQUEST_ID,
        "tags": _TAGS,
    },
    "NewTask": {"priority": _PRIORITY, "tags": _TAGS},
    "SubmitTasksRequest": {
        "group_name": _ACCOUNT_OR_EMPTY,
        "tasks": {"minItems": 1, "maxItems": LimitsConfig().max_batch_tasks},
        "request_id": _REQUEST_ID,
    },
    "SubmitArrayRequest": {"priority": _PRIORITY, "request_id": _REQUEST_ID},
    "PayloadList": {"payloads": {"minItems": 1, "maxItems": LimitsConfig().max_batch_tasks}},
    "ListTasksRequest": {"group_name": _ACCOUNT_OR_EMPTY, "page_size": _PAGE_SIZE},
    "CancelTaskRequest": {"reason": _TEXT},
    "RegisterManagerRequest": {
        "name": _NAME,
        "tags": _TAGS,
        "group_memberships": {"minItems": 1, "maxItems": requests.MAX_GROUPS_PER_MANAGER},
        "max_workers": {"minimum": 1, "maximum": MAX_WORKERS, "default": 1},
        "request_id": _REQUEST_ID,
    },
    "GroupMembership": {"group_name": _NAME},
    "ListManagersRequest": {"group_name": _ACCOUNT_OR_EMPTY, "tags": _TAGS, "page_size": _PAGE_SIZE},
    "RegisterWorkerRequest": {
        "name": _NAME,
        "tags": _TAGS,
        "group_names": {
            "minItems": 1,
            "maxItems": requests.MAX_GROUPS_PER_WORKER,
            "items": {"type": "string", **_NAME},
        },
        "request_id": _REQUEST_ID,
    },
    "ListWorkersRequest": {"group_name": _ACCOUNT_OR_EMPTY, "tags": _TAGS, "page_size": _PAGE_SIZE},
    "CreateUserRequest": {"username": _ACCOUNT, "password": _PASSWORD},
    "UpdateUserRequest": {"username": _ACCOUNT, "password": _PASSWORD},
    "ChangePasswordRequest": {"new_password": _PASSWORD},
    "ListUsersRequest": {"page_size": _PAGE_SIZE},
    "CreateGroupRequest": {"group_name": _ACCOUNT},
    "GetGroupRequest": {"group_name": _ACCOUNT},
    "ListGroupsRequest": {"page_size": _PAGE_SIZE},
    "SetMemberRequest": {"group_name": _ACCOUNT, "username": _ACCOUNT},
    # Anybody can be taken out of a group, also somebody who cannot be.
    "RemoveMemberRequest": {"group_name": _ACCOUNT},
}

REQUIRED: dict[str, list[str]] = {
    "CreateSuiteRequest": ["name", "group_name"],
    "AddSuiteManagersRequest": ["manager_uuids"],
    "RemoveSuiteManagersRequest": ["manager_uuids"],
    "SubmitTasksRequest": ["tasks"],
    "PayloadList": ["payloads"],
    "RegisterManagerRequest": ["name", "group_memberships"],
    "RegisterWorkerRequest": ["name", "group_names"],
    "LoginRequest": ["username", "password"],
    "ChangePasswordRequest": ["current_password", "new_password"],
    "CreateUserRequest": ["username", "password"],
    "CreateGroupRequest": ["group_name"],
    "SetMemberRequest": ["username", "role"],
}

_GIVEN: dict[str, Schema] = {
    "command": {"required": ["command"], "properties": {"command": {"minLength": 1}}},
    "args": {"required": ["args"], "properties": {"args": {"minItems": 1}}},
    "handler": {"required": ["handler"], "properties": {"handler": {"minLength": 1}}},
}


def _both(one: str, other: str) -> Schema:
    return {
        "required": [one, other],
        "properties": {**_GIVEN[one]["properties"], **_GIVEN[other]["properties"]},
    }


# Without a suite the group must be named.
_OWNED: Schema = {
    "anyOf": [
        {"required": ["group_name"], "properties": {"group_name": {"minLength": 1}}},
        {"required": ["suite_uuid"], "properties": {"suite_uuid": {"minLength": 1}}},
    ]
}

_IN_SUITE: Schema = {"required": ["suite_uuid"], "properties": {"suite_uuid": {"minLength": 1}}}
_TAGGED: Schema = {"required": ["tags"], "properties": {"tags": {"minItems": 1}}}

# What holds between the fields of a message. The tags of a suite's task are the suite's.
BETWEEN: dict[str, Schema] = {
    "SubmitTaskRequest": {**_OWNED, "not": {"allOf": [_IN_SUITE, _TAGGED]}},
    "SubmitTasksRequest": {
        **_OWNED,
        "not": {"allOf": [_IN_SUITE, {"required": ["tasks"], "properties": {"tasks": {"contains": _TAGGED}}}]},
    },
    "SubmitArrayRequest": {"allOf": [_IN_SUITE], "anyOf": [{"required": ["range"]}, {"required": ["list"]}]},
    "EnvHookSpec": {"oneOf": [_GIVEN["command"], _GIVEN["args"]]},
    "TaskSpec": {"not": {"anyOf": [_both("command", "args"), _both("command", "handler"), _both("args", "handler")]}},
}

# Plain strings that hold an identifier, by name; where it may be missing, it is empty.
ALWAYS_A_UUID = {"uuid", "manager_uuid", "manager_uuids", "task_uuids"}
MAYBE_A_UUID = {"suite_uuid", "assigned_suite_uuid"}
MAYBE_A_UUID_IN = {
    "Task": {"manager_uuid", "worker_uuid"},
    "TaskFailure": {"manager_uuid", "worker_uuid"},
    "Obstacle": {"manager_uuid", "worker_uuid"},
}
