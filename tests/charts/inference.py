"""The real inference server for pods: the native runtime of this machine, mounted, since there is no registry.

Pods may mount no folder of their node under `restricted`: PersistentVolumes lead to the folders, and the chart's own
values (`extra`) mount the claims.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.engines.cluster import Cluster
from tests.engines.cluster.images import INFERENCE, python_image
from tests.engines.engine import missing
from visionfleet.local.runtime import locate

NAME = "inference-host"
TAG = "test"
VERSION = "1.8.3"
SCRIPT = Path(sys.modules["visionfleet.local.runtime"].__file__ or "").with_name("serve_inference.py")


def inference_server(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """The values `image` and `extra` of a server that runs in pods of the namespace."""
    runtime = locate(VERSION)
    if not runtime.is_installed:
        missing("the inference runtime", "make runtime")
    cluster.load_image(python_image(f"{NAME}:{TAG}", entrypoint=["/usr/bin/python3"], base=INFERENCE))
    python = runtime.python.resolve()
    folders = {"runtime": runtime.folder, "python": python.parents[1], "script": SCRIPT.parent}
    for name, folder in folders.items():
        cluster.apply(*_volume(namespace, name, folder))
    packages = next(runtime.folder.glob("lib/python3.*/site-packages")).relative_to(runtime.folder)
    return {
        "image": {"repository": NAME, "tag": TAG},
        "extra": {
            # not where they are on this machine: a user of a pod may not look into an image's /root
            "command": [f"/opt/python/bin/{python.name}", f"/opt/script/{SCRIPT.name}"],
            "env": [
                {"name": "CUDA_VISIBLE_DEVICES", "value": ""},
                {"name": "PYTHONPATH", "value": f"/opt/runtime/{packages}"},
                {"name": "LD_LIBRARY_PATH", "value": "/opt/python/lib"},
            ],
            "volumes": [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in folders],
            "volumeMounts": [{"name": name, "mountPath": f"/opt/{name}", "readOnly": True} for name in folders],
        },
    }


def _volume(namespace: str, name: str, folder: Path) -> Iterator[dict[str, Any]]:
    size, modes = {"storage": "10Gi"}, ["ReadOnlyMany"]
    volume = f"{namespace}-{name}"
    yield {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume},
        "spec": {
            "accessModes": modes,
            "capacity": size,
            "storageClassName": "",
            "claimRef": {"name": name, "namespace": namespace},
            "hostPath": {"path": str(folder)},
        },
    }
    yield {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "accessModes": modes,
            "storageClassName": "",
            "volumeName": volume,
            "resources": {"requests": size},
        },
    }
