"""A worker of one stage gets that stage's tasks alone, and learns whether it is worth waiting."""

from __future__ import annotations

import pytest

from tests.hub.processing.test_processing import call, start_job
from tests.hub.support import EMBEDDED, JOBS, Api, Clock, jpeg, plans_of, write_config
from visionfleet.hub import tasks
from visionfleet.hub.store.tables import TaskKind


@pytest.fixture(autouse=True)
def photos(api: Api) -> None:
    for n in range(2):
        api.upload("photos", f"{n}.jpg", jpeg(n))


def stage_of(api: Api, job: str) -> str:
    return api.get(f"{JOBS}/{job}/stages").json()["stages"][0]["processingStageId"]


def ask(api: Api, stage: str) -> object:
    return api.worker("/lease", worker="w", stage_id=stage)


def test_a_worker_of_a_stage_leases_nothing_else(api: Api) -> None:
    start_job(api, "j1")
    start_job(api, "j2")
    second = stage_of(api, "j2")
    assert ask(api, second).json()["job_id"] == "j2"
    answer = ask(api, second)
    assert (answer.status_code, answer.headers.get("retry-after")) == (204, None), "the other job's task is not its own"
    assert api.worker("/lease", worker="w").json()["job_id"] == "j1"


def test_a_worker_is_told_to_wait_while_a_task_waits_for_its_next_attempt(api: Api, clock: Clock) -> None:
    start_job(api)
    stage = stage_of(api, "j1")
    call(api, ask(api, stage).json(), "fail", code="hub_unavailable", message="x", retryable=True)
    answer = ask(api, stage)
    assert (answer.status_code, answer.headers["retry-after"]) == (204, "1")
    clock.advance(tasks.BACKOFF_SECONDS)
    assert ask(api, stage).status_code == 200


def test_a_worker_of_a_stage_that_has_ended_need_not_wait(api: Api) -> None:
    start_job(api)
    stage = stage_of(api, "j1")
    api.post(f"{JOBS}/j1/abort")
    answer = ask(api, stage)
    assert (answer.status_code, answer.headers.get("retry-after")) == (204, None)
    assert ask(api, "0" * 32).status_code == 204


@pytest.mark.parametrize("stage", ["", "first", "A" * 32])
def test_a_stage_that_none_can_be_is_refused(api: Api, stage: str) -> None:
    assert ask(api, stage).status_code == 400


@EMBEDDED
def test_the_task_of_a_stage_is_the_first_row_of_an_index_however_many_wait(api: Api) -> None:
    start_job(api)
    with plans_of(api.hub) as plans:
        tasks.claim(api.hub.store, [TaskKind.PROCESS], "w", None, stage_of(api, "j1"))
    found = [plan for plan in plans if "USING INDEX ix_tasks_stage_id_state_run_after (stage_id=? AND state=?" in plan]
    assert len(found) == 2, "\n".join(plans)


def test_workers_on_a_machine_are_the_pods_affair_in_a_cluster(api: Api, tmp_path) -> None:
    start_job(api, computeConfiguration__workersPerMachine=3)
    object.__setattr__(api.hub, "config", write_config(tmp_path, batch={"executor": "kubernetes"}))
    assert ask(api, stage_of(api, "j1")).json()["workers_per_machine"] is None
