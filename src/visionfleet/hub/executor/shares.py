"""How many pods each stage may have: the pools of the file are shared out, the oldest stage first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visionfleet.hub.executor.jobs import WorkersJob


@dataclass(frozen=True)
class Demand:
    """An open stage. `waiting`: tasks that a worker could take now or soon; `leased`: those that workers hold.

    `workers` is how many are in a pod. `queued`: its Job is Kueue's to start, and to hold to what it was admitted with.
    """

    stage_id: str
    machine_type: str
    waiting: int
    leased: int
    workers: int = 1
    max_parallel: int | None = None
    queued: bool = False


def share(demands: Sequence[Demand], jobs: Mapping[str, WorkersJob], most: Mapping[str, int]) -> dict[str, int]:
    """Pods of each stage, by its id. `demands`: the oldest first. `most`: pods at once, by machine type."""
    left = dict(most)
    shares: dict[str, int] = {}
    for demand in demands:
        pods = _pods(demand, jobs.get(demand.stage_id), max(0, left.get(demand.machine_type, 0)))
        left[demand.machine_type] = left.get(demand.machine_type, 0) - pods
        shares[demand.stage_id] = pods
    return shares


def _pods(demand: Demand, job: WorkersJob | None, left: int) -> int:
    limit = left if demand.max_parallel is None else min(left, _pods_for(demand.max_parallel, demand.workers))
    if job is None or job.has_ended:
        # what others hold may never come back
        return min(limit, _pods_for(demand.waiting, demand.workers))
    if job.succeeded:
        return job.active  # its pods end one by one, and none is replaced
    if demand.queued:
        return job.parallelism  # a Job that changes goes back into Kueue's queue
    wanted = min(limit, _pods_for(demand.waiting + demand.leased, demand.workers))
    # a pod too many ends by itself when nothing is left; a Job made smaller might end one that works
    return max(wanted, min(job.parallelism, limit))


def _pods_for(tasks: int, workers: int) -> int:
    return -(-tasks // workers)
