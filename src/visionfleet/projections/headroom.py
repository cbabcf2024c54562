"""Whether a new version of a pool can start beside the old one.

A new pod that waits for a GPU which the old one holds waits for ever, as the old one goes when the new one is ready
(kserve issue 4618). So where no GPU is sure to be spare, the old pod goes first.
"""

from __future__ import annotations

from collections.abc import Iterator

from visionfleet.config import DeploymentConfig
from visionfleet.config.cluster import Cluster
from visionfleet.config.serverless import GpuWorker
from visionfleet.config.serving import Hardware, ServingPool


def has_headroom(config: DeploymentConfig, pool: ServingPool) -> bool:
    """Whether one more pod of the pool has its place, with all others at their most."""
    if pool.hardware is Hardware.CPU:
        return True
    return spare_gpus(config, pool) >= (pool.gpus or 1)


def spare_gpus(config: DeploymentConfig, pool: ServingPool) -> int:
    """GPUs that are free for the pool at any time: as the file says, else as its cluster has them, else none."""
    if pool.spare_gpus is not None:
        return pool.spare_gpus
    cluster = config.serverless.cluster
    if cluster is None:
        return 0
    asked = sum(gpus for product, gpus in _asked(config) if _may_share(product, pool.product))
    return _had(cluster, pool.product) - asked


def _had(cluster: Cluster, product: str | None) -> int:
    return sum(
        nodes.max * nodes.machine.gpus for nodes in cluster.gpu.pools if product is None or nodes.label == product
    )


def _asked(config: DeploymentConfig) -> Iterator[tuple[str | None, int]]:
    """What everything in the cluster may ask for at once: product and number of GPUs."""
    for pool in config.serverless.serving:
        if pool.hardware is Hardware.GPU:
            pods = pool.replicas.most + (1 if pool.canary else 0)
            yield pool.product, pods * (pool.gpus or 1)
    batch, workers = config.batch.workers.gpu, config.serverless.workers.gpu or GpuWorker()
    if batch is not None:
        yield workers.product, (batch.max + workers.standing) * (workers.gpus or 1)


def _may_share(one: str | None, other: str | None) -> bool:
    """Whether pods of two products may be after the same GPU: those that take any may."""
    return one is None or other is None or one == other
