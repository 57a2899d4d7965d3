"""The database as dictionaries: what the model of the statements works on.

A row is never changed, only replaced, so the rows that a transaction found are enough to undo it and to judge it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

Row = Mapping[str, Any]


class Table(dict[Any, Row]):
    """Rows by primary key. Remembers what it held before the transaction, for each key that was touched."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[Any, Row | None] = {}

    def __setitem__(self, key: Any, row: Row) -> None:
        if key not in self.before:
            self.before[key] = self.get(key)
        super().__setitem__(key, row)

    def __delitem__(self, key: Any) -> None:
        if key not in self.before:
            self.before[key] = self[key]
        super().__delitem__(key)

    def replace(self, key: Any, **columns: Any) -> Row:
        """Replace some columns of a row; the new row."""
        self[key] = row = {**self[key], **columns}
        return row

    def was(self, key: Any) -> Row | None:
        """The row before the transaction."""
        return self.before[key] if key in self.before else self.get(key)

    def changes(self) -> list[tuple[Row | None, Row | None]]:
        """Each row that the transaction changed, as it was and as it is."""
        return [(old, self.get(key)) for key, old in self.before.items() if self.get(key) is not old]

    def settle(self) -> None:
        """The transaction is over."""
        self.before.clear()

    def undo(self) -> None:
        """The transaction failed."""
        for key, row in self.before.items():
            if row is None:
                self.pop(key, None)
            else:
                super().__setitem__(key, row)
        self.before.clear()


class Tables:
    """Every table that the simulated services use, by primary key. `now` is the time of the transaction."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.groups = Table()
        self.node_managers = Table()
        # By manager, group and role.
        self.group_node_manager = Table()
        self.task_suites = Table()
        # By suite and manager.
        self.task_suite_managers = Table()
        self.assignments = Table()
        self.hook_runs = Table()
        self.active_tasks = Table()
        self.archived_tasks = Table()
        self.task_execution_failures = Table()
        # By user and request.
        self.idempotent_requests = Table()
        self.by_name = {name: table for name, table in vars(self).items() if isinstance(table, Table)}
        self._sequences: Counter[str] = Counter()

    def next_id(self, table: str) -> int:
        """Draw a number; as in PostgreSQL, one that was drawn is not given back when a transaction fails."""
        self._sequences[table] += 1
        return self._sequences[table]

    def settle(self) -> None:
        """The transaction is over."""
        for table in self.by_name.values():
            table.settle()

    def undo(self) -> None:
        """The transaction failed."""
        for table in self.by_name.values():
            table.undo()
