"""The Python client of Mitosis.

```python
from mitosis_client import Client

with Client("coordinator.example.com:7070", token="...") as client:
    suite = client.create_suite(name="thumbnails", group_name="media", worker_schedule={"worker_count": 8})
    client.submit_many(({"handler": "thumbs:make", "payload": name} for name in names), suite_uuid=suite.uuid)
    client.close_suite(suite.uuid)
    suite = client.wait_for_suite(suite.uuid, on_progress=lambda suite: print(suite.completed_tasks))
```

`AsyncClient` is the same for asyncio.
"""

from mitosis_client.aio.client import AsyncClient
from mitosis_client.aio.managers import Registration
from mitosis_client.aio.transport import RetryPolicy, Tls
from mitosis_client.aio.users import Login
from mitosis_client.aio.workers import WorkerRegistration
from mitosis_client.connection import Connection, find_connection
from mitosis_client.documents import MitosisClient
from mitosis_client.errors import (
    AlreadyExists,
    DeadlineExceeded,
    Disabled,
    FieldViolation,
    Internal,
    InvalidCredentials,
    InvalidField,
    InvalidToken,
    LimitExceeded,
    MitosisError,
    NotFound,
    PermissionDenied,
    RequestIdReused,
    SessionReplaced,
    ShuttingDown,
    StorageUnavailable,
    TaskFailed,
    Unauthenticated,
    Unavailable,
    WrongState,
    WrongTokenKind,
)
from mitosis_client.explain_models import Explanation, Obstacle, ObstacleKind
from mitosis_client.models import (
    CpuBinding,
    EligibleManager,
    EnvHookSpec,
    FailureKind,
    Group,
    GroupMember,
    GroupMembership,
    GroupRole,
    HookResult,
    HookRun,
    HookType,
    Manager,
    ManagerMetrics,
    ManagerRole,
    ManagerSelection,
    ManagerState,
    Suite,
    SuiteAssignment,
    SuiteState,
    Task,
    TaskFailure,
    TaskResult,
    TaskSpec,
    TaskState,
    User,
    UserMembership,
    WorkerSchedulePlan,
    WorkerScheduleStrategy,
)
from mitosis_client.specs import HookSpec, NewTask, SuiteChanges, SuiteSpec, TaskSpecFields, WorkerScheduleSpec
from mitosis_client.sync import Client
from mitosis_client.task_ranges import StoredTasks, TaskRange
from mitosis_client.worker_models import Worker, WorkerState

__all__ = [
    "AlreadyExists",
    "AsyncClient",
    "Client",
    "Connection",
    "CpuBinding",
    "DeadlineExceeded",
    "Disabled",
    "EligibleManager",
    "EnvHookSpec",
    "Explanation",
    "FailureKind",
    "FieldViolation",
    "Group",
    "GroupMember",
    "GroupMembership",
    "GroupRole",
    "HookResult",
    "HookRun",
    "HookSpec",
    "HookType",
    "Internal",
    "InvalidCredentials",
    "InvalidField",
    "InvalidToken",
    "LimitExceeded",
    "Login",
    "Manager",
    "ManagerMetrics",
    "ManagerRole",
    "ManagerSelection",
    "ManagerState",
    "MitosisClient",
    "MitosisError",
    "NewTask",
    "NotFound",
    "Obstacle",
    "ObstacleKind",
    "PermissionDenied",
    "Registration",
    "RequestIdReused",
    "RetryPolicy",
    "SessionReplaced",
    "ShuttingDown",
    "StorageUnavailable",
    "StoredTasks",
    "Suite",
    "SuiteAssignment",
    "SuiteChanges",
    "SuiteSpec",
    "SuiteState",
    "Task",
    "TaskFailed",
    "TaskFailure",
    "TaskRange",
    "TaskResult",
    "TaskSpec",
    "TaskSpecFields",
    "TaskState",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "User",
    "UserMembership",
    "Worker",
    "WorkerRegistration",
    "WorkerSchedulePlan",
    "WorkerScheduleSpec",
    "WorkerScheduleStrategy",
    "WorkerState",
    "WrongState",
    "WrongTokenKind",
    "find_connection",
]
