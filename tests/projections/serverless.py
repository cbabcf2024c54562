"""Deployments for a cluster, of any kind, for tests with hypothesis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.config.support import write_file
from visionfleet.config import ConfigError, DeploymentConfig, load

DIGEST = f"sha256:{'0' * 64}"
HUB = """\
hub:
  database: env:DATABASE_URL
  storage: s3://bucket/prefix
  signing_key: env:SIGNING_KEY
"""

POOLS = st.fixed_dictionaries(
    {"hardware": st.sampled_from(["cpu", "gpu"])},
    optional={
        "replicas": st.fixed_dictionaries({"min": st.integers(0, 4)}, optional={"max": st.integers(1, 6)}),
        "scaling": st.fixed_dictionaries(
            {"kind": st.sampled_from(["cpu", "gpu", "requests"]), "target": st.integers(1, 100)}
        ),
        "product": st.sampled_from(["NVIDIA-L4", "Tesla-T4"]),
        "gpus": st.integers(1, 4),
        "cpus": st.floats(0.1, 64) | st.integers(1, 64),
        "memory_gb": st.integers(1, 64),
        "spare_gpus": st.integers(0, 2),
        "version": st.just("1.9.0"),
        "digest": st.just(DIGEST),
        "drain_seconds": st.integers(1, 600),
        "cache": st.sampled_from(
            [
                {"kind": "none"},
                {"kind": "node", "path": "/srv/models"},
                {"kind": "claim", "size_gb": 7},
                {"kind": "claim", "access_mode": "ReadWriteOnce"},
            ]
        ),
        "canary": st.fixed_dictionaries({"version": st.just("2.0.0"), "weight": st.integers(0, 99)}),
        "expose": st.sampled_from([{"kind": "ingress"}, {"kind": "gateway", "gateway": {"name": "public"}}]),
        "node_labels": st.dictionaries(st.sampled_from(["zone", "visionfleet/pool"]), st.just("a")),
        "tolerations": st.lists(
            st.sampled_from(
                [{"operator": "Exists"}, {"key": "sku", "value": "gpu"}, {"key": "sku", "operator": "Exists"}]
            ),
            max_size=2,
        ),
    },
)
SERVERLESS = st.fixed_dictionaries(
    {"serving": st.lists(POOLS, max_size=3), "scaler": st.sampled_from(["none", "hpa", "keda"])},
    optional={
        "prometheus": st.just("http://prometheus:9090"),
        "network_policies": st.booleans(),
        "max_upload_mb": st.integers(1, 100),
        "hub": st.fixed_dictionaries({"replicas": st.integers(1, 5), "clients": st.just(["a"])}),
        "workers": st.fixed_dictionaries({"cpu": st.fixed_dictionaries({"standing": st.integers(0, 3)})}),
    },
)


def right_part(folder: Path, serverless: dict[str, Any]) -> DeploymentConfig:
    """The configuration without the pools that the file's rules refuse, and without a rest that is refused alone."""
    for index, pool in enumerate(serverless["serving"]):
        pool["name"] = f"pool-{index}"
    whole = f"domain: acme.example\n{HUB}"
    for serving in (serverless["serving"], *([pool] for pool in serverless["serving"]), []):
        data = {"serverless": serverless | {"serving": serving}}
        try:
            return load(write_file(folder, whole + yaml.safe_dump(data)))
        except ConfigError:
            continue
    raise AssertionError("a file without pools is right")
