"""Creates a suite, submits 1,000 tasks to it, waits for them and prints how they ended.

It talks to the coordinator that the `mitosis` command would talk to, such as that of `mitosis up`:

    python examples/submit_and_wait.py

`examples/go/submit` is the same in Go.
"""

import sys

from mitosis_client import MitosisError, Suite
from mitosis_client.connection import find_connection

TASKS = 1000


def show(suite: Suite) -> None:
    """Prints how far the suite has come."""
    ended = suite.total_tasks - suite.pending_tasks
    print(f"{suite.state}: {ended} of {suite.total_tasks} tasks have ended", file=sys.stderr)


def run() -> None:
    """Runs the suite and prints the counts. Raises `MitosisError`."""
    connection = find_connection()
    if connection is None:
        sys.exit("no coordinator is known: start one with `mitosis up`, or log in with `mitosis login`")
    with connection.client() as client:
        suite = client.create_suite(name="square roots", group_name="default", task_defaults={"handler": "math:isqrt"})
        # Negative numbers have no square root: those tasks fail.
        client.submit_many(({"payload": number - 10} for number in range(TASKS)), suite_uuid=suite.uuid)
        client.close_suite(suite.uuid)
        suite = client.wait_for_suite(suite.uuid, timeout=600, on_progress=show)
    print(
        f"{suite.state}: {suite.total_tasks} tasks, {suite.completed_tasks} completed, {suite.failed_tasks} failed, "
        f"{suite.cancelled_tasks} cancelled"
    )


if __name__ == "__main__":
    try:
        run()
    except MitosisError as error:
        sys.exit(str(error))
