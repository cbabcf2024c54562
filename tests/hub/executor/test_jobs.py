"""Jobs of workers: their names, what they are made of, and how the cluster's answer is read."""

from __future__ import annotations

import re
from typing import Any

import pytest

from visionfleet.hub.executor.jobs import Order, WorkersJob, job_manifest, job_name, scaled

STAGE = "0123456789abcdef0123456789abcdef"
POD = {
    "metadata": {"labels": {"team": "vision", "app.kubernetes.io/managed-by": "Helm"}},
    "spec": {
        "serviceAccountName": "worker",
        "initContainers": [{"name": "server", "image": "server:1", "restartPolicy": "Always"}],
        "containers": [
            {
                "name": "worker",
                "image": "visionfleet:1",
                "args": ["worker", "run"],
                "env": [{"name": "A", "value": "1"}],
            },
            {"name": "logs", "image": "logs:1"},
        ],
    },
}
TEMPLATE = {"metadata": {"name": "acme-worker-cpu", "uid": "0-1", "namespace": "x"}, "template": POD}
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


def manifest(**order: Any) -> dict[str, Any]:
    fields = {"release": "acme", "workspace": "acme", "job_id": "j1", "stage_id": STAGE, "parallelism": 3}
    return job_manifest(Order(**fields | order), TEMPLATE)


def containers(made: dict[str, Any]) -> list[dict[str, Any]]:
    return made["spec"]["template"]["spec"]["containers"]


@pytest.mark.parametrize("job_id", ["j1", "a_b-c", "___", "-", "x" * 20])
@pytest.mark.parametrize("release", ["acme", "a" * 53])
def test_a_name_is_a_dns_label_and_its_labels_are_values_of_labels(release: str, job_id: str) -> None:
    made = manifest(release=release, job_id=job_id)
    name = made["metadata"]["name"]
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name), name
    assert name.endswith(STAGE[:8])
    assert all(LABEL_VALUE.fullmatch(value) for value in made["metadata"]["labels"].values())
    assert made["metadata"]["annotations"]["visionfleet.io/job-id"] == job_id


def test_two_stages_of_a_job_have_two_names() -> None:
    assert job_name("acme", "j1", STAGE) == "acme-j1-01234567"
    assert job_name("acme", "j1", STAGE[::-1]) != job_name("acme", "j1", STAGE)


def test_a_pod_is_as_its_template_has_it_with_the_stage_and_a_name_for_the_worker() -> None:
    made = manifest()
    pod = made["spec"]["template"]
    assert pod["metadata"]["labels"]["team"] == "vision"
    assert pod["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "visionfleet-hub"
    assert pod["metadata"]["labels"]["visionfleet.io/stage"] == STAGE
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["serviceAccountName"] == "worker"
    worker, logs = containers(made)
    assert logs == POD["spec"]["containers"][1]
    environment = {each["name"]: each.get("value") for each in worker["env"]}
    assert environment["A"] == "1"
    assert environment["VISIONFLEET_WORKER_STAGE"] == STAGE
    assert environment["VISIONFLEET_WORKER_NAME"] == "$(VISIONFLEET_POD).worker"
    assert len(POD["spec"]["containers"][0]["env"]) == 1, "the template itself is as it was"


def test_a_job_goes_with_its_template() -> None:
    [owner] = manifest()["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "v1", "kind": "PodTemplate", "name": "acme-worker-cpu", "uid": "0-1"}


def test_a_pod_has_as_many_workers_as_the_job_wants_on_a_machine() -> None:
    names = [each["name"] for each in containers(manifest(workers=3))]
    assert names == ["worker", "worker-2", "worker-3", "logs"]


def test_a_deadline_is_what_is_left_and_a_job_without_one_has_none() -> None:
    assert "activeDeadlineSeconds" not in manifest()["spec"]
    assert manifest(seconds=100.4)["spec"]["activeDeadlineSeconds"] == 160
    assert manifest(seconds=-5.0)["spec"]["activeDeadlineSeconds"] > 0


def test_a_job_in_a_queue_waits_for_kueue_and_another_one_does_not() -> None:
    made = manifest(queue="team-a")
    assert made["spec"]["suspend"] is True
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert "suspend" not in manifest()["spec"]
    assert "kueue.x-k8s.io/queue-name" not in manifest()["metadata"]["labels"]


def test_the_hub_forbids_the_worker_and_the_first_success_ends_the_job_without_completions() -> None:
    spec = manifest()["spec"]
    assert "completions" not in spec
    rules = [(rule["action"], rule.get("onExitCodes", {}).get("values")) for rule in spec["podFailurePolicy"]["rules"]]
    assert rules == [("Ignore", None), ("FailJob", [2, 3]), ("Ignore", [4, 143])]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, "waiting"),
        ({"active": 2}, "waiting"),
        ({"active": 2, "ready": 1}, "running"),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, "complete"),
        ({"conditions": [{"type": "Complete", "status": "False"}]}, "waiting"),
        ({"conditions": [{"type": "FailureTarget", "status": "True"}]}, "waiting"),
        ({"conditions": [{"type": "Failed", "status": "True", "message": "no luck"}]}, "failed"),
    ],
)
def test_a_job_is_read_from_what_the_cluster_says(status: dict[str, Any], state: str) -> None:
    metadata = {"name": "n", "uid": "u", "labels": {"visionfleet.io/stage": STAGE}}
    job = WorkersJob.parse({"metadata": metadata, "spec": {"parallelism": 2, "backoffLimit": 8}, "status": status})
    assert job.state == state
    assert job.failure == ("no luck" if state == "failed" else None)
    assert not job.is_being_deleted


def test_a_job_that_grows_may_fail_more_often_and_one_that_shrinks_no_less() -> None:
    metadata = {"name": "n", "uid": "u", "labels": {"visionfleet.io/stage": STAGE}}
    job = WorkersJob.parse({"metadata": metadata, "spec": manifest(parallelism=20)["spec"]})
    assert job.backoff_limit == 26
    assert scaled(job, 50) == {"spec": {"parallelism": 50, "backoffLimit": 56}}
    assert scaled(job, 2) == {"spec": {"parallelism": 2, "backoffLimit": 26}}
