"""The process that submission is measured in: streams tasks through the client and prints what it took, as JSON.

Address and suite are its arguments, the token is in MITOSIS_TOKEN.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from mitosis_client import Client
from mitosis_client.specs import NewTask

TASKS = 100_000


def peak_megabytes() -> float:
    """The most memory that this process has had resident."""
    status = Path("/proc/self/status").read_text()
    [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kilobytes) / 1024


def main() -> None:
    """Submit the tasks."""
    address, suite_uuid = sys.argv[1:]
    with Client(address, token=os.environ["MITOSIS_TOKEN"]) as client:
        client.get_suite(suite_uuid)
        before = peak_megabytes()
        started = time.perf_counter()
        tasks = (NewTask(handler="benchmarks.tasks:noop", payload={"number": number}) for number in range(TASKS))
        submitted = client.submit_many(tasks, suite_uuid=suite_uuid)
        seconds = time.perf_counter() - started
    figures = {"tasks": submitted, "seconds": seconds, "before_mb": before, "peak_mb": peak_megabytes()}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
