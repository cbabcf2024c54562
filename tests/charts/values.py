"""Values of the chart for tests: everything on, with names that are made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

DIGEST = f"sha256:{'0' * 64}"
CPU = {"repository": "roboflow/roboflow-inference-server-cpu", "tag": "1.8.3"}
GPU = {"repository": "roboflow/roboflow-inference-server-gpu", "tag": "1.8.3"}

Values = Mapping[str, Any]


def key(name: str) -> dict[str, str]:
    """A key of the Secret with keys."""
    return {"name": "acme-keys", "key": name}


def everything() -> dict[str, Any]:
    """Each component, each scaler, each cache, each way in."""
    canary = {"image": {**GPU, "tag": "1.8.4"}, "weight": 10}
    return {
        "deployment": {"name": "acme-vision", "workspace": "acme", "digest": DIGEST},
        "image": {"repository": "visionfleet/visionfleet", "tag": "0.1.0"},
        "imagePullSecrets": ["registry"],
        "hub": {
            "enabled": True,
            "url": "https://hub.acme.example",
            "storage": {
                "url": "s3://acme/hub",
                "endpoint": "http://minio.storage:9000",
                "region": "us-east-1",
                "accessKeyIdVariable": "S3_ID",
                "secretAccessKeyVariable": "S3_KEY",
            },
            "secretName": "acme-hub",
            "secretKeys": ["DATABASE_URL", "S3_ID", "S3_KEY", "SIGNING_KEY"],
            "keys": [
                {"role": "server", "name": "serving", "secret": key("server")},
                {"role": "worker", "name": "workers", "secret": key("worker")},
            ],
            "exposure": {"ingress": {"enabled": True, "host": "hub.acme.example", "tlsSecret": "hub-tls"}},
        },
        "serving": {
            "key": key("server"),
            "pools": {
                "gpu": {
                    "image": GPU,
                    "gpu": {"count": 1, "product": "NVIDIA-L4"},
                    "rollout": "replace",
                    "scaling": {"scaler": "keda", "min": 1, "max": 3, "metric": "gpu"},
                    "canary": canary,
                    "cache": {"kind": "node", "path": "/var/lib/visionfleet/models"},
                    "exposure": {
                        "gateway": {"enabled": True, "host": "gpu.acme.example", "parentRefs": [{"name": "public"}]}
                    },
                },
                "busy": {
                    "image": CPU,
                    "models": ["screws/3", "pallets/1"],
                    "scaling": {"scaler": "keda", "min": 2, "max": 6, "metric": "requests", "target": 4},
                    "cache": {"kind": "claim", "storageClass": "shared"},
                },
                "rare": {
                    "image": CPU,
                    "scaling": {"scaler": "keda", "min": 0, "max": 2, "metric": "requests", "target": 4},
                    "exposure": {
                        "gateway": {"enabled": True, "host": "rare.acme.example", "parentRefs": [{"name": "public"}]},
                        "ingress": {"enabled": True, "host": "rare.acme.example"},
                    },
                },
                "plain": {
                    "image": CPU,
                    "scaling": {"scaler": "hpa", "min": 2, "max": 3},
                    "canary": {"image": {**CPU, "tag": "1.8.4"}, "weight": 30},
                },
            },
        },
        "worker": {
            "key": key("worker"),
            "templates": {
                "cpu": {"server": {"image": CPU}, "standing": 1},
                "gpu": {
                    "server": {
                        "image": GPU,
                        "gpu": {"count": 1},
                        "cache": {"kind": "node", "path": "/var/lib/visionfleet/models"},
                    }
                },
            },
        },
        "monitoring": {
            "serviceMonitor": True,
            "prometheus": "http://prometheus:9090",
            "labels": {"release": "prometheus"},
        },
        "networkPolicies": {"clients": [{"namespaceSelector": {"matchLabels": {"role": "clients"}}}]},
        "karpenter": [
            {
                "apiVersion": "karpenter.sh/v1",
                "kind": "NodePool",
                "metadata": {"name": "l4"},
                "spec": {
                    "template": {
                        "spec": {
                            "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "l4"},
                            "requirements": [
                                {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]}
                            ],
                        }
                    }
                },
            }
        ],
    }


def serving(**pool: Any) -> dict[str, Any]:
    """One pool of CPU servers that ask a hub elsewhere."""
    return {
        "deployment": {"name": "acme-vision", "workspace": "acme"},
        "hub": {"enabled": False, "url": "https://hub.acme.example"},
        "serving": {"pools": {"cpu": {"image": CPU, **pool}}},
        "worker": {"enabled": False},
    }


def merged(below: Values, above: Values) -> dict[str, Any]:
    """Both, and what `above` has where both have something."""
    found = dict(below)
    for name, value in above.items():
        known = found.get(name)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        found[name] = merged(cast("Values", known), cast("Values", value)) if both else value
    return found
