"""A stage whose workers are no more ends with the reason, and with what was done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hub.processing.test_processing import call, commit, lease, lost, records, start_job
from tests.hub.support import JOBS, Api, jpeg, write_config
from visionfleet.hub.processing import failing
from visionfleet.hub.processing.failing import fail_stage

REASON = "worker exited with 3: the hub refuses its key"


@pytest.fixture(autouse=True)
def job(api: Api, tmp_path) -> None:
    object.__setattr__(api.hub, "config", write_config(tmp_path, batch={"images_per_task": 2}))
    for n in range(6):
        api.upload("photos", f"{n}.jpg", jpeg(n))
    start_job(api)


def stage(api: Api) -> dict:
    return api.get(f"{JOBS}/j1/stages").json()["stages"][0]


def test_what_was_committed_is_exported_and_the_rest_has_failed(api: Api) -> None:
    held, other = lease(api), lease(api)
    commit(api, held, held["images"])
    call(api, held, "complete")
    commit(api, other, other["images"][:1])
    fail_stage(api.hub, stage(api)["processingStageId"], REASON)
    assert (stage(api)["statusType"], stage(api)["notification"]) == ("error", REASON)
    assert lost(api, other) == [other["task_id"]]
    api.run_hub_tasks()
    ended = api.get(f"{JOBS}/j1").json()["job"]
    assert (ended["isTerminal"], ended["error"]) == (True, True)
    assert len(records(api)) == 3
    logs = api.get(f"{JOBS}/j1/logs", severity="error").json()["logs"]
    assert [line["payload"]["reason"] for line in logs if line["logType"] == "workers_failed"] == [REASON]
    assert REASON in json.dumps(api.get(f"{JOBS}/j1/stages/{stage(api)['processingStageId']}/tasks").json())


def test_what_another_worker_commits_meanwhile_is_exported_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is no pod of the stage's Job, as of a standing pool."""
    held = lease(api)
    commit(api, held, held["images"][:1])
    fail_begun = failing._fail_begun

    def with_another(*arguments: Any) -> None:
        other = lease(api)
        commit(api, other, other["images"])
        fail_begun(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(failing, "_fail_begun", with_another)
        fail_stage(api.hub, stage(api)["processingStageId"], REASON)
    assert stage(api)["statusType"] == "info", "the next round finds the other task begun"
    fail_stage(api.hub, stage(api)["processingStageId"], REASON)
    assert (stage(api)["statusType"], stage(api)["notification"]) == ("error", REASON)
    api.run_hub_tasks()
    assert len(records(api)) == 3


def test_a_job_of_which_nothing_was_done_ends_with_the_reason(api: Api) -> None:
    fail_stage(api.hub, stage(api)["processingStageId"], REASON)
    ended = api.get(f"{JOBS}/j1").json()["job"]
    assert (ended["isTerminal"], ended["error"]) == (True, True)
    assert REASON in ended["lastNotification"]


def test_a_second_hub_that_finds_the_same_writes_nothing(api: Api) -> None:
    for _ in range(2):
        fail_stage(api.hub, stage(api)["processingStageId"], REASON)
    logs = api.get(f"{JOBS}/j1/logs").json()["logs"]
    assert [line["logType"] for line in logs].count("workers_failed") == 1
    assert [line["logType"] for line in logs].count("job_ended") == 1


def test_a_stage_that_was_aborted_meanwhile_stays_aborted(api: Api) -> None:
    api.post(f"{JOBS}/j1/abort")
    fail_stage(api.hub, stage(api)["processingStageId"], REASON)
    assert "aborted" in stage(api)["notification"]
