"""No-op functions, submitted in bulk to two warm worker processes of each system, in turn.

PostgreSQL is the same server with the same settings for everybody who uses one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from benchmarks.harness import Mitosis, mitosis_up
from benchmarks.peers.rounds import OURS, alternate, seconds_of
from benchmarks.results import Bars, Report, scaled
from benchmarks.scenarios import throughput

NAME = "peers: handlers"
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Peer:
    """A system beside ours: its program, as many tasks as take it seconds, and how often we shall be faster."""

    program: str
    tasks: int
    target: float
    workers: int = 2
    needs_database: bool = False

    def rate(self, mitosis: Mitosis, scale: float) -> float:
        """Tasks per second of one round."""
        tasks = scaled(self.tasks, scale, 100)
        database_of = mitosis if self.needs_database else None
        return tasks / seconds_of(self.program, tasks, workers=self.workers, database_of=database_of)


PEERS = {
    "pgqueuer": Peer("pgqueuer_tasks", 20_000, 1, needs_database=True),
    # Its own measurements are of one process, which has nobody to share the queue with.
    "pgqueuer, 1 process": Peer("pgqueuer_tasks", 20_000, 1, workers=1, needs_database=True),
    "Ray": Peer("ray_tasks", 10_000, 4),
    "Dask": Peer("dask_tasks", 4_000, 8),
    "Celery with Redis": Peer("celery_tasks", 4_000, 12),
    "procrastinate": Peer("procrastinate_tasks", 2_000, 12, needs_database=True),
}


def run(scale: float) -> Report:
    """Measure everybody."""
    tasks = scaled(throughput.TASKS, scale, 100)
    with mitosis_up(workers=throughput.WORKERS) as mitosis:

        def theirs(peer: Peer) -> Callable[[], float]:
            return lambda: peer.rate(mitosis, scale)

        ours = {OURS: lambda: tasks / throughput.handlers(mitosis, tasks).total}
        measured = alternate(ROUNDS, ours | {name: theirs(peer) for name, peer in PEERS.items()})
    rows = [measured.ratio(name, "tasks/s", peer.target) for name, peer in PEERS.items()]
    bars = Bars("No-op handlers, two workers", "tasks/s", measured.medians)
    return Report(NAME, rows, asdict(measured), [bars])
