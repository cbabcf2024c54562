"""How pools are shared out: never more pods than the file allows, the oldest first, and none is ended for nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from visionfleet.hub.executor.jobs import WorkersJob
from visionfleet.hub.executor.shares import Demand, share


def job(stage_id: str, parallelism: int, **fields: Any) -> WorkersJob:
    base = {"name": stage_id, "uid": stage_id, "stage_id": stage_id, "parallelism": parallelism, "active": parallelism}
    rest = {"suspended": False, "ready": 0, "succeeded": 0, "failed": 0, "complete": False}
    return WorkersJob(**base | rest | {"failure": None, "is_being_deleted": False, "backoff_limit": 6} | fields)


def demand(stage_id: str, waiting: int, leased: int = 0, **fields: Any) -> Demand:
    return Demand(stage_id, fields.pop("machine_type", "cpu"), waiting, leased, **fields)


def test_the_oldest_stage_gets_what_it_asks_for_and_the_next_one_the_rest() -> None:
    assert share([demand("a", 5), demand("b", 5)], {}, {"cpu": 8}) == {"a": 5, "b": 3}


def test_machine_types_have_pools_of_their_own() -> None:
    demands = [demand("a", 5), demand("b", 5, machine_type="gpu")]
    assert share(demands, {}, {"cpu": 4, "gpu": 2}) == {"a": 4, "b": 2}


def test_a_job_has_no_more_pods_than_parallel_tasks_or_tasks() -> None:
    assert share([demand("a", 50, max_parallel=3)], {}, {"cpu": 8}) == {"a": 3}
    assert share([demand("a", 2)], {}, {"cpu": 8}) == {"a": 2}


def test_several_workers_of_a_pod_take_several_tasks() -> None:
    assert share([demand("a", 7, workers=3)], {}, {"cpu": 8}) == {"a": 3}
    assert share([demand("a", 70, workers=4, max_parallel=6)], {}, {"cpu": 8}) == {"a": 2}


def test_tasks_that_others_hold_ask_for_no_job_before_they_are_given_up() -> None:
    assert share([demand("a", 0, leased=2)], {}, {"cpu": 8}) == {"a": 0}
    assert share([demand("a", 0, leased=2)], {"a": job("a", 2, complete=True)}, {"cpu": 8}) == {"a": 0}


def test_tasks_that_end_make_no_job_smaller() -> None:
    """A smaller Job ends pods of the cluster's choice, and not those whose work is done."""
    assert share([demand("a", 0, leased=1)], {"a": job("a", 4)}, {"cpu": 8}) == {"a": 4}


def test_a_job_grows_with_its_pool_and_shrinks_with_it() -> None:
    running = {"a": job("a", 4)}
    assert share([demand("a", 50, leased=4)], running, {"cpu": 8}) == {"a": 8}
    assert share([demand("a", 50, leased=4)], running, {"cpu": 2}) == {"a": 2}


def test_pods_that_have_ended_make_room_for_the_next_job() -> None:
    ending = {"a": job("a", 4, succeeded=3, active=1)}
    assert share([demand("a", 0, leased=1), demand("b", 9)], ending, {"cpu": 4}) == {"a": 1, "b": 3}


def test_a_job_that_kueue_admitted_stays_as_it_was_admitted() -> None:
    assert share([demand("a", 50, queued=True)], {"a": job("a", 3)}, {"cpu": 8}) == {"a": 3}


counts = st.integers(0, 20)
stages = st.lists(st.tuples(counts, counts, st.integers(1, 4), st.none() | st.integers(1, 9), st.none() | counts))


@given(stages, st.integers(0, 12))
def test_new_jobs_never_have_more_pods_than_the_file_allows(asked: list[Any], most: int) -> None:
    demands = [demand(str(n), w, held, workers=k, max_parallel=m) for n, (w, held, k, m, _) in enumerate(asked)]
    jobs = {str(n): job(str(n), held) for n, (*_, held) in enumerate(asked) if held is not None}
    shares = share(demands, jobs, {"cpu": most})
    assert sum(shares.values()) <= most
    assert all(pods >= 0 for pods in shares.values())
    for each in demands:
        assert each.max_parallel is None or (shares[each.stage_id] - 1) * each.workers < each.max_parallel
