"""Whether a new version of a pool can start beside the old one.

A new pod that waits for a GPU, or for a volume of one node, which the old one holds waits for ever, as the old one goes
when the new one is ready (kserve issue 4618). So where neither is sure to be spare, the old pod goes first.
"""

from __future__ import annotations

from collections.abc import Iterator

from visionfleet.config import DeploymentConfig
from visionfleet.config.cluster import Cluster
from visionfleet.config.pods import Cache, ClaimCache, Gpus
from visionfleet.config.serverless import GpuWorker
from visionfleet.config.serving import Hardware, ServingPool
from visionfleet.terms import AccessMode


def has_headroom(config: DeploymentConfig, pool: ServingPool) -> bool:
    """Whether one more pod of the pool has its place, with all others at their most."""
    if _is_of_one_node(pool.cache):
        return False
    if pool.hardware is Hardware.CPU:
        return True
    if pool.spare_gpus is not None:
        return pool.spare_gpus >= _gpus(pool)
    return spare_places(config, pool) > 0


def spare_places(config: DeploymentConfig, pool: ServingPool) -> int:
    """Pods of the pool that find their GPUs at any time, however all others lie: in the file's cluster, else none.

    The GPUs of a pod are all of one node. So a node has as many places as it holds such pods, and a pod of another
    kind is taken to be where it spoils most of them.
    """
    cluster = config.serverless.cluster
    if cluster is None:
        return 0
    size = _gpus(pool)
    taken = sum(pods * -(-gpus // size) for product, pods, gpus in _asked(config) if _may_share(product, pool.product))
    return _places(cluster, pool.product, size) - taken


def _is_of_one_node(cache: Cache) -> bool:
    return isinstance(cache, ClaimCache) and cache.access_mode is AccessMode.ONCE


def _places(cluster: Cluster, product: str | None, size: int) -> int:
    return sum(
        nodes.max * (nodes.machine.gpus // size)
        for nodes in cluster.gpu.pools
        if product is None or nodes.label == product
    )


def _asked(config: DeploymentConfig) -> Iterator[tuple[str | None, int, int]]:
    """What everything in the cluster may ask for at once: product, pods, and GPUs of each."""
    for pool in config.serverless.serving:
        if pool.hardware is Hardware.GPU:
            yield pool.product, pool.replicas.most + _canary_pods(pool), _gpus(pool)
    batch, workers = config.batch.workers.gpu, config.serverless.workers.gpu or GpuWorker()
    if batch is not None:
        yield workers.product, batch.max + workers.standing, _gpus(workers)


def _canary_pods(pool: ServingPool) -> int:
    """The most that the chart makes of the second version: the number next to its weight, or the one after it."""
    if pool.canary is None:
        return 0
    return 1 + pool.replicas.min * pool.canary.weight // (100 - pool.canary.weight)


def _gpus(pod: Gpus) -> int:
    return pod.gpus or 1


def _may_share(one: str | None, other: str | None) -> bool:
    """Whether pods of two products may be after the same GPU: those that take any may."""
    return one is None or other is None or one == other
