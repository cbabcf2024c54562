"""Whether a new version has a GPU to start on while the old one holds its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.support import write_file
from visionfleet.config import load
from visionfleet.projections.headroom import has_headroom, spare_places

CLUSTER = """\
cloud: {{region: eu-central-1, owner: vision-team}}
batch: {{workers: {{gpu: {{max: {workers}}}}}}}
serverless:
  scaler: keda
  prometheus: http://prometheus.monitoring:9090
  cluster:
    admins: ["arn:aws:iam::123456789012:role/admin"]
    gpu:
      pools:
        - {{name: l4, instance_types: [g6.xlarge], max: 4}}
        - {{name: many, instance_types: [g6.12xlarge], max: 1}}
        - {{name: t4, instance_types: [g4dn.xlarge], max: 2}}
  workers: {{gpu: {{product: {product}}}}}
  serving:
    - {{name: cpu, hardware: cpu}}
"""
SCALING = "scaling: {kind: gpu, target: 70}"


def spare(folder: Path, serving: str, *, workers: int = 0, product: str = "Tesla-T4") -> list[int]:
    """The pods that each pool but the first has room for: on 4 nodes with one L4, 1 with four, and 2 with one T4."""
    text = CLUSTER.format(workers=workers, product=product) + "".join(f"    - {{{pool}}}\n" for pool in [serving])
    config = load(write_file(folder, text))
    return [spare_places(config, pool) for pool in config.serverless.serving[1:]]


@pytest.mark.parametrize(
    ("pools", "expected"),
    [
        ("name: a, hardware: gpu, product: NVIDIA-L4", 7),
        (f"name: a, hardware: gpu, product: NVIDIA-L4, replicas: {{max: 8}}, {SCALING}", 0),
        # two GPUs of a pod are those of one node, and a single node has more than one
        (f"name: a, hardware: gpu, product: NVIDIA-L4, gpus: 2, replicas: {{max: 2}}, {SCALING}", 0),
        ("name: a, hardware: gpu, product: NVIDIA-L4, gpus: 3", 0),
        ("name: a, hardware: gpu, product: Tesla-T4", 1),
        ("name: a, hardware: gpu", 9),
        # the second version has pods of its own
        ('name: a, hardware: gpu, replicas: {min: 2}, canary: {weight: 10, version: "1.9.0"}', 7),
        ('name: a, hardware: gpu, replicas: {min: 2}, canary: {weight: 75, version: "1.9.0"}', 10 - 2 - 7),
    ],
)
def test_what_nodes_have_less_what_pods_ask_for(pools: str, expected: int, tmp_path: Path) -> None:
    assert spare(tmp_path, pools) == [expected]


def test_batch_workers_are_after_the_same_gpus(tmp_path: Path) -> None:
    assert spare(tmp_path, "name: a, hardware: gpu, product: Tesla-T4", workers=2) == [-1]
    assert spare(tmp_path, "name: a, hardware: gpu, product: NVIDIA-L4", workers=2) == [7]
    assert spare(tmp_path, "name: a, hardware: gpu, product: NVIDIA-L4", workers=2, product="null") == [5]


def test_pools_of_one_product_are_after_the_same_gpus(tmp_path: Path) -> None:
    pools = "name: a, hardware: gpu, product: NVIDIA-L4, replicas: {min: 5}}\n    - {name: b, hardware: gpu, gpus: 2"

    # a single GPU that is taken may leave a node no place for two
    assert spare(tmp_path, pools) == [8 - 5 - 2, 2 - 5 - 1]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("hardware: cpu", True),
        ("hardware: gpu", False),
        ("hardware: gpu, spare_gpus: 1", True),
        ("hardware: gpu, spare_gpus: 1, gpus: 2", False),
        ("hardware: cpu, cache: {kind: claim, access_mode: ReadWriteMany}", True),
        ("hardware: cpu, cache: {kind: claim, access_mode: ReadWriteOnce}", False),
        ("hardware: gpu, spare_gpus: 1, cache: {kind: claim, access_mode: ReadWriteOnce}", False),
    ],
)
def test_of_a_cluster_that_is_somebody_elses_nothing_is_taken_for_spare(
    pool: str, *, expected: bool, tmp_path: Path
) -> None:
    config = load(write_file(tmp_path, f"serverless: {{serving: [{{name: a, {pool}}}]}}\n"))

    assert has_headroom(config, config.serverless.serving[0]) is expected
