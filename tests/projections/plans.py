"""Plans that tests of several layers start from."""

from __future__ import annotations

from visionfleet.projections.plans import ClusterPlan, NodePoolPlan
from visionfleet.terms import GpuAutoscaler


def _pool(name: str, *types: str, sizes: tuple[int, int], spot: bool = False, gpu: str | None = None) -> NodePoolPlan:
    return NodePoolPlan(
        name=name,
        instance_types=types,
        min_size=sizes[0],
        max_size=sizes[1],
        spot=spot,
        volume_gb=100,
        gpu_product=gpu,
        gpus=1 if gpu else 0,
    )


CLUSTER = ClusterPlan(
    name="acme-vision",
    version="1.34",
    admins=("arn:aws:iam::123456789012:role/ops/admins", "arn:aws:iam::123456789012:user/admins"),
    public_access_cidrs=(),
    system=_pool("system", "m7i.large", sizes=(2, 2)),
    cpu=_pool("cpu", "c7i.2xlarge", sizes=(1, 4)),
    gpu=(
        _pool("l4", "g6.xlarge", "g6.2xlarge", sizes=(0, 4), gpu="NVIDIA-L4"),
        _pool("t4", "g4dn.xlarge", sizes=(0, 2), spot=True, gpu="Tesla-T4"),
    ),
    gpu_autoscaler=GpuAutoscaler.NODE_GROUPS,
    addons={
        "vpc-cni": "v1.20.4-eksbuild.2",
        "coredns": "v1.12.4-eksbuild.1",
        "kube-proxy": "v1.34.0-eksbuild.4",
        "eks-pod-identity-agent": "v1.3.10-eksbuild.1",
        "aws-ebs-csi-driver": "v1.53.0-eksbuild.1",
    },
)
