"""Examples of requests, by operation: those of the user guide."""

from typing import Any

SUITE_UUID = "550e8400-e29b-41d4-a716-446655440000"
MANAGER_UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

REQUESTS: dict[str, dict[str, Any]] = {
    "CreateSuite": {
        "name": "ML Training Campaign",
        "group_name": "ml-team",
        "description": "October 2024 ResNet training",
        "labels": ["project:resnet", "campaign:oct2024"],
        "tags": ["gpu", "linux", "cuda:12.0"],
        "worker_schedule": {"strategy": "Proportional", "worker_count": 16, "cpu_binding": "RoundRobin"},
        "env_preparation": {
            "command": "./scripts/setup_training_env.sh",
            "timeout_seconds": 300,
            "working_directory": "/opt/ml",
        },
        "env_cleanup": {"command": "./scripts/cleanup.sh", "timeout_seconds": 60},
        "auto_close_timeout_seconds": 180,
    },
    "CancelSuite": {"reason": "User requested cancellation", "cancel_running_tasks": True},
    "AddSuiteManagers": {"manager_uuids": [MANAGER_UUID]},
    "RemoveSuiteManagers": {"manager_uuids": [MANAGER_UUID]},
    "SubmitTask": {
        "group_name": "ml-team",
        "suite_uuid": SUITE_UUID,
        "task_spec": {"model": "resnet50", "batch": 1, "epochs": 10},
    },
    "SubmitTasks": {
        "suite_uuid": SUITE_UUID,
        "tasks": [{"task_spec": {"handler": "training:run", "payload": {"batch": 1}}, "priority": 1}],
    },
    "RegisterManager": {
        "name": "gpu-node-01",
        "tags": ["gpu", "linux", "cuda:12.0"],
        "group_memberships": [{"group_name": "ml-team", "role": "Worker"}],
    },
    "RegisterWorker": {"name": "laptop", "tags": ["gpu"], "group_names": ["ml-team"]},
    "Login": {"username": "ada", "password": "correct horse battery staple"},
    "CreateGroup": {"group_name": "ml-team"},
    "SetMember": {"username": "ada", "role": "Member"},
}
