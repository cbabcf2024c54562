"""ClusterPlan -> the node pools of the cluster: which of them are node groups, which are Karpenter's, how nodes look.

One place for labels and taints, since a pod must find the same node whoever brought it.

NVIDIA's device plugin tolerates the taint `nvidia.com/gpu` with any value, but the feature discovery that its chart
brings tolerates the value `present` alone. Where that one cannot run, the plugin is never scheduled, and GPUs stay
unusable without an error (nebari issue 3074, k8s-device-plugin issue 1934). The plugin also asks for a label of that
discovery, or for `nvidia.com/gpu.present`, which nodes have here from the start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from visionfleet.projections.plans import ClusterPlan, NodePoolPlan
from visionfleet.terms import GpuAutoscaler

POOL_LABEL = "visionfleet/pool"
GPU_PRESENT_LABEL = "nvidia.com/gpu.present"
GPU_PRODUCT_LABEL = "nvidia.com/gpu.product"  # the name that GPU feature discovery gives
GPU_RESOURCE = "nvidia.com/gpu"
# The cluster autoscaler waits for the GPUs of a node with this label, instead of starting one more.
ACCELERATOR_LABEL = "k8s.amazonaws.com/accelerator"

_AUTOSCALER = "k8s.io/cluster-autoscaler"


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint, its effect written as Kubernetes writes it."""

    key: str
    value: str
    effect: str


GPU_TAINT = Taint("nvidia.com/gpu", "present", "NoSchedule")
SYSTEM_TAINT = Taint("CriticalAddonsOnly", "true", "NoSchedule")


def node_groups(plan: ClusterPlan) -> tuple[NodePoolPlan, ...]:
    """The pools that are managed node groups.

    Karpenter knows a maximum, but no minimum. So with it, what a pool has at least is a node group of that size.
    """
    if plan.gpu_autoscaler is GpuAutoscaler.NODE_GROUPS:
        return (plan.system, *_workers(plan))
    least = tuple(replace(pool, max_size=pool.min_size) for pool in _workers(plan) if pool.min_size > 0)
    return (plan.system, *least)


def karpenter_pools(plan: ClusterPlan) -> tuple[NodePoolPlan, ...]:
    """What Karpenter may add to the node groups: the pools, from zero."""
    if plan.gpu_autoscaler is not GpuAutoscaler.KARPENTER:
        return ()
    rest = (replace(pool, min_size=0, max_size=pool.max_size - pool.min_size) for pool in _workers(plan))
    return tuple(pool for pool in rest if pool.max_size > 0)


def node_labels(pool: NodePoolPlan) -> dict[str, str]:
    """The labels of a pool's nodes."""
    labels = {POOL_LABEL: pool.name}
    if pool.gpu_product is None:
        return labels
    return labels | {
        GPU_PRESENT_LABEL: "true",
        GPU_PRODUCT_LABEL: pool.gpu_product,
        ACCELERATOR_LABEL: pool.gpu_product.lower(),
    }


def node_taints(plan: ClusterPlan, pool: NodePoolPlan) -> tuple[Taint, ...]:
    """The taints of a pool's nodes.

    System nodes take add-ons alone only where something else takes the rest: with neither a CPU node from the start
    nor Karpenter, the cluster autoscaler itself would find no node, and so never bring one.
    """
    if pool.gpu_product is not None:
        return (GPU_TAINT,)
    has_other_nodes = plan.cpu is not None and (plan.cpu.min_size > 0 or plan.gpu_autoscaler is GpuAutoscaler.KARPENTER)
    return (SYSTEM_TAINT,) if pool.name == plan.system.name and has_other_nodes else ()


def autoscaler_tags(plan: ClusterPlan, pool: NodePoolPlan) -> dict[str, str]:
    """The tags of a pool's auto scaling group, by which the cluster autoscaler finds it and knows nodes not yet there.

    Source: "Auto-Discovery Setup" in cluster-autoscaler/cloudprovider/aws/README.md of kubernetes/autoscaler.
    """
    if plan.gpu_autoscaler is not GpuAutoscaler.NODE_GROUPS or pool.max_size == pool.min_size:
        return {}
    tags = {f"{_AUTOSCALER}/enabled": "true", f"{_AUTOSCALER}/{plan.name}": "owned"}
    template = f"{_AUTOSCALER}/node-template"
    tags |= {f"{template}/label/{key}": value for key, value in node_labels(pool).items()}
    tags |= {f"{template}/taint/{taint.key}": f"{taint.value}:{taint.effect}" for taint in node_taints(plan, pool)}
    if pool.gpu_product is not None:
        tags[f"{template}/resources/{GPU_RESOURCE}"] = str(pool.gpus)
    return tags


def _workers(plan: ClusterPlan) -> tuple[NodePoolPlan, ...]:
    cpu = () if plan.cpu is None else (plan.cpu,)
    return (*cpu, *plan.gpu)
