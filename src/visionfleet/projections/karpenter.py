"""ClusterPlan -> the manifests that tell Karpenter which nodes it may bring, for a GitOps repository.

Karpenter itself comes from its Helm chart, with `settings.clusterName`, `settings.interruptionQueue` and its service
account named as the functions here say; `infra/components/karpenter.py` makes the other end of these names.
The APIs are those of Karpenter 1 (karpenter.sh/v1, karpenter.k8s.aws/v1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from visionfleet.projections.nodes import karpenter_pools, node_labels, node_taints
from visionfleet.projections.plans import ClusterPlan, NodePoolPlan

NAMESPACE = "kube-system"  # its API requests have priority there
SERVICE_ACCOUNT = "karpenter"
DISCOVERY_TAG = "karpenter.sh/discovery"  # on the subnets and security groups that nodes get

# Pinned, so that nodes change when this line does, and not when AWS releases an image. It stands for the plain and the
# NVIDIA variant of the cluster's Kubernetes version. https://github.com/awslabs/amazon-eks-ami/releases
NODE_IMAGE = "al2023@v20261023"
IDLE_TIME = "10m"  # as the cluster autoscaler's default: pulling the server's image to a new node takes minutes
NODE_LIFETIME = "720h"

Manifest = dict[str, Any]


def instance_profile(plan: ClusterPlan) -> str:
    """The instance profile of the nodes that Karpenter starts."""
    return f"{plan.name}-karpenter-node"


def interruption_queue(plan: ClusterPlan) -> str:
    """The SQS queue that tells Karpenter which machines AWS takes back."""
    return f"{plan.name}-karpenter"


def karpenter_manifests(plan: ClusterPlan, tags: Mapping[str, str]) -> list[Manifest]:
    """A NodePool and an EC2NodeClass a pool; none where Karpenter is not the autoscaler.

    `tags` go on the machines and disks: Karpenter starts them, so that Pulumi's default tags never reach them.
    """
    pools = karpenter_pools(plan)
    return [manifest for pool in pools for manifest in (_node_pool(plan, pool), _node_class(plan, pool, tags))]


def karpenter_yaml(plan: ClusterPlan, tags: Mapping[str, str]) -> str:
    """The manifests as one YAML text, the same for the same plan."""
    return yaml.safe_dump_all(karpenter_manifests(plan, tags), sort_keys=False, explicit_start=True)


def _node_pool(plan: ClusterPlan, pool: NodePoolPlan) -> Manifest:
    taints = [{"key": taint.key, "value": taint.value, "effect": taint.effect} for taint in node_taints(plan, pool)]
    spec = {
        "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": pool.name},
        "requirements": _requirements(pool),
        "expireAfter": NODE_LIFETIME,
    }
    if taints:
        spec["taints"] = taints
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": pool.name},
        "spec": {
            "template": {"metadata": {"labels": node_labels(pool)}, "spec": spec},
            "limits": {"nodes": str(pool.max_size)},
            "disruption": {
                # Never moves what runs, to save money: a batch task or a model that is loaded costs more.
                "consolidationPolicy": "WhenEmpty",
                "consolidateAfter": IDLE_TIME,
                "budgets": [
                    {"nodes": "100%", "reasons": ["Empty"]},
                    {"nodes": "1", "reasons": ["Drifted"]},  # a new image: node by node
                ],
            },
        },
    }


def _requirements(pool: NodePoolPlan) -> list[dict[str, Any]]:
    values = {
        "kubernetes.io/os": ["linux"],
        "kubernetes.io/arch": ["amd64"],  # of the inference server's images
        "node.kubernetes.io/instance-type": list(pool.instance_types),
        "karpenter.sh/capacity-type": ["spot" if pool.spot else "on-demand"],
    }
    requirements: list[dict[str, Any]] = [
        {"key": key, "operator": "In", "values": allowed} for key, allowed in values.items()
    ]
    if pool.gpu_product is not None:
        # Without it a type that has no GPU by mistake would come up, and be tainted, for nothing.
        requirements.append(
            {"key": "karpenter.k8s.aws/instance-gpu-manufacturer", "operator": "In", "values": ["nvidia"]}
        )
    return requirements


def _node_class(plan: ClusterPlan, pool: NodePoolPlan, tags: Mapping[str, str]) -> Manifest:
    discovery = [{"tags": {DISCOVERY_TAG: plan.name}}]
    disk = {
        "volumeSize": f"{pool.volume_gb}Gi",
        "volumeType": "gp3",
        "encrypted": True,
        "deleteOnTermination": True,
    }
    return {
        "apiVersion": "karpenter.k8s.aws/v1",
        "kind": "EC2NodeClass",
        "metadata": {"name": pool.name},
        "spec": {
            "amiSelectorTerms": [{"alias": NODE_IMAGE}],
            # A profile that is there, instead of a role: so the controller needs no right to make profiles.
            "instanceProfile": instance_profile(plan),
            "subnetSelectorTerms": discovery,
            "securityGroupSelectorTerms": [{"tags": {DISCOVERY_TAG: plan.name}}],
            "associatePublicIPAddress": False,
            "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": disk}],
            "metadataOptions": {
                "httpEndpoint": "enabled",
                "httpProtocolIPv6": "disabled",
                "httpPutResponseHopLimit": 1,  # pods do not reach the node's credentials
                "httpTokens": "required",
            },
            "tags": dict(sorted({**tags, "Name": f"{plan.name}-{pool.name}"}.items())),
        },
    }
