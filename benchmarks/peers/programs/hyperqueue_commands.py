"""HyperQueue: one job of many commands, a server and one worker with as many cores as there are workers elsewhere."""

from __future__ import annotations

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

from benchmarks.peers.programs.common import order, timed


def main() -> None:
    """Measure."""
    given = order()
    command = ["/bin/sleep", str(given.seconds)] if given.seconds else ["/bin/true"]
    with LocalCluster(str(given.directory), WorkerConfig(cores=given.workers)) as cluster:
        client = cluster.client()

        def run(count: int) -> None:
            job = Job()
            for _ in range(count):
                job.program(command, stdout=None, stderr=None)
            client.wait_for_jobs([client.submit(job)])

        timed(run, given.tasks)


if __name__ == "__main__":
    main()
