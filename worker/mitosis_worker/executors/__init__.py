"""The ways to run one task: a command in processes of its own, or a handler in this one."""
