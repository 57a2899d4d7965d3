"""One, two and four coordinator processes over one database: no-op handlers of several managers."""

from __future__ import annotations

from benchmarks.harness import Mitosis, mitosis_up
from benchmarks.results import Bars, Report, Row, at_least, median, scaled
from benchmarks.warm import run_warm
from mitosis_client.specs import NewTask

NAME = "coordinators"
TASKS = 20_000
ROUNDS = 3
PROCESSES = (1, 2, 4)
MANAGERS = 4
WORKERS_EACH = 1
# A tenth is what rounds differ by on a quiet machine.
NOT_SLOWER = 0.9


def run(scale: float) -> Report:
    """Measure each number of processes in turn, several times."""
    tasks = scaled(TASKS, scale, 100)
    rates: dict[int, list[float]] = {count: [] for count in PROCESSES}
    shares: dict[int, list[float]] = {count: [] for count in PROCESSES}
    for _ in range(ROUNDS):
        for count in PROCESSES:
            with mitosis_up(workers=WORKERS_EACH, managers=MANAGERS, coordinators=count) as mitosis:
                rate, share = _round(mitosis, tasks)
            rates[count].append(rate)
            shares[count].append(share)
    one = median(rates[1])
    rows = [Row("1 process", f"{one:,.0f} tasks/s")]
    for count in PROCESSES[1:]:
        rate = median(rates[count])
        rows += [
            at_least(
                f"{count} processes by one",
                rate / one,
                "",
                NOT_SLOWER,
                beside=f"{rate:,.0f} tasks/s, one process {one:,.0f} tasks/s",
                ratio=f"{rate / one:.2f}",
            ),
            Row(
                f"{count} processes: the busiest one's share", f"{median(shares[count]):.2f}", f"even: {1 / count:.2f}"
            ),
        ]
    bars = Bars("Coordinator processes", "tasks/s", {str(count): median(rates[count]) for count in PROCESSES})
    return Report(NAME, rows, {"tasks_per_second": rates, "busiest_share": shares}, [bars])


def _round(mitosis: Mitosis, tasks: int) -> tuple[float, float]:
    """Tasks per second, and the part of all coordinators' processor time that the busiest one used."""
    before = mitosis.cpu_seconds_each()["coordinator"]
    timing = run_warm(
        mitosis,
        NAME,
        tasks,
        _task,
        workers=MANAGERS * WORKERS_EACH,
    )
    after = mitosis.cpu_seconds_each()["coordinator"]
    used = [seconds - before.get(pid, 0.0) for pid, seconds in after.items()]
    return tasks / timing.total, max(used) / sum(used)


def _task(index: int) -> NewTask:
    if index < 0:
        # Long enough that every manager has started its workers before the warm-up is over.
        return NewTask(handler="benchmarks.tasks:sleep", payload=0.05)
    return NewTask(handler="benchmarks.tasks:noop", payload=index)
