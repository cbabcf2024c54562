"""A restart does what is left, and nothing twice."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from sqlalchemy import delete

from tests.hub.processing.test_processing import IMAGES, call, commit, lease, records, start_job
from tests.hub.support import JOBS, STAGING, Api, Clock, jpeg, write_config
from visionfleet.hub.housekeeping import bury_overdue, sweep
from visionfleet.hub.store.tables import Batch

A_DAY = 86_400
NAMES = [f"{n}.jpg" for n in range(IMAGES)]


@pytest.fixture(autouse=True)
def job(api: Api, tmp_path) -> str:
    object.__setattr__(api.hub, "config", write_config(tmp_path, batch={"images_per_task": 3, "workers": {"gpu": {}}}))
    for n, name in enumerate(NAMES):
        api.upload("photos", name, jpeg(n))
    start_job(api)
    return "j1"


def restart(api: Api, **override) -> object:
    body = {"type": "parameters-override-v1", **override} if override else None
    return api.post(f"{JOBS}/j1/restart", json=body)


def shown(api: Api) -> dict:
    return api.get(f"{JOBS}/j1").json()["job"]


def stages(api: Api) -> list[dict]:
    return api.get(f"{JOBS}/j1/stages").json()["stages"]


def refused(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def fail(api: Api, held: dict) -> None:
    assert call(api, held, "fail", code="model_too_large", message="no", retryable=False).status_code == 204


def work(api: Api) -> list[str]:
    """Do all tasks; gives the names of the images that were worked on."""
    done = []
    while (answer := api.worker("/lease", worker="w")).status_code == 200:
        held = answer.json()
        assert commit(api, held, held["images"]).status_code == 200
        assert call(api, held, "complete").status_code == 204
        done += [image["name"] for image in held["images"]]
    api.run_hub_tasks()
    return done


def exported(api: Api, batch: str) -> list[dict]:
    listed = api.get(f"{STAGING}/{batch}/list", partName="results").json()["filesMetadata"]
    [file] = listed
    return [json.loads(line) for line in api.download(file["downloadURL"]).splitlines()]


def test_a_job_that_was_aborted_goes_on_at_its_first_image_without_a_result(api: Api) -> None:
    held = lease(api)
    commit(api, held, held["images"][:2])
    assert api.post(f"{JOBS}/j1/abort").status_code == 200
    answer = restart(api)
    assert answer.status_code == 200, answer.text
    assert answer.json()["job"]["isTerminal"] is False
    done = [image["name"] for image in held["images"][:2]]
    assert sorted(work(api)) == sorted(set(NAMES) - set(done))
    job = shown(api)
    assert (job["isTerminal"], job["error"], job["lastNotification"]) == (True, False, "done")
    assert Counter(record["image"] for record in exported(api, "j1-export")) == Counter(NAMES)
    kept = api.get(f"{STAGING}/j1-processing/list", partName="grey").json()["filesMetadata"]
    assert Counter(file["fileName"] for file in kept) == Counter(NAMES)


def test_the_images_of_tasks_that_failed_are_tried_again_and_the_export_has_all(api: Api) -> None:
    fail(api, lease(api))
    assert len(work(api)) == 3
    assert (shown(api)["error"], len(records(api))) == (True, 3)
    assert restart(api).status_code == 200
    assert len(work(api)) == 3
    assert (shown(api)["isTerminal"], shown(api)["error"]) == (True, False)
    assert Counter(record["image"] for record in exported(api, "j1-export-2")) == Counter(NAMES)
    assert [stage["processingStageName"] for stage in stages(api)] == ["processing", "export", "processing", "export"]
    assert stages(api)[2]["outputBatches"] == ["j1-processing"]


def test_an_image_that_failed_is_tried_again_and_is_no_failure_any_more(api: Api) -> None:
    held = lease(api)
    error = {"image_id": held["images"][0]["id"], "error": {"code": "image_rejected", "message": "no"}}
    assert call(api, held, "results", results=[error]).status_code == 200
    commit(api, held, held["images"][1:])
    call(api, held, "complete")
    work(api)
    assert shown(api)["error"] is False
    parts = api.get(f"{STAGING}/j1-export/parts").json()["batchParts"]
    assert "failures" in [part["partName"] for part in parts]
    assert restart(api).status_code == 200
    assert work(api) == [held["images"][0]["name"]]
    assert Counter(record["image"] for record in exported(api, "j1-export-2")) == Counter(NAMES)
    parts = api.get(f"{STAGING}/j1-export-2/parts").json()["batchParts"]
    assert "failures" not in [part["partName"] for part in parts]


def test_what_hubs_restart_whose_clocks_differ_is_done_once(api: Api, clock: Clock) -> None:
    for _ in range(2):
        held = lease(api)
        assert commit(api, held, held["images"][:2]).status_code == 200
        assert api.post(f"{JOBS}/j1/abort").status_code == 200
        clock.advance(-5)
        assert restart(api).status_code == 200
    assert len(work(api)) == IMAGES - 4
    assert Counter(record["image"] for record in exported(api, "j1-export")) == Counter(NAMES)
    assert [stage["processingStageName"] for stage in stages(api)] == ["processing"] * 3 + ["export"]


def test_a_worker_of_the_first_run_can_commit_nothing_more(api: Api) -> None:
    held = lease(api)
    api.post(f"{JOBS}/j1/abort")
    restart(api)
    assert commit(api, held, held["images"]).status_code == 410
    assert sorted(work(api)) == NAMES


def test_what_a_restart_changes_holds_from_then_on_and_is_shown(api: Api, clock: Clock) -> None:
    api.post(f"{JOBS}/j1/abort")
    compute = {"type": "compute-configuration-v2", "workersPerMachine": 2}
    assert restart(api, computeConfiguration=compute, processingTimeoutSeconds=60).status_code == 200
    assert lease(api)["workers_per_machine"] == 2
    clock.advance(61)
    bury_overdue(api.hub)
    assert "timeout" in shown(api)["lastNotification"]
    gpu = {"type": "compute-configuration-v2", "machineType": "gpu"}
    assert restart(api, computeConfiguration=gpu, maxParallelTasks=1, maxImageFailureRate=0.5).status_code == 200
    assert api.worker("/lease", worker="w").status_code == 204
    held = api.worker("/lease", worker="w", machine_type="gpu").json()
    assert (held["workers_per_machine"], held["failures_allowed"]) == (2, 1)
    assert api.worker("/lease", worker="v", machine_type="gpu").status_code == 204, "one task at once"
    overrides = shown(api)["restartParametersOverride"]
    assert [override["type"] for override in overrides] == ["parameters-override-v1"] * 2
    assert "workersPerMachine" not in shown(api)["jobDefinition"]["computeConfiguration"]


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ({"maxParallelTasks": 0}, "maxParallelTasks"),
        ({"maxImageFailureRate": 2}, "maxImageFailureRate"),
        ({"processingTimeoutSeconds": "soon"}, "processingTimeoutSeconds"),
        ({"workflowId": "other"}, "workflowId"),
        ({"computeConfiguration": {"type": "compute-configuration-v2", "machineType": "tpu"}}, "computeConfiguration"),
        ({"type": "parameters-override-v9", "maxParallelTasks": 1}, "type"),
    ],
)
def test_parameters_that_cannot_be_taken_are_named_and_change_nothing(api: Api, override: dict, field: str) -> None:
    api.post(f"{JOBS}/j1/abort")
    answer = restart(api, **override)
    assert refused(answer) == (400, "job_definition_invalid")
    assert any(name.startswith(field) for name in answer.json()["error"]["fields"])
    assert shown(api)["isTerminal"] is True


def test_a_machine_that_is_not_there_is_refused(api: Api, tmp_path) -> None:
    api.post(f"{JOBS}/j1/abort")
    object.__setattr__(api.hub, "config", write_config(tmp_path))
    gpu = {"type": "compute-configuration-v2", "machineType": "gpu"}
    assert refused(restart(api, computeConfiguration=gpu)) == (400, "machine_type_unavailable")


def test_a_job_that_runs_or_is_done_or_is_not_there_is_not_restarted(api: Api) -> None:
    assert refused(restart(api)) == (409, "job_running")
    work(api)
    assert refused(restart(api)) == (409, "job_complete")
    assert refused(api.post(f"{JOBS}/nowhere/restart")) == (404, "job_not_found")


def test_a_job_whose_images_have_gone_is_refused(api: Api, clock: Clock) -> None:
    api.post(f"{JOBS}/j1/abort")
    with api.hub.store.write() as session:
        session.execute(delete(Batch).where(Batch.batch_id == "photos"))
    assert refused(restart(api)) == (409, "batch_removed")
    clock.advance(8 * A_DAY)
    assert refused(restart(api)) == (409, "batch_expired")
    assert shown(api)["isTerminal"] is True


def test_results_are_kept_for_as_long_again(api: Api, clock: Clock) -> None:
    api.post(f"{JOBS}/j1/abort")
    clock.advance(6 * A_DAY)
    restart(api)
    work(api)
    clock.advance(2 * A_DAY)
    sweep(api.hub)
    assert len(api.get(f"{STAGING}/j1-processing/list", partName="results").json()["filesMetadata"]) == 2


def test_only_the_export_is_done_again_where_only_that_has_failed(api: Api) -> None:
    while (answer := api.worker("/lease", worker="w")).status_code == 200:
        held = answer.json()
        commit(api, held, held["images"])
        call(api, held, "complete")
    assert shown(api)["currentStage"] == "export"
    api.post(f"{JOBS}/j1/abort")
    assert restart(api).status_code == 200
    assert work(api) == []
    assert (shown(api)["isTerminal"], shown(api)["error"]) == (True, False)
    assert Counter(record["image"] for record in exported(api, "j1-export-2")) == Counter(NAMES)
