"""The cluster's API, as far as the executor uses it: objects of one namespace as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode

from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError

from visionfleet.hub.executor.jobs import MANAGED_BY, STAGE_LABEL, WorkersJob, label_selector, scaled

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
PAGE = 500
KUEUE = "/apis/kueue.x-k8s.io/v1beta2"
MOST_PODS = 100  # enough to see why none of a Job runs
# an answer that never came may stand for something done: whoever creates twice gets a 409, and whoever deletes a 404
RETRY = Retry(
    total=2, backoff_factor=0.3, status_forcelist=(429, 500, 503), allowed_methods=None, raise_on_status=False
)

Object = dict[str, Any]


class NoCredentials(Exception):
    """There is no way into a cluster: neither a pod's service account nor KUBECONFIG."""


class ClusterError(Exception):
    """The cluster did not do what it was asked. `status` is the HTTP status, 0 where there was no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def passes(self) -> bool:
        """Whether it is no refusal: the API is busy, or another one was first at the same object."""
        return self.status in (408, 409, 429, 503, 504)


class Cluster:
    """The namespace that a release is in. Every call raises ClusterError."""

    def __init__(self, configuration: Any, pool: PoolManager, namespace: str, release: str) -> None:
        self.namespace = namespace
        self.release = release
        self._configuration = configuration
        self._pool = pool

    @classmethod
    def open(cls, namespace: str, release: str) -> Cluster:
        """As the pod's service account, else as KUBECONFIG says. Raises NoCredentials."""
        import kubernetes  # noqa: PLC0415 - slow, and most hubs have no cluster

        credentials, client = cast("Any", kubernetes.config), cast("Any", kubernetes.client)
        configuration = client.Configuration()
        try:
            try:
                credentials.load_incluster_config(configuration)
            except credentials.ConfigException:
                # by name, as the client has read the variable when it was imported
                credentials.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
        except (credentials.ConfigException, OSError) as error:
            raise NoCredentials(str(error)) from error
        # the client's own connections, with the cluster's certificates and the proxy
        return cls(configuration, client.ApiClient(configuration).rest_client.pool_manager, namespace, release)

    def jobs(self) -> list[WorkersJob]:
        """The Jobs that this release's hubs have made."""
        selector = label_selector(self.release)
        return [WorkersJob.parse(item) for item in self._list("/apis/batch/v1", "jobs", labelSelector=selector)]

    def pods(self, stage_id: str) -> list[Object]:
        """Pods of a stage, not all where there are many."""
        selector = f"{STAGE_LABEL}={stage_id},app.kubernetes.io/managed-by={MANAGED_BY}"
        return self._page("/api/v1", "pods", {"labelSelector": selector, "limit": MOST_PODS})["items"]

    def events(self, uid: str) -> list[Object]:
        """What the cluster has noted about an object of late."""
        return self._list("/api/v1", "events", fieldSelector=f"involvedObject.uid={uid}")

    def workload(self, job: WorkersJob) -> Object | None:
        """What Kueue has noted about a Job; None where it has nothing yet, is not there, or may not be asked."""
        try:
            found = self._list(KUEUE, "workloads", labelSelector=f"kueue.x-k8s.io/job-uid={job.uid}")
        except ClusterError as error:
            if error.status in (403, 404):
                return None
            raise
        return found[0] if found else None

    def pod_template(self, name: str) -> Object | None:
        """The PodTemplate, which says what workers' pods are like; None where there is no such."""
        try:
            return self._call("GET", f"{self._path('/api/v1', 'podtemplates')}/{name}")
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def create_job(self, manifest: Mapping[str, Any]) -> bool:
        """Make a Job; False where there is one of its name already."""
        return self._unless(409, "POST", self._path("/apis/batch/v1", "jobs"), manifest)

    def scale(self, job: WorkersJob, parallelism: int) -> None:
        """Have other than so many pods at once. A Job that is gone is none to scale."""
        path = f"{self._path('/apis/batch/v1', 'jobs')}/{job.name}"
        self._unless(404, "PATCH", path, scaled(job, parallelism))

    def delete(self, job: WorkersJob) -> None:
        """Remove this very Job, not another one that has its name by now. Its pods end by and by."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": job.uid}}
        path = f"{self._path('/apis/batch/v1', 'jobs')}/{job.name}"
        try:
            self._unless(404, "DELETE", path, body)
        except ClusterError as error:
            if error.status != 409:
                raise

    def _unless(self, status: int, method: str, path: str, body: Mapping[str, Any]) -> bool:
        """Call; False where the answer is `status`, which says that it need not be done."""
        try:
            self._call(method, path, body)
        except ClusterError as error:
            if error.status != status:
                raise
            return False
        return True

    def _list(self, group: str, kind: str, **query: str) -> list[Object]:
        items: list[Object] = []
        token = ""
        while True:
            answer = self._page(group, kind, {**query, "limit": PAGE, "continue": token})
            items += answer["items"]
            token = answer["metadata"].get("continue", "")
            if not token:
                return items

    def _page(self, group: str, kind: str, query: Mapping[str, str | int]) -> Object:
        return self._call("GET", f"{self._path(group, kind)}?{urlencode(query)}")

    def _path(self, group: str, kind: str) -> str:
        return f"{group}/namespaces/{self.namespace}/{kind}"

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Object:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            answer = self._pool.request(
                method,
                f"{self._configuration.host}{path}",
                body=None if body is None else json.dumps(body),
                headers={"Accept": "application/json", "Content-Type": kind, **self._credentials()},
                timeout=Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                retries=RETRY,
            )
        except (HTTPError, OSError) as error:
            raise ClusterError(0, f"the cluster's API does not answer: {error}") from error
        if not 200 <= answer.status < 300:
            raise ClusterError(answer.status, _said(answer.data) or f"the cluster's API answers {answer.status}")
        return cast("Object", json.loads(answer.data))

    def _credentials(self) -> dict[str, str]:
        # asked for each time: the token of a service account changes every hour
        settings = cast("dict[str, dict[str, str]]", self._configuration.auth_settings())
        return {each["key"]: each["value"] for each in settings.values() if each["in"] == "header"}


def _said(body: bytes) -> str:
    """The message of a Status object."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return ""
