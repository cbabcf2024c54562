"""Karpenter's manifests: what they say, and that Karpenter's own definitions take them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from tests.engines.crds import complaints
from tests.projections.plans import CLUSTER
from visionfleet.projections.karpenter import DISCOVERY_TAG, instance_profile, karpenter_manifests, karpenter_yaml
from visionfleet.terms import GpuAutoscaler

PLAN = replace(CLUSTER, gpu_autoscaler=GpuAutoscaler.KARPENTER)
TAGS = {"owner": "vision-team", "cost-centre": "4711"}


def manifest(kind: str, name: str) -> Mapping[str, Any]:
    found = [m for m in karpenter_manifests(PLAN, TAGS) if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1
    return found[0]


def test_each_pool_has_a_node_pool_and_a_node_class() -> None:
    names = [(m["apiVersion"], m["kind"], m["metadata"]["name"]) for m in karpenter_manifests(PLAN, TAGS)]
    assert names == [
        (api, kind, pool)
        for pool in ("cpu", "l4", "t4")
        for api, kind in (("karpenter.sh/v1", "NodePool"), ("karpenter.k8s.aws/v1", "EC2NodeClass"))
    ]


def test_there_are_none_where_node_groups_bring_the_gpus() -> None:
    assert karpenter_manifests(CLUSTER, TAGS) == []


def test_gpu_nodes_are_those_of_the_file() -> None:
    template = manifest("NodePool", "t4")["spec"]["template"]
    requirements = {r["key"]: (r["operator"], r["values"]) for r in template["spec"]["requirements"]}
    assert requirements == {
        "kubernetes.io/os": ("In", ["linux"]),
        "kubernetes.io/arch": ("In", ["amd64"]),
        "node.kubernetes.io/instance-type": ("In", ["g4dn.xlarge"]),
        "karpenter.sh/capacity-type": ("In", ["spot"]),
        "karpenter.k8s.aws/instance-gpu-manufacturer": ("In", ["nvidia"]),
    }
    assert template["metadata"]["labels"]["nvidia.com/gpu.product"] == "Tesla-T4"
    assert template["spec"]["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    assert template["spec"]["nodeClassRef"] == {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "t4"}


def test_cpu_nodes_take_everything() -> None:
    spec = manifest("NodePool", "cpu")["spec"]
    assert "taints" not in spec["template"]["spec"]
    assert spec["limits"] == {"nodes": "3"}, "one of the four is a node group's"


def test_the_files_maximum_is_the_limit() -> None:
    assert manifest("NodePool", "l4")["spec"]["limits"] == {"nodes": "4"}


def test_only_empty_nodes_are_taken_away() -> None:
    assert manifest("NodePool", "l4")["spec"]["disruption"]["consolidationPolicy"] == "WhenEmpty"


@pytest.mark.parametrize("pool", ["cpu", "l4", "t4"])
def test_nodes_are_closed(pool: str) -> None:
    spec = manifest("EC2NodeClass", pool)["spec"]
    assert spec["metadataOptions"]["httpTokens"] == "required"
    assert spec["metadataOptions"]["httpPutResponseHopLimit"] == 1
    assert spec["associatePublicIPAddress"] is False
    assert [disk["ebs"]["encrypted"] for disk in spec["blockDeviceMappings"]] == [True]
    assert spec["blockDeviceMappings"][0]["ebs"]["volumeSize"] == "100Gi"


def test_nodes_are_found_and_named_as_the_program_makes_them() -> None:
    spec = manifest("EC2NodeClass", "l4")["spec"]
    assert spec["instanceProfile"] == instance_profile(PLAN)
    assert "role" not in spec, "for a role, Karpenter would have to make profiles"
    for selector in ("subnetSelectorTerms", "securityGroupSelectorTerms"):
        assert spec[selector] == [{"tags": {DISCOVERY_TAG: "acme-vision"}}]


def test_machines_get_the_tags_of_the_file() -> None:
    assert manifest("EC2NodeClass", "l4")["spec"]["tags"] == {**TAGS, "Name": "acme-vision-l4"}


def test_the_image_is_pinned() -> None:
    (term,) = manifest("EC2NodeClass", "l4")["spec"]["amiSelectorTerms"]
    family, _, version = term["alias"].partition("@")
    assert family == "al2023"
    assert version.removeprefix("v").isdigit()


def test_the_text_is_the_same_for_the_same_plan() -> None:
    text = karpenter_yaml(PLAN, TAGS)
    assert text == karpenter_yaml(PLAN, dict(reversed(TAGS.items())))
    assert list(yaml.safe_load_all(text)) == karpenter_manifests(PLAN, TAGS)
    assert "&id" not in text, "anchors are no fields"


@pytest.mark.engine
@pytest.mark.parametrize("index", range(6))
def test_karpenters_definitions_take_them(index: int) -> None:
    assert complaints("karpenter", karpenter_manifests(PLAN, TAGS)[index]) == []


@pytest.mark.engine
def test_karpenters_definitions_would_say_otherwise() -> None:
    """The check itself: a field that is misspelt, and a value that is not one of those allowed."""
    pool = copy.deepcopy(karpenter_manifests(PLAN, TAGS)[0])
    pool["spec"]["disruption"]["consolidationPolicy"] = "WhenIdle"
    pool["spec"]["template"]["spec"]["requirement"] = []
    said = " ".join(complaints("karpenter", pool))
    assert "'WhenIdle' is not one of" in said
    assert "'requirement' was unexpected" in said
