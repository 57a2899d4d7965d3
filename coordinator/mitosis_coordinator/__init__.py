"""The coordinator: stores suites and tasks, and hands them to node managers."""
