"""Rounds of the executor on a real cluster: what Jobs there are, and what the user hears of them."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.engines.engine import wait_until
from tests.hub.executor.place import RULES, Place, pod_spec
from tests.hub.support import EMBEDDED, JOBS, Api, job_body, jpeg, write_config
from visionfleet.hub.executor import Executor
from visionfleet.hub.executor.cluster import Cluster

pytestmark = [pytest.mark.engine, EMBEDDED]

NOWHERE = {"image": "registry.invalid/worker:1"}  # no pod of it ever runs
BATCH = {"executor": "kubernetes", "images_per_task": 1, "workers": {"cpu": {"max": 4}, "gpu": {"max": 2}}}


@pytest.fixture(autouse=True)
def photos(api: Api, place: Place, tmp_path: Path, executor: Executor) -> None:
    set_batch(api, tmp_path)
    place.template("cpu", pod_spec(NOWHERE))
    for n in range(3):
        api.upload("photos", f"{n}.jpg", jpeg(n))


def set_batch(api: Api, folder: Path, **changes: Any) -> None:
    object.__setattr__(api.hub, "config", write_config(folder, batch=BATCH | changes))


def start_job(api: Api, job: str = "j1", **changes: Any) -> None:
    answer = api.post(f"{JOBS}/{job}", json=job_body("photos", **changes))
    assert answer.status_code == 200, answer.text


def shown(api: Api, job: str = "j1") -> str:
    return api.get(f"{JOBS}/{job}").json()["job"]["lastNotification"]


def logged(api: Api, kind: str, job: str = "j1") -> list[dict[str, Any]]:
    return [line for line in api.get(f"{JOBS}/{job}/logs").json()["logs"] if line["logType"] == kind]


def tells(api: Api, executor: Executor, words: str, job: str = "j1") -> None:
    """Rounds until the job's details have the words; they are in its log once, however many rounds follow."""

    def told() -> bool:
        assert executor.run_once()
        return words in shown(api, job)

    wait_until(told, f"the job says '{words}'", 60)
    for _ in range(2):
        executor.run_once()
    stage = api.get(f"{JOBS}/{job}/stages").json()["stages"][-1]
    assert words in stage["notification"]
    lines = [line for line in logged(api, "workers_waiting", job) if words in line["payload"]["reason"]]
    assert [line["severity"] for line in lines] == ["warning"]


def test_a_job_of_the_hub_becomes_one_of_the_cluster(api: Api, place: Place, executor: Executor) -> None:
    start_job(api, maxParallelTasks=2, processingTimeoutSeconds=600)
    assert executor.run_once()
    [job] = place.jobs()
    stage = api.get(f"{JOBS}/j1/stages").json()["stages"][0]["processingStageId"]
    assert job["metadata"]["name"] == f"acme-j1-{stage[:8]}"
    assert (job["spec"]["parallelism"], job["spec"].get("completions")) == (2, None)
    assert 600 < job["spec"]["activeDeadlineSeconds"] <= 660
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600
    wait_until(lambda: len(place.pods()) == 2, "the pods are made")
    assert {pod["metadata"]["labels"]["visionfleet.io/stage"] for pod in place.pods()} == {stage}
    [line] = logged(api, "workers_requested")
    assert line["payload"] == {"job": job["metadata"]["name"], "pods": 2}


def test_a_hub_that_was_restarted_goes_on_with_the_job_that_runs(api: Api, place: Place, executor: Executor) -> None:
    start_job(api)
    executor.run_once()
    [before] = place.jobs()
    assert Executor(api.hub, place.api()).run_once()
    [after] = place.jobs()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert len(logged(api, "workers_requested")) == 1


def test_hubs_that_do_the_same_round_at_once_make_one_job(api: Api, place: Place, executor: Executor) -> None:
    start_job(api)
    hubs = [executor, *(Executor(api.hub, place.api()) for _ in range(3))]
    threads = [threading.Thread(target=each.run_once) for each in hubs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(place.jobs()) == 1
    assert len(logged(api, "workers_requested")) == 1


def test_the_pool_is_shared_the_oldest_job_first(api: Api, place: Place, executor: Executor, tmp_path: Path) -> None:
    start_job(api, "j1")
    start_job(api, "j2")
    start_job(api, "j3")
    executor.run_once()
    parallelism = {job["metadata"]["labels"]["visionfleet.io/job"]: job["spec"]["parallelism"] for job in place.jobs()}
    assert parallelism == {"j1": 3, "j2": 1}
    tells(api, executor, "waits for workers of other jobs", "j3")
    set_batch(api, tmp_path, workers={"cpu": {"max": 9}})
    executor.run_once()
    sizes = {job["metadata"]["labels"]["visionfleet.io/job"]: job["spec"] for job in place.jobs()}
    assert {job: spec["parallelism"] for job, spec in sizes.items()} == {"j1": 3, "j2": 3, "j3": 3}
    assert len({spec["backoffLimit"] for spec in sizes.values()}) == 1, "one that has grown may fail as often"


def test_an_aborted_job_is_deleted_and_a_restarted_one_is_another(api: Api, place: Place, executor: Executor) -> None:
    start_job(api)
    executor.run_once()
    [first] = place.jobs()
    assert api.post(f"{JOBS}/j1/abort").status_code == 200
    executor.run_once()
    assert place.jobs() == []
    wait_until(lambda: place.pods() == [], "the pods are gone")
    compute = {"type": "compute-configuration-v2", "workersPerMachine": 2}
    override = {"type": "parameters-override-v1", "computeConfiguration": compute}
    assert api.post(f"{JOBS}/j1/restart", json=override).status_code == 200
    executor.run_once()
    [second] = place.jobs()
    assert second["metadata"]["name"] != first["metadata"]["name"]
    names = [container["name"] for container in second["spec"]["template"]["spec"]["containers"]]
    assert (names, second["spec"]["parallelism"]) == (["worker", "worker-2"], 2)


def test_a_job_that_another_release_made_is_left_alone(api: Api, place: Place, executor: Executor) -> None:
    start_job(api)
    executor.run_once()
    assert Executor(api.hub, Cluster.open(place.namespace, "other")).run_once()
    api.post(f"{JOBS}/j1/abort")
    Executor(api.hub, Cluster.open(place.namespace, "other")).run_once()
    assert [job["metadata"]["labels"]["app.kubernetes.io/instance"] for job in place.jobs()] == ["acme"]


def test_a_job_whose_stage_nobody_knows_any_more_is_deleted(api: Api, place: Place, executor: Executor) -> None:
    start_job(api)
    executor.run_once()
    with api.hub.store.write() as session:
        session.connection().exec_driver_sql("DELETE FROM jobs")
    executor.run_once()
    assert place.jobs() == []


def test_a_job_without_a_free_gpu_says_so(api: Api, place: Place, executor: Executor) -> None:
    place.template("gpu", pod_spec({"image": "worker:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}}))
    start_job(api, computeConfiguration__machineType="gpu")
    tells(api, executor, "no node has a free GPU")
    [line] = logged(api, "workers_waiting")
    assert "Insufficient nvidia.com/gpu" in line["payload"]["cluster"]


def test_an_image_that_cannot_be_pulled_is_named(api: Api, place: Place, executor: Executor) -> None:
    start_job(api)
    tells(api, executor, "the image registry.invalid/worker:1 cannot be pulled")


def test_a_missing_secret_is_named(api: Api, place: Place, executor: Executor, real_cluster: Any) -> None:
    key = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "acme-keys", "key": "worker"}}}
    place.template("cpu", pod_spec({"image": "visionfleet-pause:test", "env": [key]}))
    start_job(api)
    tells(api, executor, 'lacks what its settings name: secret "acme-keys" not found')


def test_a_quota_that_is_used_up_is_told_until_it_is_raised(api: Api, place: Place, executor: Executor) -> None:
    place.apply("ResourceQuota", "few", spec={"hard": {"pods": "0"}})
    start_job(api)
    tells(api, executor, "the namespace's quota 'few' is used up (pods=1 asked for, pods=0 allowed)")
    place.kubectl("delete", "resourcequota", "few")

    def moved_on() -> bool:
        executor.run_once()
        return "quota" not in shown(api)

    wait_until(moved_on, "the job says nothing of a quota any more", 90)


def test_pods_that_the_namespace_does_not_allow_are_told(api: Api, place: Place, executor: Executor) -> None:
    place.template("cpu", {"containers": [{"name": "worker", "image": "worker:1"}]})
    start_job(api)
    tells(api, executor, "Pod Security level restricted:latest refuses the pods")


def test_a_missing_service_account_is_told(api: Api, place: Place, executor: Executor) -> None:
    place.template("cpu", {**pod_spec(NOWHERE), "serviceAccountName": "nobody"})
    start_job(api)
    tells(api, executor, "service account 'nobody' is missing")


def test_a_missing_template_is_told_and_used_once_it_is_there(api: Api, place: Place, executor: Executor) -> None:
    start_job(api, computeConfiguration__machineType="gpu")
    tells(api, executor, "no PodTemplate 'acme-worker-gpu'")
    place.template("gpu", pod_spec(NOWHERE))
    executor.run_once()
    assert len(place.jobs()) == 1


def test_a_template_that_the_cluster_refuses_is_told(api: Api, place: Place, executor: Executor) -> None:
    place.template("cpu", pod_spec({**NOWHERE, "name": "main"}))
    start_job(api)
    tells(api, executor, "the cluster refuses the workers' pods")
    [line] = logged(api, "workers_waiting")
    assert "containerName" in line["payload"]["cluster"]


def test_a_right_that_the_hub_lacks_is_told(api: Api, place: Place, executor: Executor) -> None:
    [number] = [number for number, rule in enumerate(RULES) if rule["resources"] == ["podtemplates"]]
    removed = json.dumps([{"op": "remove", "path": f"/rules/{number}"}])
    place.kubectl("patch", "role", "acme-hub", "--type=json", f"--patch={removed}")

    start_job(api)
    tells(api, executor, "podtemplates")


def test_a_job_in_a_queue_waits_until_it_is_admitted(
    api: Api, place: Place, executor: Executor, tmp_path: Path
) -> None:
    set_batch(api, tmp_path, queue="team-a")
    start_job(api)
    executor.run_once()
    [job] = place.jobs()
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    tells(api, executor, "waits in the queue 'team-a'")
    # as Kueue does where it admits a part, on nodes of one flavour
    template = {"spec": {"nodeSelector": {"flavour": "spot"}}}
    admitted = {"spec": {"suspend": False, "parallelism": 1, "template": template}}
    place.kubectl("patch", "job", job["metadata"]["name"], f"--patch={json.dumps(admitted)}")
    tells(api, executor, "no node has the labels that the pods ask for")
    [job] = place.jobs()
    assert job["spec"]["parallelism"] == 1, "it stays as it was admitted"


def test_a_cluster_that_is_away_keeps_nothing_else_from_going_on(
    api: Api, place: Place, executor: Executor, capsys: pytest.CaptureFixture[str]
) -> None:
    start_job(api)
    place.kubeconfig.write_text(place.kubeconfig.read_text().replace(":6443", ":1"))
    away = Executor(api.hub, Cluster.open(place.namespace, "acme"))
    assert not away.run_once()
    assert not away.run_once()
    assert capsys.readouterr().out.count("cluster_unavailable") == 1
    assert api.get(f"{JOBS}/j1").json()["job"]["isTerminal"] is False
