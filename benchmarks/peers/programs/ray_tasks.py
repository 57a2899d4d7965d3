"""Ray: remote functions, two worker processes."""

from __future__ import annotations

import ray

from benchmarks.peers.programs.common import noop, order, timed


def main() -> None:
    """Measure."""
    given = order()
    ray.init(
        num_cpus=given.workers, include_dashboard=False, log_to_driver=False, _temp_dir=str(given.directory / "ray")
    )
    try:
        remote = ray.remote(noop)
        timed(lambda count: ray.get([remote.remote(index) for index in range(count)]), given.tasks)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
