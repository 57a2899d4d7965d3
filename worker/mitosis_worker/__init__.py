"""The worker: one process that runs tasks, one after the other."""
