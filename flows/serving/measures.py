"""Metrics of the service in the form of Prometheus."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

# Several worker processes write their numbers into files of this folder.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS = (0.001, 0.002, 0.004, 0.008, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Measures:
    """Counters of one process; `text` adds up those of all workers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "stagecast_requests", "Requests by route and status", ["route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "stagecast_request_seconds", "Seconds until the answer, by route", ["route"],
            buckets=_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.ready = Gauge(
            "stagecast_ready", "1 if a run is served", registry=self.registry,
            multiprocess_mode="livemin",
        )  # fmt: skip

    def text(self) -> bytes:
        """All metrics, one a line."""
        if FOLDER_VARIABLE not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call, unused-ignore]
        return generate_latest(together)
