"""Dask: a local cluster of processes, `Client.map` and `Client.gather`."""

from __future__ import annotations

from distributed import Client, LocalCluster

from benchmarks.peers.programs.common import noop, order, timed


def main() -> None:
    """Measure."""
    given = order()
    with (
        LocalCluster(
            n_workers=given.workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(given.directory),
        ) as cluster,
        Client(cluster) as client,
    ):
        timed(lambda count: client.gather(client.map(noop, range(count), pure=False)), given.tasks)


if __name__ == "__main__":
    main()
