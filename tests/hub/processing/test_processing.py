"""What workers do, and what comes out: every image once, whatever dies on the way."""

from __future__ import annotations

import csv
import io
import json
import tarfile

import pytest

from tests.hub.support import JOBS, STAGING, Api, Clock, job_body, jpeg, statements_of
from visionfleet.hub import tasks
from visionfleet.hub.housekeeping import bury_overdue, sweep
from visionfleet.hub.store.tables import Batch, File, Job, Task

IMAGES = 6
A_DAY = 86_400


@pytest.fixture
def job(api: Api) -> str:
    for n in range(IMAGES):
        api.upload("photos", f"{n}.jpg", jpeg(n))
    start_job(api)
    return "j1"


def start_job(api: Api, job: str = "j1", **changes) -> None:
    answer = api.post(f"{JOBS}/{job}", json=job_body("photos", **changes))
    assert answer.status_code == 200, answer.text


def lease(api: Api, worker: str = "w") -> dict:
    answer = api.worker("/lease", worker=worker)
    assert answer.status_code == 200, answer.text
    return answer.json()


def commit(api: Api, held: dict, images: list[dict], mark: str = "") -> object:
    """Upload an output image for each image, then commit its record."""
    return call(api, held, "results", results=uploaded(api, held, images, mark))


def uploaded(api: Api, held: dict, images: list[dict], mark: str = "") -> list[dict]:
    """Upload an output image for each image where the hub still lets; gives what is to be committed."""
    results = []
    for image in images:
        name = f"grey/{image['name']}"
        answer = api.worker(f"/tasks/{held['task_id']}/uploads", token=held["token"], names=[name])
        if answer.status_code == 200:
            assert api.link("PUT", answer.json()["urls"][name], content=jpeg(99)).status_code == 200
        file = {"part": "grey", "name": image["name"], "content_type": "image/jpeg"}
        record = {"image": image["name"], "by": mark, "count": len(image["name"])}
        results.append({"image_id": image["id"], "record": record, "files": [file]})
    return results


def call(api: Api, held: dict, verb: str, **body) -> object:
    return api.worker(f"/tasks/{held['task_id']}/{verb}", token=held["token"], **body)


def lost(api: Api, *held: dict) -> list[str]:
    """Send a heartbeat for all; gives the ids of the tasks that the hub says are lost."""
    leases = [{"task_id": each["task_id"], "token": each["token"]} for each in held]
    return [each["task_id"] for each in api.worker("/heartbeat", leases=leases).json()["lost"]]


def finish(api: Api, held: dict) -> None:
    commit(api, held, held["images"])
    answer = call(api, held, "complete")
    assert answer.status_code == 204, answer.text
    api.run_hub_tasks()


def exported(api: Api, job: str = "j1") -> dict[str, bytes]:
    """Every file of the export batch by `part/name`, archives unpacked, as the command line does."""
    files: dict[str, bytes] = {}
    for part in api.get(f"{STAGING}/{job}-export/parts").json()["batchParts"]:
        listing = api.get(f"{STAGING}/{job}-export/list", partName=part["partName"]).json()
        for file in listing["filesMetadata"]:
            data = api.download(file["downloadURL"])
            if file["fileName"].endswith(".tar"):
                with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                    files |= {f"{part['partName']}/{m.name}": tar.extractfile(m).read() for m in tar.getmembers()}
            else:
                files[f"{part['partName']}/{file['fileName']}"] = data
    return files


def records(api: Api, job: str = "j1") -> list[dict]:
    return [json.loads(line) for line in exported(api, job)["results/results.jsonl"].splitlines()]


def job_state(api: Api, job: str = "j1") -> tuple[bool, bool]:
    view = api.get(f"{JOBS}/{job}").json()["job"]
    return view["isTerminal"], view["error"]


def error_code(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_lease_tells_all_that_a_worker_needs(api: Api, job: str) -> None:
    held = lease(api)
    assert held["workflow_id"] == "grey"
    assert held["image_input"] == "image"
    assert (held["workspace"], held["save_images"], held["failures_allowed"]) == ("acme", True, 10)
    assert [image["name"] for image in held["images"]] == [f"{n}.jpg" for n in range(IMAGES)]
    assert api.download(held["images"][0]["url"]) == jpeg(0)
    assert api.worker("/lease", worker="other").status_code == 204


def test_a_job_goes_from_processing_to_export_to_its_end(api: Api, job: str) -> None:
    finish(api, lease(api))
    assert job_state(api) == (True, False)
    stages = api.get(f"{JOBS}/j1/stages").json()["stages"]
    assert [(s["processingStageName"], s["statusType"]) for s in stages] == [
        ("processing", "success"),
        ("export", "success"),
    ]
    files = exported(api)
    assert set(files) == {"results/results.jsonl", *(f"grey/{n}.jpg" for n in range(IMAGES))}
    assert [record["image"] for record in records(api)] == [f"{n}.jpg" for n in range(IMAGES)]
    assert files["grey/0.jpg"] == jpeg(99)


def test_csv_where_the_job_asks_for_it(api: Api, job: str) -> None:
    finish(api, lease(api))
    start_job(api, "j2", processingSpecification__aggregationFormat="csv")
    finish(api, lease(api))
    rows = list(csv.DictReader(io.StringIO(exported(api, "j2")["results/results.csv"].decode())))
    assert [row["image"] for row in rows] == [f"{n}.jpg" for n in range(IMAGES)]


def test_the_processing_batch_can_be_exported_too(api: Api, job: str) -> None:
    finish(api, lease(api))
    parts = {p["partName"]: p["contentType"] for p in api.get(f"{STAGING}/j1-processing/parts").json()["batchParts"]}
    assert parts == {"results": "metadata", "grey": "images"}
    assert api.get(f"{STAGING}/j1-processing/count", partName="grey").json() == {"count": IMAGES}


def test_a_workers_death_loses_nothing_and_doubles_nothing(api: Api, clock: Clock, job: str) -> None:
    dead = lease(api, "dead")
    assert commit(api, dead, dead["images"][:2], "dead").json() == {"failures": 0, "remaining": IMAGES - 2}
    clock.advance(tasks.LEASE_SECONDS + 1)
    heir = lease(api, "heir")
    assert [image["name"] for image in heir["images"]] == [f"{n}.jpg" for n in range(2, IMAGES)]
    late = commit(api, dead, dead["images"][2:], "dead")
    assert error_code(late) == (409, "stale_lease")
    finish(api, heir)
    found = records(api)
    assert [record["image"] for record in found] == [f"{n}.jpg" for n in range(IMAGES)]
    assert [record["by"] for record in found[:2]] == ["dead", "dead"]


def test_a_commit_that_is_sent_twice_counts_once(api: Api, job: str) -> None:
    held = lease(api)
    commit(api, held, held["images"][:3], "first")
    again = commit(api, held, held["images"][:4], "again")
    assert again.json()["remaining"] == IMAGES - 4
    finish(api, held)
    assert [record["by"] for record in records(api)[:4]] == ["first"] * 3 + ["again"]


def test_a_commit_of_many_images_takes_no_more_statements_than_one_of_few(api: Api, job: str) -> None:
    held = lease(api)
    counts = []
    for images in (held["images"][:1], held["images"][1:]):
        results = uploaded(api, held, images)
        with statements_of(api.hub) as seen:
            assert call(api, held, "results", results=results).status_code == 200
        counts.append(len(seen))
    assert counts[1] <= counts[0]


def test_a_task_with_images_left_cannot_be_completed(api: Api, job: str) -> None:
    assert error_code(call(api, lease(api), "complete")) == (409, "task_incomplete")


def test_images_that_fail_are_reported_and_the_rest_is_exported(api: Api, job: str) -> None:
    held = lease(api)
    error = {"code": "undecodable", "message": "no picture"}
    answer = call(api, held, "results", results=[{"image_id": held["images"][0]["id"], "error": error}])
    assert answer.json() == {"failures": 1, "remaining": IMAGES - 1}
    commit(api, held, held["images"][1:])
    call(api, held, "complete")
    api.run_hub_tasks()
    assert job_state(api) == (True, False)
    assert len(records(api)) == IMAGES - 1
    assert json.loads(exported(api)["failures/failures.jsonl"]) == {"image": "0.jpg", "error": error}
    log = api.get(f"{JOBS}/j1/logs", severity="warning").json()["logs"]
    assert log[0]["payload"] == {"image": "0.jpg", "error": error}


def test_a_task_that_fails_for_good_ends_its_job_with_the_reason(api: Api, job: str) -> None:
    call(api, lease(api), "fail", code="too_many_failures", message="11 images failed", retryable=False)
    assert job_state(api) == (True, True)
    [stage] = api.get(f"{JOBS}/j1/stages").json()["stages"]
    assert stage["statusType"] == "error"
    [task] = api.get(f"{JOBS}/j1/stages/{stage['processingStageId']}/tasks").json()["tasks"]
    assert (task["statusType"], task["notification"]) == ("error", "too_many_failures: 11 images failed")
    log = api.get(f"{JOBS}/j1/logs", severity="error").json()["logs"]
    assert "11 images failed" in json.dumps(log)


def test_what_a_failed_task_had_committed_is_kept(api: Api, job: str) -> None:
    held = lease(api)
    commit(api, held, held["images"][:2])
    error = {"code": "undecodable", "message": "no picture"}
    call(api, held, "results", results=[{"image_id": held["images"][2]["id"], "error": error}])
    call(api, held, "fail", code="too_many_failures", message="1 image failed", retryable=False)
    api.run_hub_tasks()
    assert job_state(api) == (True, True)
    assert [record["image"] for record in records(api)] == ["0.jpg", "1.jpg"]
    assert json.loads(exported(api)["failures/failures.jsonl"])["image"] == "2.jpg"


def test_what_a_vanished_worker_had_committed_is_kept(api: Api, clock: Clock, job: str) -> None:
    held = lease(api)
    commit(api, held, held["images"][:2])
    for _ in range(tasks.MAX_ATTEMPTS):
        clock.advance(tasks.LEASE_SECONDS + 1)
        api.worker("/lease", worker="w")
    clock.advance(tasks.LEASE_SECONDS + 1)
    bury_overdue(api.hub)
    api.run_hub_tasks()
    assert job_state(api) == (True, True)
    assert [record["image"] for record in records(api)] == ["0.jpg", "1.jpg"]


def test_results_that_have_gone_from_the_storage_are_told_in_the_jobs_log(api: Api, job: str) -> None:
    held = lease(api)
    commit(api, held, held["images"][:2])
    [chunk] = [key for key, _ in api.hub.storage.list("batches") if "/chunks/" in key]
    api.hub.storage.delete([chunk])
    assert call(api, held, "fail", code="too_many_failures", message="x", retryable=False).status_code == 204
    api.run_hub_tasks()
    assert job_state(api) == (True, True)
    logs = api.get(f"{JOBS}/{job}/logs", severity="error").json()["logs"]
    [line] = [line for line in logs if line["logType"] == "results_lost"]
    assert (line["taskId"], chunk in line["payload"]["reason"]) == (held["task_id"], True)


def test_a_task_that_may_be_tried_again_waits_and_goes_on(api: Api, clock: Clock, job: str) -> None:
    held = lease(api)
    commit(api, held, held["images"][:1])
    call(api, held, "fail", code="server_down", message="connection refused", retryable=True)
    assert api.worker("/lease", worker="w").status_code == 204
    clock.advance(tasks.BACKOFF_SECONDS)
    assert len(lease(api)["images"]) == IMAGES - 1


def test_a_released_task_is_there_at_once(api: Api, job: str) -> None:
    assert call(api, lease(api), "release").status_code == 204
    assert lease(api)["images"]


def test_a_worker_that_vanishes_at_the_last_attempt_ends_the_job(api: Api, clock: Clock, job: str) -> None:
    for _ in range(tasks.MAX_ATTEMPTS):
        lease(api)
        clock.advance(tasks.LEASE_SECONDS + 1)
    assert api.worker("/lease", worker="w").status_code == 204
    bury_overdue(api.hub)
    assert job_state(api) == (True, True)


def test_a_result_for_a_foreign_image_or_an_upload_that_never_came_is_refused(api: Api, job: str) -> None:
    held = lease(api)
    foreign = [{"image_id": 999, "record": {"image": "x"}}]
    assert error_code(call(api, held, "results", results=foreign)) == (400, "image_unknown")
    file = {"part": "grey", "name": "0.jpg", "content_type": "image/jpeg"}
    missing = [{"image_id": held["images"][0]["id"], "record": {}, "files": [file]}]
    assert error_code(call(api, held, "results", results=missing)) == (404, "object_missing")
    assert commit(api, held, held["images"]).json()["remaining"] == 0


@pytest.mark.parametrize("names", [["../x"], ["a/../../b"], ["grey/a/b"], ["grey/.hidden"], []])
def test_an_upload_name_that_is_not_safe_is_refused(api: Api, job: str, names: list[str]) -> None:
    assert error_code(call(api, lease(api), "uploads", names=names)) == (400, "request_invalid")


@pytest.mark.parametrize("part", ["results", "failures"])
def test_a_worker_writes_to_no_part_that_is_the_hubs_own(api: Api, job: str, part: str) -> None:
    held = lease(api)
    assert error_code(call(api, held, "uploads", names=[f"{part}/0.jpg"])) == (400, "request_invalid")
    file = {"part": part, "name": "0.jpg", "content_type": "image/jpeg"}
    results = [{"image_id": held["images"][0]["id"], "record": {}, "files": [file]}]
    assert error_code(call(api, held, "results", results=results)) == (400, "request_invalid")


def test_no_more_tasks_run_at_once_than_the_job_allows(api: Api, job: str) -> None:
    call(api, lease(api), "fail", code="x", message="y", retryable=False)
    config = api.hub.config
    batch = config.batch.model_copy(update={"images_per_task": 2})
    object.__setattr__(api.hub, "config", config.model_copy(update={"batch": batch}))
    start_job(api, "j2", maxParallelTasks=2)
    held = [lease(api), lease(api)]
    assert api.worker("/lease", worker="w").status_code == 204
    call(api, held[0], "release")
    assert api.worker("/lease", worker="w").status_code == 200


def test_retention_removes_rows_and_objects_but_not_under_a_running_job(api: Api, clock: Clock, job: str) -> None:
    clock.advance(8 * A_DAY)
    assert sweep(api.hub) == 0, "the job still reads its batch"
    finish(api, lease(api))
    clock.advance(8 * A_DAY)
    assert sweep(api.hub) == 3
    assert [key for key, _ in api.hub.storage.list("batches")] == []
    with api.hub.store.read() as session:
        assert [session.query(table).count() for table in (Batch, File, Job, Task)] == [0, 0, 0, 0]
