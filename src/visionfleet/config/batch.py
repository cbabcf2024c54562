"""Section `batch`: how many workers process images, and in what portions."""

from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from visionfleet.config.kinds import Count, PositiveCount
from visionfleet.config.kubernetes_kinds import ObjectName
from visionfleet.config.section import Breach, RuledSection, Section, defaults, peek


class Executor(StrEnum):
    """The engines that can run workers."""

    LOCAL = "local"
    KUBERNETES = "kubernetes"


class WorkerPool(Section):
    """The workers of one machine type."""

    max: Count = Field(
        default=1,
        description="Most workers that run at once; with the executor kubernetes, most pods of workers over all jobs.",
    )
    request_images: int = Field(
        default=8, strict=True, ge=1, le=256, description="Images that a worker sends in one request."
    )
    requests_in_flight: int = Field(
        default=4, strict=True, ge=1, le=64, description="Requests that a worker keeps in flight."
    )


def _some_worker(data: object) -> Iterator[Breach]:
    cpu = peek(data, "cpu", "max", default=1)
    gpu = peek(data, "gpu", "max", default=0 if peek(data, "gpu") is None else 1)
    if cpu == 0 and gpu == 0:
        fix = "give batch.workers.cpu.max or batch.workers.gpu.max at least 1"
        yield Breach(("cpu", "max"), 0, "no-workers", "leaves no worker, as batch.workers.gpu has none either", fix)


class Workers(RuledSection):
    """The workers by machine type."""

    cross_rules = (_some_worker,)

    cpu: WorkerPool = Field(default_factory=defaults(WorkerPool), description="Workers on CPU machines.")
    gpu: WorkerPool | None = Field(default=None, description="Workers on GPU machines; none unless given.")


def _queue_of_a_cluster(data: object) -> Iterator[Breach]:
    queue = peek(data, "queue")
    if isinstance(queue, str) and peek(data, "executor", default=Executor.LOCAL) == Executor.LOCAL:
        fix = "set batch.executor to 'kubernetes', or leave batch.queue out"
        yield Breach(("queue",), queue, "queue-without-cluster", "needs batch.executor: kubernetes", fix)


class Batch(RuledSection):
    """Batch processing of staged images."""

    cross_rules = (_queue_of_a_cluster,)

    executor: Executor = Field(
        default=Executor.LOCAL,
        description="What runs the workers: `visionfleet local` and you, or Jobs of the cluster where the hub is.",
    )
    queue: ObjectName | None = Field(
        default=None, description="Kueue's LocalQueue that the Jobs of workers wait in; none unless given."
    )
    workers: Workers = Field(
        default_factory=defaults(Workers), description="How many workers there are, by machine type."
    )
    images_per_task: PositiveCount = Field(default=64, description="Images that a worker leases at once.")
    max_failed_images: Count = Field(
        default=10,
        description="Failed images that a task may have before it fails, where a job names no failure rate.",
    )
