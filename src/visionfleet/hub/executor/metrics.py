"""What the executor counts, in this process: the hub serves it among its metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

ERRORS = Counter("visionfleet_hub_executor_errors", "Rounds of the executor that failed", registry=None)
JOBS = Gauge("visionfleet_hub_executor_jobs", "Jobs of workers in the cluster, by state", ["state"], registry=None)
