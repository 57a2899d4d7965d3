"""HyperQueue: one job of many commands, a server and one worker with as many cores as there are workers elsewhere.

Its client looks once a second whether a job is done, which would measure the second: a last command that depends on all
others leaves a file.
"""

from __future__ import annotations

import time

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
            done = given.directory / "done"
            done.unlink(missing_ok=True)
            job = Job()
            tasks = [job.program(command, stdout=None, stderr=None) for _ in range(count)]
            job.program(["/bin/touch", str(done)], stdout=None, stderr=None, deps=tasks)
            client.submit(job)
            while not done.exists():
                time.sleep(0.002)

        timed(run, given.tasks)


if __name__ == "__main__":
    main()
