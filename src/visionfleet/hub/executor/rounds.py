"""One round: what the cluster has, what the stages ask for, and what of it is still to be done.

The Jobs are read before the stages. So a Job whose stage is not among those that go on was made for one that has ended,
and never for one that came in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import structlog

from visionfleet.hub.context import Hub
from visionfleet.hub.executor import obstacles
from visionfleet.hub.executor.cluster import Cluster, ClusterError
from visionfleet.hub.executor.jobs import Order, WorkersJob, job_manifest
from visionfleet.hub.executor.obstacles import Obstacle
from visionfleet.hub.executor.shares import share
from visionfleet.hub.executor.stages import OpenStage, ended_stages, most_pods, note_job, note_obstacle, open_stages
from visionfleet.hub.processing.failing import fail_stage
from visionfleet.hub.store.tables import Stage, StatusType

# for workers to find that nothing is left and end by themselves, and then for the servers beside them, which the chart
# gives 30 s; longer would keep a node for pods that have no other
SETTLE_SECONDS = 90.0

log = structlog.get_logger()


class Round:
    """Brings the Jobs of one cluster into line with the stages of one hub."""

    def __init__(self, hub: Hub, cluster: Cluster) -> None:
        self._hub = hub
        self._cluster = cluster

    def run(self) -> Counter[str]:
        """Do what is to be done; gives the number of Jobs by state. Raises ClusterError where the API is away.

        What fails for one stage is told there, and keeps nothing from the others.
        """
        jobs = {job.stage_id: job for job in self._cluster.jobs()}
        counts = Counter(job.state for job in jobs.values())
        stages = open_stages(self._hub)
        batch = self._hub.config.batch
        shares = share([each.demand for each in stages], jobs, most_pods(batch))
        for each in stages:
            self._attend(each, jobs.pop(each.stage.id, None), shares[each.stage.id])
        self._clear(jobs)
        return counts

    def _attend(self, found: OpenStage, job: WorkersJob | None, pods: int) -> None:
        try:
            obstacle = self._obstacle(found, job, pods)
        except ClusterError as error:
            if error.status == 0:
                raise
            if error.passes:
                log.warning("stage_not_attended", stage=found.stage.id, reason=str(error))
                return
            obstacle = obstacles.refusal(str(error))
        except Exception:
            log.exception("stage_not_attended", stage=found.stage.id)
            return
        note_obstacle(self._hub, found, obstacle)

    def _obstacle(self, found: OpenStage, job: WorkersJob | None, pods: int) -> Obstacle | None:
        """Do what the stage needs next; gives what stands in the way of it."""
        if job is None:
            return self._create(found, pods)
        if job.is_being_deleted:
            return None
        if job.failure is not None:
            fail_stage(self._hub, found.stage.id, obstacles.failure_of(job, self._cluster.pods(job.stage_id)))
            return None
        if job.complete:
            if found.demand.waiting:
                self._cluster.delete(job)  # a new one follows in the next round
            return None
        if pods != job.parallelism and not job.succeeded:
            self._cluster.scale(job, pods)
        return self._explain(found, job, pods)

    def _create(self, found: OpenStage, pods: int) -> Obstacle | None:
        demand, batch = found.demand, self._hub.config.batch
        if not demand.waiting:
            return None
        if not pods:
            return self._no_share(found)
        name = f"{self._cluster.release}-worker-{demand.machine_type}"
        template = self._cluster.pod_template(name)
        if template is None:
            return Obstacle(
                f"the cluster has no PodTemplate '{name}': the chart makes it where worker.templates has "
                f"'{demand.machine_type}'"
            )
        deadline = found.job.deadline
        order = Order(
            release=self._cluster.release,
            workspace=found.job.workspace,
            job_id=found.job.job_id,
            stage_id=found.stage.id,
            parallelism=pods,
            workers=demand.workers,
            seconds=None if deadline is None else deadline - self._hub.store.clock(),
            queue=batch.queue,
        )
        manifest = job_manifest(order, template)
        if self._cluster.create_job(manifest):
            note_job(self._hub, found, manifest["metadata"]["name"], pods)
        return None

    def _explain(self, found: OpenStage, job: WorkersJob, pods: int) -> Obstacle | None:
        """Why none of the pods runs; None where one does, or will soon."""
        if job.suspended:
            return self._explain_queue(job)
        if job.ready:
            return None
        if not pods:
            return self._no_share(found)
        return self._explain_pods(job)

    def _explain_queue(self, job: WorkersJob) -> Obstacle:
        queue = self._hub.config.batch.queue
        if queue is None:
            return obstacles.is_suspended(job)
        return obstacles.in_queue(queue, self._cluster.workload(job))

    def _explain_pods(self, job: WorkersJob) -> Obstacle | None:
        now = self._hub.store.clock()
        if not job.active and (found := obstacles.not_created(self._cluster.events(job.uid))) is not None:
            return found
        pods = self._cluster.pods(job.stage_id)
        if (found := obstacles.of_pods(pods, now)) is not None:
            return found
        if (pod := obstacles.stuck(pods, now)) is not None:
            return obstacles.of_events(self._cluster.events(pod["metadata"]["uid"]))
        return None if job.active else obstacles.of_endings(pods)

    def _clear(self, jobs: Mapping[str, WorkersJob]) -> None:
        """Delete the Jobs of stages that have ended. One that has ended as well stays until its time is over."""
        left = {job.stage_id: job for job in jobs.values() if not (job.has_ended or job.is_being_deleted)}
        stages = ended_stages(self._hub, list(left)) if left else {}
        for job in left.values():
            if not self._settles(stages.get(job.stage_id)):
                self._delete(job)

    def _settles(self, stage: Stage | None) -> bool:
        """Whether the workers of an ended stage are to end by themselves."""
        if stage is None or stage.status_type != StatusType.SUCCESS:
            return False
        return self._hub.store.clock() - stage.event_at < SETTLE_SECONDS

    def _delete(self, job: WorkersJob) -> None:
        try:
            self._cluster.delete(job)
        except ClusterError as error:
            if error.status == 0:
                raise
            log.warning("job_not_deleted", job=job.name, reason=str(error))
        else:
            log.info("job_deleted", job=job.name)

    def _no_share(self, found: OpenStage) -> Obstacle:
        machine_type = found.demand.machine_type
        if most_pods(self._hub.config.batch)[machine_type]:
            return Obstacle("waits for workers of other jobs")
        return Obstacle(f"the file allows no {machine_type} workers: raise batch.workers.{machine_type}.max")
