"""What several do at the same moment ends as if they had done it one after the other, on each kind of database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.hub.fleet.support import EDGE, Device, report
from tests.hub.support import JOBS, SERVED, STAGING, Api, Clock, archive, job_body, jpeg, write_config
from visionfleet.hub import tasks
from visionfleet.hub.fleet.roster import Roster
from visionfleet.hub.housekeeping import bury_overdue, sweep
from visionfleet.hub.keys import list_keys
from visionfleet.hub.runner import run_next
from visionfleet.hub.staging import batches
from visionfleet.hub.staging.batches import SECONDS_A_DAY
from visionfleet.hub.store.locks import kept
from visionfleet.hub.store.tables import Batch, File, Stage, Task, TaskKind, TaskState

IMAGES = 12


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each call gives, all begun at the same moment."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.fixture
def photos(api: Api, tmp_path: Path) -> str:
    """A batch, each image of which is a task of its own."""
    object.__setattr__(api.hub, "config", write_config(tmp_path, batch={"images_per_task": 1}))
    api.upload_shard("photos", archive({f"{n}.jpg": jpeg(n) for n in range(IMAGES)}))
    api.run_hub_tasks()
    return "photos"


def start(api: Api, job: str = "j1", **changes: Any) -> Any:
    return api.post(f"{JOBS}/{job}", json=job_body("photos", **changes))


def lease_all(api: Api) -> list[dict[str, Any]]:
    held = []
    while (answer := api.worker("/lease", worker="w")).status_code == 200:
        held.append(answer.json())
    return held


def commit(api: Api, held: dict[str, Any]) -> Any:
    call = f"/tasks/{held['task_id']}"
    image = held["images"][0]
    name = f"grey/{image['name']}"
    urls = api.worker(f"{call}/uploads", token=held["token"], names=[name]).json()["urls"]
    assert api.link("PUT", urls[name], content=jpeg(9)).status_code == 200
    file = {"part": "grey", "name": image["name"], "content_type": "image/jpeg"}
    result = {"image_id": image["id"], "record": {"n": 1}, "files": [file]}
    return api.worker(f"{call}/results", token=held["token"], results=[result])


def complete(api: Api, held: dict[str, Any]) -> Any:
    return api.worker(f"/tasks/{held['task_id']}/complete", token=held["token"])


def test_no_more_tasks_of_a_job_run_than_it_allows_however_many_ask(api: Api, photos: str) -> None:
    start(api, maxParallelTasks=3)
    for _ in range(8):
        claims = at_once([lambda: tasks.claim(api.hub.store, [TaskKind.PROCESS], "w")] * 12)
        leased = [task for task in claims if task is not None]
        assert len({task.id for task in leased}) == len(leased) == 3
        for task in leased:
            with api.hub.store.write() as session:
                tasks.release(tasks.hold(session, api.hub.store.clock(), task.id, task.token), api.hub.store.clock())


def test_a_job_that_is_full_keeps_no_other_from_going_on(api: Api, photos: str) -> None:
    start(api, "j1", maxParallelTasks=1)
    start(api, "j2", maxParallelTasks=2)
    claims = at_once([lambda: tasks.claim(api.hub.store, [TaskKind.PROCESS], "w")] * 12)
    assert sum(task is not None for task in claims) == 3


def test_tasks_that_begin_and_end_at_once_end_their_stage_once(api: Api, photos: str) -> None:
    for number in range(3):
        start(api, f"j{number}")
        held = lease_all(api)
        assert len(held) == IMAGES
        commits = at_once([lambda each=each: commit(api, each) for each in held])
        assert [answer.status_code for answer in commits] == [200] * IMAGES
        ends = at_once([lambda each=each: complete(api, each) for each in held])
        assert [answer.status_code for answer in ends] == [204] * IMAGES
        stages = api.get(f"{JOBS}/j{number}/stages").json()["stages"]
        assert [stage["processingStageName"] for stage in stages] == ["processing", "export"]
        assert api.run_hub_tasks() == 1
        job = api.get(f"{JOBS}/j{number}").json()["job"]
        assert (job["isTerminal"], job["error"]) == (True, False)
        counts = {part: api.get(f"{STAGING}/j{number}-processing/count", partName=part).json() for part in PARTS}
        assert counts == {part: {"count": IMAGES} for part in PARTS}


PARTS = ("grey", "results")


def test_one_commit_that_comes_twice_at_once_counts_once(api: Api, photos: str) -> None:
    start(api)
    held = lease_all(api)[0]
    answers = at_once([lambda: commit(api, held)] * 4)
    assert [answer.status_code for answer in answers] == [200] * 4
    assert api.get(f"{STAGING}/j1-processing/count", partName="grey").json() == {"count": 1}


def test_a_job_that_is_aborted_while_its_tasks_end_is_ended_once(api: Api, photos: str) -> None:
    for number in range(4):
        start(api, f"j{number}")
        held = lease_all(api)
        for each in held:
            commit(api, each)
        calls = [lambda each=each: complete(api, each) for each in held]
        aborted, *ends = at_once([lambda n=number: api.post(f"{JOBS}/j{n}/abort"), *calls])
        assert aborted.status_code == 200, aborted.text
        assert {answer.status_code for answer in ends} <= {204, 410}
        assert api.get(f"{JOBS}/j{number}").json()["job"]["lastNotification"] == "aborted by the user"
        with api.hub.store.read() as session:
            assert set(session.scalars(select(Task.state))) <= {TaskState.DONE, TaskState.CANCELLED}


def test_a_job_is_made_once(api: Api, photos: str) -> None:
    answers = at_once([lambda: start(api)] * 8)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert {answer.json()["error"]["code"] for answer in answers if answer.status_code == 409} == {"job_exists"}
    assert len(api.get(STAGING).json()["batches"]) == 2


def test_a_batch_that_takes_the_name_of_a_jobs_output_gets_it_or_is_refused(api: Api, photos: str) -> None:
    for number in range(4):
        name = f"j{number}-processing"
        made, sent = at_once([lambda n=number: start(api, f"j{n}"), lambda b=name: api.upload(b, "mine.jpg", jpeg(9))])
        assert made.status_code == 200, made.text
        output = api.get(f"{JOBS}/j{number}/stages").json()["stages"][0]["outputBatches"][0]
        expected = (name, 409) if output == name else (f"{name}-2", 200)
        assert (output, sent.status_code) == expected


def test_the_same_image_many_times_at_once_is_one(api: Api) -> None:
    answers = at_once([lambda: api.upload("b", "one.jpg", jpeg(1))] * 8)
    assert [answer.status_code for answer in answers] == [200] * 8
    assert api.get(f"{STAGING}/b/count").json() == {"count": 1}


def test_shards_with_the_same_images_are_ingested_at_once_without_another_try(api: Api) -> None:
    files = archive({f"{n}.jpg": jpeg(n) for n in range(20)})
    for _ in range(4):
        api.upload_shard("b", files)
    at_once([lambda: run_next(api.hub)] * 4)
    shards = api.get(f"{STAGING}/b/shards").json()["shards"]
    assert [shard["statusName"] for shard in shards] == ["ingested"] * 4
    assert api.get(f"{STAGING}/b/count").json() == {"count": 20}
    with api.hub.store.read() as session:
        assert session.scalar(select(func.max(Task.attempts))) == 1


def test_a_lost_task_is_buried_once(api: Api, photos: str, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    start(api)
    for _ in range(tasks.MAX_ATTEMPTS):
        assert len(lease_all(api)) == IMAGES
        clock.advance(tasks.LEASE_SECONDS + 1)
    at_once([lambda: bury_overdue(api.hub)] * 3)
    job = api.get(f"{JOBS}/j1").json()["job"]
    assert (job["isTerminal"], job["error"]) == (True, True)
    logs = api.get(f"{JOBS}/j1/logs").json()["logs"]
    assert [line["logType"] for line in logs].count("stage_ended") == 1


@pytest.fixture
def fleet(api: Api, config: object, tmp_path: Path) -> Api:
    object.__setattr__(api.hub, "roster", Roster(write_config(tmp_path, edge=EDGE)))
    return api


def test_a_device_that_is_enrolled_several_times_at_once_has_one_key(fleet: Api, config: Any) -> None:
    at_once([lambda: Device(fleet, "dock-01")] * 6)
    active = [key for key in list_keys(config) if key.role == "device" and key.revoked_at is None]
    assert len([key for key in active if key.name == "dock-01"]) == 1


def test_a_report_that_comes_several_times_at_once_is_stored_once(fleet: Api, clock: Clock) -> None:
    dock = Device(fleet, "dock-01")
    stored = at_once([lambda: dock.send(report(clock))["stored"]] * 6)
    assert sorted(stored) == [0] * 5 + [1]


@SERVED
def test_a_batch_that_a_job_is_about_to_read_outlives_a_sweep(api: Api, photos: str, clock: Clock) -> None:
    with api.hub.store.write() as session:
        row = session.scalars(kept(select(Batch.row).where(Batch.batch_id == photos))).one()
        clock.advance(api.hub.config.hub.retention_days * SECONDS_A_DAY)
        assert sweep(api.hub) == 0
    assert api.hub.storage.files(f"batches/{row}/shards") == set()
    assert sweep(api.hub) == 1


@SERVED
def test_a_batch_whose_first_upload_failed_stays_where_another_one_came(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second upload is under way, not there yet, when the first one takes its batch back."""
    api.upload("b", "one.jpg", jpeg(1))
    with api.hub.store.write() as session:
        batch = session.scalars(select(Batch)).one()
        session.execute(File.__table__.delete())
    taken_back = threading.Thread(target=lambda: batches._forget_empty(api.hub, batch))
    with api.hub.store.write() as session:
        values = {"part": "", "content_type": "images", "object_key": "k", "size": 1, "digest": "d"}
        session.add(File(batch_row=batch.row, name="two.jpg", **values))
        session.flush()
        taken_back.start()
        taken_back.join(0.5)
        assert taken_back.is_alive(), "it waits for what is under way"
    taken_back.join()
    assert api.get(f"{STAGING}/b/count").json() == {"count": 1}


@SERVED
def test_a_stage_that_is_counted_by_one_claimer_is_counted_by_the_next_after_it(api: Api, photos: str) -> None:
    start(api, maxParallelTasks=1)
    with api.hub.store.write() as session:
        first = tasks._lock_oldest(session, api.hub.store.clock(), tasks._waiting(2e9), [TaskKind.PROCESS], None)
        second: list[Any] = []
        claimer = threading.Thread(
            target=lambda: second.append(tasks.claim(api.hub.store, [TaskKind.PROCESS], "second"))
        )
        claimer.start()
        claimer.join(0.5)
        assert claimer.is_alive(), "another task of the stage is free, and it waits"
        task = session.get_one(Task, first)
        task.state, task.expires_at = TaskState.LEASED, api.hub.store.clock() + 60
    claimer.join()
    assert second == [None]
    with api.hub.store.read() as session:
        assert session.scalar(select(func.count()).select_from(Stage)) == 1
