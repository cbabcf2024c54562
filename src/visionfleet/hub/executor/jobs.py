"""Jobs of workers: how one is called, found, made from a PodTemplate, and read.

A Job has no number of completions: its pods take from a queue, which the hub keeps
(https://kubernetes.io/docs/concepts/workloads/controllers/job/, "Parallel Jobs with a work queue"). The first pod that
succeeds says that nothing is left to take. From then on no pod is replaced, and with the last one the Job is complete.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from visionfleet.protocol import WORKER_HUB_AWAY, WORKER_REFUSED, WORKER_STOPPED

MANAGED_BY = "visionfleet-hub"
STAGE_LABEL = "visionfleet.io/stage"
JOB_LABEL = "visionfleet.io/job"
WORKER = "worker"  # the container of a PodTemplate
MAX_NAME = 63
STAGE_CHARACTERS = 8

HOPELESS = (2, WORKER_REFUSED)  # exit codes of a worker: bad input, and a hub that refuses it
FAILURES_BESIDES = 6
STATES = ("suspended", "waiting", "running", "complete", "failed")
KEEP_SECONDS = 3600  # a Job that has ended, for whoever looks for its logs
# the hub ends a late job itself; this is for pods whose hub is away
DEADLINE_GRACE_SECONDS = 60


@dataclass(frozen=True)
class Order:
    """The Job that a stage is to have: at most `parallelism` pods, of `workers` workers each.

    `seconds`: what is left until the job's deadline, None where it has none. `queue`: Kueue's, None for no queue.
    """

    release: str
    workspace: str
    job_id: str
    stage_id: str
    parallelism: int
    workers: int = 1
    seconds: float | None = None
    queue: str | None = None


@dataclass(frozen=True)
class WorkersJob:
    """A Job as the cluster has it. `failure`: why it has failed, in the cluster's words."""

    name: str
    uid: str
    stage_id: str
    parallelism: int
    suspended: bool
    active: int
    ready: int
    succeeded: int
    failed: int
    complete: bool
    failure: str | None
    is_being_deleted: bool
    backoff_limit: int

    @classmethod
    def parse(cls, job: Mapping[str, Any]) -> Self:
        """From the API's JSON."""
        metadata, spec, status = job["metadata"], job["spec"], job.get("status", {})
        holding = {each["type"]: each for each in status.get("conditions", ()) if each["status"] == "True"}
        failed = holding.get("Failed")
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            stage_id=metadata["labels"][STAGE_LABEL],
            parallelism=spec.get("parallelism", 1),
            suspended=spec.get("suspend", False),
            active=status.get("active", 0),
            ready=status.get("ready", 0),
            succeeded=status.get("succeeded", 0),
            failed=status.get("failed", 0),
            complete="Complete" in holding,
            failure=None if failed is None else f"{failed.get('message') or failed.get('reason')}",
            is_being_deleted="deletionTimestamp" in metadata,
            backoff_limit=spec["backoffLimit"],
        )

    @property
    def has_ended(self) -> bool:
        """Whether it is complete or has failed."""
        return self.complete or self.failure is not None

    @property
    def state(self) -> str:
        """One of STATES."""
        if self.has_ended:
            return "complete" if self.complete else "failed"
        if self.suspended:
            return "suspended"
        return "running" if self.ready else "waiting"


def label_selector(release: str) -> str:
    """What finds the Jobs of a release's hubs."""
    labels = {**_labels(release), "app.kubernetes.io/managed-by": MANAGED_BY}
    return ",".join([*(f"{key}={value}" for key, value in labels.items()), STAGE_LABEL])


def job_name(release: str, job_id: str, stage_id: str) -> str:
    """A name that is also a label's value, since the cluster labels pods with it. Ids of jobs may have '_'."""
    rest = f"-{job_id.replace('_', '-')}-{stage_id[:STAGE_CHARACTERS]}"
    return release[: MAX_NAME - len(rest)] + rest


def job_manifest(order: Order, template: Mapping[str, Any]) -> dict[str, Any]:
    """The Job, with pods as the PodTemplate has them. It goes with the PodTemplate: an uninstall leaves no workers."""
    labels = {
        **_labels(order.release),
        "app.kubernetes.io/managed-by": MANAGED_BY,
        STAGE_LABEL: order.stage_id,
        JOB_LABEL: order.job_id.strip("-_") or "job",  # a label's value begins and ends with a letter or a digit
    }
    annotations = {"visionfleet.io/job-id": order.job_id, "visionfleet.io/workspace": order.workspace}
    spec: dict[str, Any] = {
        "parallelism": order.parallelism,
        "backoffLimit": _backoff_limit(order.parallelism),
        "ttlSecondsAfterFinished": KEEP_SECONDS,
        "podFailurePolicy": {"rules": _failure_rules()},
        "template": _pod(order, template["template"], labels, annotations),
    }
    if order.seconds is not None:
        spec["activeDeadlineSeconds"] = max(1, round(order.seconds)) + DEADLINE_GRACE_SECONDS
    if order.queue is not None:
        spec["suspend"] = True  # until Kueue admits it
        labels = {**labels, "kueue.x-k8s.io/queue-name": order.queue}
    name = job_name(order.release, order.job_id, order.stage_id)
    owner = {key: template["metadata"][key] for key in ("name", "uid")}
    metadata = {
        "name": name,
        "labels": labels,
        "annotations": annotations,
        "ownerReferences": [{"apiVersion": "v1", "kind": "PodTemplate", **owner}],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def scaled(job: WorkersJob, parallelism: int) -> dict[str, Any]:
    """What changes of a Job that is to have other than so many pods at once.

    Its limit of failures grows along and never shrinks: it counts those of all its pods, of the ended ones too.
    """
    limit = max(job.backoff_limit, _backoff_limit(parallelism))
    return {"spec": {"parallelism": parallelism, "backoffLimit": limit}}


def _backoff_limit(parallelism: int) -> int:
    """Each pod may fail once, as when one image after the other brings its server down, and then some."""
    return parallelism + FAILURES_BESIDES


def _labels(release: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "visionfleet",
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/component": "worker",
    }


def _failure_rules() -> list[dict[str, Any]]:
    """Which ends of a pod are no failures, and which end the Job. All workers of a pod are alike: one is looked at."""
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": _exit_codes(*HOPELESS)},
        {"action": "Ignore", "onExitCodes": _exit_codes(WORKER_HUB_AWAY, WORKER_STOPPED)},
    ]


def _exit_codes(*codes: int) -> dict[str, Any]:
    return {"containerName": WORKER, "operator": "In", "values": list(codes)}


def _pod(
    order: Order, template: Mapping[str, Any], labels: Mapping[str, str], annotations: Mapping[str, str]
) -> dict[str, Any]:
    pod = copy.deepcopy(dict(template))
    metadata = pod.setdefault("metadata", {})
    metadata["labels"] = {**metadata.get("labels", {}), **labels}
    metadata["annotations"] = {**metadata.get("annotations", {}), **annotations}
    spec = pod["spec"]
    spec["restartPolicy"] = "Never"
    spec["containers"] = [each for container in spec["containers"] for each in _containers(order, container)]
    return pod


def _containers(order: Order, container: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The worker as often as the job wants it in a pod, and every other container once."""
    if container["name"] != WORKER:
        return [dict(container)]
    names = [WORKER, *(f"{WORKER}-{number}" for number in range(2, order.workers + 1))]
    return [_worker(order, container, name) for name in names]


def _worker(order: Order, container: Mapping[str, Any], name: str) -> dict[str, Any]:
    environment = [
        {"name": "VISIONFLEET_WORKER_STAGE", "value": order.stage_id},
        {"name": "VISIONFLEET_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "VISIONFLEET_WORKER_NAME", "value": f"$(VISIONFLEET_POD).{name}"},
    ]
    return {
        **copy.deepcopy(dict(container)),
        "name": name,
        "env": [*container.get("env", ()), *environment],
        "terminationMessagePolicy": "FallbackToLogsOnError",  # so that the hub can say why it ended
    }
