"""A worker of one stage gets that stage's tasks alone, and learns whether it is worth waiting."""

from __future__ import annotations

import pytest

from tests.hub.processing.test_processing import call, lease, lost, start_job
from tests.hub.support import EMBEDDED, JOBS, SERVED, Api, Clock, jpeg, plans_of, write_config
from visionfleet.hub import tasks
from visionfleet.hub.processing.leases import MAX_WAIT_SECONDS
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
    assert (answer.status_code, answer.headers["retry-after"]) == (204, str(tasks.BACKOFF_SECONDS))
    clock.advance(tasks.BACKOFF_SECONDS)
    assert ask(api, stage).status_code == 200


def test_a_worker_waits_for_no_longer_than_a_task_may_take_to_come_back(api: Api, clock: Clock) -> None:
    start_job(api)
    stage = stage_of(api, "j1")
    for _ in range(tasks.MAX_ATTEMPTS - 1):
        call(api, ask(api, stage).json(), "fail", code="hub_unavailable", message="x", retryable=True)
        seconds = int(ask(api, stage).headers["retry-after"])
        assert 1 <= seconds <= MAX_WAIT_SECONDS
        clock.advance(tasks.MAX_BACKOFF_SECONDS)


def test_one_heartbeat_keeps_all_leases_of_a_worker_and_tells_which_are_lost(api: Api, clock: Clock) -> None:
    start_job(api, "j1")
    start_job(api, "j2")
    first, second = lease(api), lease(api)
    clock.advance(tasks.LEASE_SECONDS - 1)
    assert lost(api, first, second) == []
    clock.advance(tasks.LEASE_SECONDS - 1)
    assert api.worker("/lease", worker="other").status_code == 204, "both are kept"
    call(api, first, "release")
    again = lease(api)
    assert again["task_id"] == first["task_id"]
    assert lost(api, first, second, again) == [first["task_id"]], "by the older of its two tokens"
    api.post(f"{JOBS}/j2/abort")
    assert lost(api, second, again) == [second["task_id"]]
    assert lost(api, {"task_id": "unknown", "token": 1}) == ["unknown"]


@SERVED
def test_a_heartbeat_waits_for_no_task_that_another_one_works_on(api: Api, clock: Clock) -> None:
    start_job(api, "j1")
    start_job(api, "j2")
    first, second = lease(api), lease(api)
    clock.advance(tasks.LEASE_SECONDS - 1)
    with api.hub.store.write() as session:
        tasks.hold(session, clock(), first["task_id"], first["token"])
        assert lost(api, first, second) == []
    clock.advance(tasks.LEASE_SECONDS - 1)
    assert api.worker("/lease", worker="other").status_code == 204


@pytest.mark.parametrize("leases", [[], [{"task_id": "", "token": 1}], [{"task_id": "a" * 33, "token": 1}]])
def test_a_heartbeat_for_nothing_is_refused(api: Api, leases: list[dict]) -> None:
    assert api.worker("/heartbeat", leases=leases).status_code == 400


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
