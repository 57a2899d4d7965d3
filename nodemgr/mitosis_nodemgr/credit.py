"""What the coordinator was granted on the current stream. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mitosis_nodemgr import prefetch


@dataclass(slots=True)
class Credit:
    """Counts the tasks of one assignment since the stream's `Attached`: asked for, and come."""

    granted: int = 0
    received: int = 0

    def restart(self) -> None:
        """Counts from zero, as the coordinator does for a new stream."""
        self.granted = self.received = 0

    def arrived(self, count: int) -> None:
        """Counts tasks that came. More than were granted may come, after credit was taken back."""
        self.received += count
        self.granted = max(self.granted, self.received)

    def refill(self, window: int, held: int) -> int | None:
        """Returns the new total to announce, or None when the old one will do.

        `window` tasks are wanted here, `held` are here and not ended. When the window has shrunk by more than a quarter
        below what was asked for, credit is taken back.
        """
        on_the_way = self.granted - self.received
        more = prefetch.grant(window, held, on_the_way)
        if more:
            self.granted += more
            return self.granted
        too_many = held + on_the_way - window
        if on_the_way and too_many > window // 4:
            return self.withdraw(max(on_the_way - too_many, 0))
        return None

    def withdraw(self, leave: int = 0) -> int | None:
        """Takes credit back until `leave` tasks may still come. Returns the new total, None if nothing changes."""
        if self.granted <= self.received + leave:
            return None
        self.granted = self.received + leave
        return self.granted
