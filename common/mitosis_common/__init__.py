"""What the coordinator, the node manager, the worker and the command line share: configuration, logs, processes."""
