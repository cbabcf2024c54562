"""A cluster's API that has too much to do refuses nothing: the job's log is not told of it, round after round."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest

from tests.hub.processing.test_processing import start_job
from tests.hub.support import EMBEDDED, JOBS, Api, jpeg
from visionfleet.hub.executor.cluster import Cluster, ClusterError
from visionfleet.hub.executor.jobs import WorkersJob
from visionfleet.hub.executor.rounds import Round


class StandInCluster:
    """Stands in for a cluster's API, which cannot be made to be busy at will: it answers with `status`."""

    release = "acme"

    def __init__(self) -> None:
        self.status = 0

    def jobs(self) -> list[WorkersJob]:
        return []

    def pod_template(self, _name: str) -> Any:
        raise ClusterError(self.status, f"the API says {self.status}")


@EMBEDDED
@pytest.mark.parametrize("status", [429, 503, 504, 409])
def test_an_api_that_is_busy_changes_nothing_of_what_a_job_waits_for(api: Api, status: int) -> None:
    api.upload("photos", "one.jpg", jpeg(1))
    start_job(api)
    cluster = StandInCluster()
    round_ = Round(api.hub, cast("Cluster", cluster))
    said = []
    for cluster.status in (status, 403, status, 403, status):
        assert round_.run() == Counter()
        said.append(api.get(f"{JOBS}/j1").json()["job"]["lastNotification"])
    assert said[0] == "processing 1 images"
    assert set(said[1:]) == {"the cluster refuses the workers' pods: the API says 403"}
    logs = api.get(f"{JOBS}/j1/logs", severity="warning").json()["logs"]
    assert [line["logType"] for line in logs] == ["workers_waiting"]
