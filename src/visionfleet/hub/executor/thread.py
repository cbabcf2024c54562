"""The executor as a thread of the hub: one round after the other, whatever happens in them."""

from __future__ import annotations

import os
import threading

import structlog

from visionfleet.config.batch import Executor as ExecutorName
from visionfleet.hub.context import Hub, HubUnavailable
from visionfleet.hub.executor.cluster import Cluster, ClusterError, NoCredentials
from visionfleet.hub.executor.jobs import STATES
from visionfleet.hub.executor.metrics import ERRORS, JOBS
from visionfleet.hub.executor.rounds import Round
from visionfleet.hub.outages import AWAY, reason_of

ROUND_SECONDS = 2.0
NAMESPACE_VARIABLE, RELEASE_VARIABLE = "VISIONFLEET_NAMESPACE", "VISIONFLEET_RELEASE"
log = structlog.get_logger()


def executor_of(hub: Hub) -> Executor | None:
    """The executor that the file asks for, None where workers are started by others. Raises HubUnavailable."""
    if hub.config.batch.executor != ExecutorName.KUBERNETES:
        return None
    namespace, release = (os.environ.get(name) for name in (NAMESPACE_VARIABLE, RELEASE_VARIABLE))
    if not namespace or not release:
        message = (
            f"batch.executor is kubernetes, and {NAMESPACE_VARIABLE} or {RELEASE_VARIABLE} is not set: the chart sets "
            "them for its hub; set both, and KUBECONFIG, for a hub beside the cluster"
        )
        raise HubUnavailable(f"the hub cannot start: {message}")
    try:
        return Executor(hub, Cluster.open(namespace, release))
    except NoCredentials as error:
        message = "batch.executor is kubernetes, and there is no way into a cluster: run the hub by the chart"
        raise HubUnavailable(f"the hub cannot start: {message}, or set KUBECONFIG ({error})") from error


class Executor:
    """Rounds until it is stopped. A cluster that is away is logged once, and once when it is back."""

    def __init__(self, hub: Hub, cluster: Cluster) -> None:
        self._round = Round(hub, cluster)
        self._problem: str | None = None

    def run(self, stopping: threading.Event) -> None:
        """Do a round every two seconds until `stopping`."""
        while not stopping.wait(ROUND_SECONDS):
            self.run_once()

    def run_once(self) -> bool:
        """Do a round; False where it failed. Raises nothing."""
        try:
            counts = self._round.run()
        except ClusterError as error:
            return self._failed(str(error))
        except AWAY as error:
            return self._failed(reason_of(error))
        except Exception as error:
            log.exception("executor_error")
            return self._failed(f"{type(error).__name__}: {error}")
        for state in STATES:
            JOBS.labels(state).set(counts[state])
        if self._problem is not None:
            log.info("cluster_back")
            self._problem = None
        return True

    def _failed(self, problem: str) -> bool:
        ERRORS.inc()
        if problem != self._problem:
            log.warning("cluster_unavailable", reason=problem)
            self._problem = problem
        return False
