"""The application that Celery's workers load; where its broker is comes by the environment."""

from __future__ import annotations

import os

from celery import Celery

from benchmarks.peers.programs.common import noop

URL_VARIABLE = "BENCHMARK_BROKER_URL"

app = Celery("benchmark", broker=os.environ[URL_VARIABLE], backend=os.environ[URL_VARIABLE])
# The documented advice for many short tasks is a large prefetch.
app.conf.update(worker_prefetch_multiplier=128, broker_connection_retry_on_startup=True)
task = app.task(noop, name="noop")
