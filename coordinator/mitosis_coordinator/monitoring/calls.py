"""Counts and durations of calls."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, Histogram

# From a cached read to a call that met every timeout; streams live longer and fall into the last bucket.
_DURATION_BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class RpcMetrics:
    """Counts and durations of calls by method and code: over gRPC, and over REST under the name of their RPC."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.durations = Histogram(
            "mitosis_grpc_request_duration_seconds",
            "Duration of calls over gRPC and REST, streams included, measured when they end.",
            ["method", "code"],
            buckets=_DURATION_BUCKETS_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "mitosis_grpc_requests_in_flight",
            "Calls over gRPC and REST being served, streams included.",
            ["method"],
            registry=registry,
        )
