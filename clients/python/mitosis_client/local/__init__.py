"""A whole Mitosis on one machine: embedded PostgreSQL, one coordinator, node managers, supervised as one."""
