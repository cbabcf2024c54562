"""Which pools are node groups, which are Karpenter's, and what their nodes look like."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from tests.projections.plans import CLUSTER as PLAN
from visionfleet.projections.nodes import (
    GPU_TAINT,
    SYSTEM_TAINT,
    Taint,
    autoscaler_tags,
    karpenter_pools,
    node_groups,
    node_labels,
    node_taints,
)
from visionfleet.projections.plans import ClusterPlan, NodePoolPlan
from visionfleet.terms import GpuAutoscaler

KARPENTER = replace(PLAN, gpu_autoscaler=GpuAutoscaler.KARPENTER)
CPU = cast("NodePoolPlan", PLAN.cpu)


def test_without_karpenter_every_pool_is_a_node_group() -> None:
    assert node_groups(PLAN) == (PLAN.system, CPU, *PLAN.gpu)
    assert karpenter_pools(PLAN) == ()


def test_with_karpenter_a_pools_least_is_a_node_group_and_the_rest_is_karpenters() -> None:
    assert [(pool.name, pool.min_size, pool.max_size) for pool in node_groups(KARPENTER)] == [
        ("system", 2, 2),
        ("cpu", 1, 1),
    ]
    assert [(pool.name, pool.min_size, pool.max_size) for pool in karpenter_pools(KARPENTER)] == [
        ("cpu", 0, 3),
        ("l4", 0, 4),
        ("t4", 0, 2),
    ]


def test_a_pool_of_one_size_leaves_nothing_to_karpenter() -> None:
    plan = replace(KARPENTER, cpu=replace(CPU, min_size=2, max_size=2), gpu=())
    assert [pool.name for pool in node_groups(plan)] == ["system", "cpu"]
    assert karpenter_pools(plan) == ()


@pytest.mark.parametrize("plan", [PLAN, KARPENTER], ids=["node groups", "karpenter"])
@pytest.mark.parametrize("least", [0, 1, 4])
def test_both_ways_give_a_pool_the_same_number_of_nodes(plan: ClusterPlan, least: int) -> None:
    plan = replace(plan, gpu=(replace(PLAN.gpu[0], min_size=least),))
    pools = [pool for pool in (*node_groups(plan), *karpenter_pools(plan)) if pool.name == "l4"]
    assert sum(pool.min_size for pool in pools) == least
    assert sum(pool.max_size for pool in pools) == 4


def test_cpu_nodes_have_their_pools_label_alone() -> None:
    assert node_labels(CPU) == {"visionfleet/pool": "cpu"}
    assert node_taints(PLAN, CPU) == ()


def test_gpu_nodes_have_the_taint_that_gpu_feature_discovery_tolerates() -> None:
    assert node_taints(PLAN, PLAN.gpu[0]) == (GPU_TAINT,)
    assert (GPU_TAINT.key, GPU_TAINT.value, GPU_TAINT.effect) == ("nvidia.com/gpu", "present", "NoSchedule")


@pytest.mark.parametrize(
    ("plan", "taints"),
    [
        (PLAN, (SYSTEM_TAINT,)),
        (replace(PLAN, cpu=None), ()),
        (replace(PLAN, cpu=replace(CPU, min_size=0)), ()),
        (replace(KARPENTER, cpu=replace(CPU, min_size=0)), (SYSTEM_TAINT,)),
        (replace(KARPENTER, cpu=None), ()),
    ],
    ids=["a CPU node", "no CPU pool", "CPU from zero", "CPU from zero by Karpenter", "Karpenter for GPUs alone"],
)
def test_system_nodes_are_closed_only_where_something_else_is_open(
    plan: ClusterPlan, taints: tuple[Taint, ...]
) -> None:
    """Else the cluster autoscaler, which does not tolerate the taint, would wait for a node that only it can bring."""
    assert node_taints(plan, plan.system) == taints


def test_a_group_of_one_size_is_not_the_autoscalers() -> None:
    assert autoscaler_tags(PLAN, PLAN.system) == {}
    assert autoscaler_tags(KARPENTER, PLAN.gpu[0]) == {}


def test_the_autoscaler_knows_how_many_gpus_a_node_brings() -> None:
    tags = autoscaler_tags(PLAN, replace(PLAN.gpu[0], gpus=4))
    assert tags["k8s.io/cluster-autoscaler/node-template/resources/nvidia.com/gpu"] == "4"
