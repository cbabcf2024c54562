"""The queue: one holder a task, fenced, retried, ended."""

from __future__ import annotations

import threading

import pytest

from tests.hub.support import EMBEDDED, Clock, plans_of
from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.errors import HubError
from visionfleet.hub.store.tables import Task, TaskKind, TaskState

KINDS = [TaskKind.INGEST]


def add(hub: Hub, count: int = 1) -> list[str]:
    with hub.store.write() as session:
        return [tasks.enqueue(session, hub.store.clock(), TaskKind.INGEST, {"n": n}).id for n in range(count)]


def claim(hub: Hub, owner: str = "a") -> Task | None:
    return tasks.claim(hub.store, KINDS, owner)


def hold(hub: Hub, task: Task) -> None:
    with hub.store.write() as session:
        tasks.hold(session, hub.store.clock(), task.id, task.token)


def test_the_task_that_is_due_the_longest_goes_first(hub: Hub, clock: Clock) -> None:
    first = add(hub)[0]
    clock.advance(1)
    second = add(hub)[0]
    assert [task.id for task in (claim(hub), claim(hub)) if task] == [first, second]
    assert claim(hub) is None


def test_a_task_of_another_kind_is_left_alone(hub: Hub) -> None:
    add(hub)
    assert tasks.claim(hub.store, [TaskKind.PROCESS], "a") is None


def test_an_expired_lease_goes_to_the_next_who_asks_and_fences_off_the_first(hub: Hub, clock: Clock) -> None:
    add(hub)
    lost = claim(hub, "lost")
    assert lost is not None
    clock.advance(tasks.LEASE_SECONDS + 1)
    found = claim(hub, "found")
    assert found is not None
    assert (found.id, found.token, found.attempts) == (lost.id, lost.token + 1, 2)
    with pytest.raises(HubError) as refused:
        hold(hub, lost)
    assert refused.value.code == "stale_lease"
    hold(hub, found)


def test_a_holder_that_was_slow_keeps_a_task_that_nobody_else_took(hub: Hub, clock: Clock) -> None:
    add(hub)
    task = claim(hub)
    assert task is not None
    clock.advance(tasks.LEASE_SECONDS * 10)
    hold(hub, task)
    assert claim(hub) is None, "the lease is fresh again"


def test_a_failed_task_comes_back_after_a_growing_wait_until_its_attempts_are_used_up(hub: Hub, clock: Clock) -> None:
    add(hub)
    waits = []
    for attempt in range(tasks.MAX_ATTEMPTS):
        task = claim(hub)
        assert task is not None, f"attempt {attempt} is due"
        with hub.store.write() as session:
            ended = tasks.fail(tasks.hold(session, clock(), task.id, task.token), clock(), "no luck", retryable=True)
        if ended:
            break
        wait = 0
        while claim_would_be_none := (peek(hub).run_after > clock()):
            assert claim_would_be_none
            clock.advance(1)
            wait += 1
        waits.append(wait)
    assert waits == [5, 10, 20]
    assert peek(hub).state == TaskState.FAILED
    assert claim(hub) is None


def test_a_failure_that_cannot_be_mended_is_not_tried_again(hub: Hub, clock: Clock) -> None:
    add(hub)
    task = claim(hub)
    assert task is not None
    with hub.store.write() as session:
        assert tasks.fail(tasks.hold(session, clock(), task.id, task.token), clock(), "poison", retryable=False)
    assert peek(hub).notification == "poison"


def test_a_released_task_is_due_at_once_and_its_attempt_is_not_counted(hub: Hub, clock: Clock) -> None:
    add(hub)
    for _ in range(tasks.MAX_ATTEMPTS * 2):
        task = claim(hub)
        assert task is not None
        assert task.attempts == 1
        with hub.store.write() as session:
            tasks.release(tasks.hold(session, clock(), task.id, task.token), clock())


@EMBEDDED
def test_a_claim_takes_the_first_row_of_an_index_however_many_tasks_wait(hub: Hub) -> None:
    add(hub, 3)
    with plans_of(hub) as plans:
        claim(hub)
    found = [plan for plan in plans if "SEARCH tasks USING INDEX ix_tasks_state_kind_machine_type_run_after" in plan]
    assert len(found) == 2, plans
    assert not any("CORRELATED" in plan for plan in plans), plans


def test_many_threads_never_lease_the_same_task(hub: Hub) -> None:
    ids = add(hub, 40)
    got: list[str] = []

    def work() -> None:
        while task := claim(hub):
            got.append(task.id)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(ids)


def peek(hub: Hub) -> Task:
    with hub.store.read() as session:
        return session.query(Task).one()
