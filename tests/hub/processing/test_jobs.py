"""Batch processing, as the command line uses it."""

from __future__ import annotations

import json

import pytest

from tests.hub.processing.test_processing import call, lost
from tests.hub.support import JOBS, STAGING, Api, Clock, archive, job_body, jpeg, write_config
from visionfleet.hub.housekeeping import bury_overdue
from visionfleet.hub.processing.definitions import parse_definition


@pytest.fixture
def batch(api: Api) -> str:
    for n in range(3):
        assert api.upload("photos", f"{n}.jpg", jpeg(n)).status_code == 200
    return "photos"


def create(api: Api, job: str = "j1", batch: str = "photos", **changes) -> object:
    return api.post(f"{JOBS}/{job}", json=job_body(batch, **changes))


def code(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_new_job_is_shown_with_its_stage_and_tasks(api: Api, batch: str) -> None:
    assert create(api).status_code == 200
    job = api.get(f"{JOBS}/j1").json()["job"]
    assert (job["currentStage"], job["plannedStages"]) == ("processing", ["processing", "export"])
    assert (job["isTerminal"], job["error"]) == (False, False)
    assert job["jobDefinition"] == job_body(batch)
    [stage] = api.get(f"{JOBS}/j1/stages").json()["stages"]
    assert (stage["processingStageName"], stage["tasksNumber"], stage["statusType"]) == ("processing", 1, "info")
    assert stage["outputBatches"] == ["j1-processing"]
    [task] = api.get(f"{JOBS}/j1/stages/{stage['processingStageId']}/tasks").json()["tasks"]
    assert (task["progress"], task["statusType"]) == (None, "info")
    assert [j["jobId"] for j in api.get(JOBS).json()["jobs"]] == ["j1"]
    assert api.get(f"{JOBS}/j1/logs").json()["logs"][0]["logType"] == "job_created"


def test_a_jobs_images_are_split_into_tasks(api: Api, tmp_path, batch: str) -> None:
    object.__setattr__(api.hub, "config", write_config(tmp_path, batch={"images_per_task": 2}))
    create(api)
    assert api.get(f"{JOBS}/j1/stages").json()["stages"][0]["tasksNumber"] == 2


def test_the_same_job_id_twice_is_refused(api: Api, batch: str) -> None:
    create(api)
    assert code(create(api)) == (409, "job_exists")


@pytest.mark.parametrize("job", ["Upper", "a" * 21, "dots.here"])
def test_a_job_id_that_breaks_the_rules_is_refused(api: Api, batch: str, job: str) -> None:
    assert code(create(api, job)) == (400, "job_id_invalid")


def test_a_job_on_a_batch_that_is_not_there_is_refused(api: Api) -> None:
    assert code(create(api)) == (404, "batch_not_found")


def test_a_job_on_a_batch_that_is_still_coming_or_holds_nothing_is_refused(api: Api) -> None:
    api.upload_shard("photos", archive({"text.jpg": b"no picture"}))
    assert code(create(api)) == (409, "batch_ingesting")
    api.run_hub_tasks()
    assert code(create(api)) == (409, "batch_empty")


def test_an_unknown_workflow_is_refused_and_the_known_ones_are_named(api: Api, batch: str) -> None:
    answer = create(api, processingSpecification__workflowId="gray")
    assert code(answer) == (404, "workflow_not_found")
    assert "grey" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"processingSpecification__imageInputName": "picture"}, "imageInputName"),
        ({"processingSpecification__workflowParameters": {"treshold": 1}}, "workflowParameters"),
        ({"processingSpecification__imagesOutputsToBePersisted": ["gray"]}, "imagesOutputsToBePersisted"),
        (
            {
                "processingSpecification__persistImagesOutputs": False,
                "processingSpecification__imagesOutputsToBePersisted": ["grey"],
            },
            "persistImagesOutputs",
        ),
        ({"processingSpecification__aggregationFormat": "xml"}, "processingSpecification.aggregationFormat"),
        ({"processingSpecification__workspace": "other"}, "workspace"),
        ({"maxImageFailureRate": 1.5}, "maxImageFailureRate"),
        ({"maxParallelTasks": 0}, "maxParallelTasks"),
        ({"maxParallelTasks": 10**30}, "maxParallelTasks"),
        ({"processingTimeoutSeconds": -1}, "processingTimeoutSeconds"),
        ({"processingTimeoutSeconds": 10**400}, "processingTimeoutSeconds"),
        ({"notificationsURL": "https://example.com"}, "notificationsURL"),
        ({"inferenceBackend": "old-inference"}, "inferenceBackend"),
        ({"computeConfiguration__workersPerMachine": 0}, "computeConfiguration.workersPerMachine"),
        ({"jobInput__partName": "x"}, "partName"),
    ],
)
def test_a_definition_with_a_wrong_field_is_refused_and_the_field_is_named(
    api: Api, batch: str, changes: dict, field: str
) -> None:
    answer = create(api, **changes)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["fields"]
    assert api.get(f"{JOBS}/j1").status_code == 404, "nothing was made"


def test_a_job_of_a_type_that_this_hub_does_not_run_is_refused(api: Api, batch: str) -> None:
    assert code(create(api, type="simple-video-processing-v1")) == (400, "job_type_unsupported")


def test_a_gpu_is_refused_where_the_file_has_none_and_leased_by_gpu_workers_where_it_has(
    api: Api, tmp_path, batch: str
) -> None:
    gpu = {"computeConfiguration__machineType": "gpu"}
    assert code(create(api, **gpu)) == (400, "machine_type_unavailable")
    object.__setattr__(api.hub, "config", write_config(tmp_path, batch={"workers": {"gpu": {"max": 1}}}))
    assert create(api, **gpu).status_code == 200
    assert api.worker("/lease", worker="w", machine_type="cpu").status_code == 204
    assert api.worker("/lease", worker="w", machine_type="gpu").status_code == 200


@pytest.mark.parametrize("path", ["", "/stages", "/logs"])
def test_a_job_that_is_not_there_is_not_found(api: Api, path: str) -> None:
    assert code(api.get(f"{JOBS}/nowhere{path}")) == (404, "job_not_found")


def test_a_stage_of_another_job_is_not_found(api: Api, batch: str) -> None:
    create(api, "j1")
    create(api, "j2")
    stage = api.get(f"{JOBS}/j2/stages").json()["stages"][0]["processingStageId"]
    assert code(api.get(f"{JOBS}/j1/stages/{stage}/tasks")) == (404, "stage_not_found")


def test_output_batches_get_another_name_where_theirs_is_taken_and_take_no_uploads(api: Api, batch: str) -> None:
    api.upload("j1-processing", "mine.jpg", jpeg(9))
    create(api)
    assert api.get(f"{JOBS}/j1/stages").json()["stages"][0]["outputBatches"] == ["j1-processing-2"]
    assert code(api.upload("j1-processing-2", "more.jpg", jpeg(1))) == (409, "batch_is_output")


def test_an_aborted_job_ends_and_its_worker_is_told(api: Api, batch: str) -> None:
    create(api)
    lease = api.worker("/lease", worker="w").json()
    job = api.post(f"{JOBS}/j1/abort").json()["job"]
    assert (job["isTerminal"], job["error"]) == (True, True)
    assert lost(api, lease) == [lease["task_id"]]
    assert code(call(api, lease, "release")) == (410, "task_cancelled")
    assert api.worker("/lease", worker="w").status_code == 204
    assert code(api.post(f"{JOBS}/j1/abort")) == (409, "job_ended")


def test_a_job_that_runs_longer_than_it_may_ends(api: Api, clock: Clock, batch: str) -> None:
    create(api, processingTimeoutSeconds=60)
    clock.advance(61)
    bury_overdue(api.hub)
    job = api.get(f"{JOBS}/j1").json()["job"]
    assert (job["isTerminal"], job["error"]) == (True, True)
    assert "timeout" in job["lastNotification"]


def test_logs_are_filtered_by_severity(api: Api, batch: str) -> None:
    create(api)
    assert api.get(f"{JOBS}/j1/logs", severity="error").json()["logs"] == []
    assert api.get(f"{JOBS}/j1/logs", severity="loud").status_code == 400
    assert api.get(f"{STAGING}/{batch}/count").json() == {"count": 3}


@pytest.mark.parametrize(
    "parameters",
    [{"threshold": "\ud800"}, {"\ud800": 1}, {"threshold": float("nan")}],
    ids=["half a surrogate pair", "half a surrogate pair as a key", "NaN"],
)
def test_what_json_cannot_hold_is_refused_and_spoils_no_listing(api: Api, batch: str, parameters: dict) -> None:
    body = json.dumps(job_body(batch, processingSpecification__workflowParameters=parameters))
    headers = {"Content-Type": "application/json"}
    answer = api.client.post(f"{JOBS}/j1", params={"api_key": api.client_key}, content=body, headers=headers)
    assert code(answer) == (400, "job_definition_invalid")
    assert api.get(JOBS).json()["jobs"] == []


def test_an_error_names_even_a_field_that_is_not_unicode(api: Api, batch: str) -> None:
    create(api)
    held = api.worker("/lease", worker="w").json()
    body = json.dumps({"token": held["token"], "\ud800": 1})
    headers = {"Authorization": f"Bearer {api.worker_key}", "Content-Type": "application/json"}
    path = f"/worker/v1/tasks/{held['task_id']}"
    assert code(api.client.post(f"{path}/release", headers=headers, content=body)) == (400, "request_invalid")
    line = {"severity": "info", "type": "x", "payload": {"a": "\ud800"}}
    body = json.dumps({"token": held["token"], "logs": [line]})
    assert code(api.client.post(f"{path}/logs", headers=headers, content=body)) == (400, "request_invalid")
    assert api.get(f"{JOBS}/j1/logs").status_code == 200


@pytest.mark.parametrize(
    ("rate", "images", "allowed"),
    [(None, 64, 10), (0.0, 64, 0), (1.0, 64, 64), (0.29, 100, 29), (0.07, 100, 7), (0.1, 9, 0), (1e-9, 64, 0)],
)
def test_a_failure_rate_is_meant_as_it_is_written(rate: float | None, images: int, allowed: int) -> None:
    definition = parse_definition(job_body("photos", maxImageFailureRate=rate))
    assert definition.failures_allowed(images, default=10) == allowed
