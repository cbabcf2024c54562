"""The Pulumi program: the deployment's file in, a stack on AWS out. It only wires; what is made is in `components`.

`pulumi config set visionfleet:file ../my/visionfleet.yaml`, then `pulumi up`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi

# Pulumi runs this folder by its path: then the folder is on the search path, and what it is a package of is not
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from infra.components.budget import Budget
from infra.components.cluster import Cluster
from infra.components.common import stack_options
from infra.components.dedicated import DedicatedEndpoint
from infra.components.hub_store import HubStore
from infra.components.image_mirror import ImageMirror
from infra.components.network import Network
from visionfleet.projections.plans import CloudPlan

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Build the stack that the file describes, and export what `StackOutputs` reads."""
    plan = read_plan(pulumi.Config("visionfleet").require("file"))
    for name, value in build(plan).items():
        pulumi.export(name, value)


def read_plan(file: str) -> CloudPlan:
    """The plan of the file at `file`; a relative path starts from the project's root.

    Raises:
        RunError: everything that is wrong with the file. Pulumi prints it as it is, without a traceback.
    """
    # who imports the program without a file need not wait for the file's models
    from visionfleet.config import ConfigError, load  # noqa: PLC0415
    from visionfleet.projections.cloud import NoCloud, cloud_plan  # noqa: PLC0415

    path = ROOT / Path(file).expanduser()
    try:
        return cloud_plan(load(path))
    except ConfigError as error:
        raise pulumi.RunError(f"the file of visionfleet:file cannot be used\n{error}") from error
    except NoCloud as error:
        raise pulumi.RunError(f"{path}: {error}") from error


def build(plan: CloudPlan) -> Mapping[str, Any]:
    """Every component of the plan; returns the stack's outputs by name."""
    opts, days = stack_options(plan.region, plan.tags), plan.log_retention_days
    network = Network(plan.name, plan.network, days, plan.cluster.name if plan.cluster else None, opts)
    mirror = ImageMirror(plan.name, plan.mirror, opts) if plan.mirror else None
    registry = mirror.registry if mirror else None
    endpoints = {
        endpoint.name: DedicatedEndpoint(f"{plan.name}-{endpoint.name}", endpoint, network, registry, days, opts)
        for endpoint in plan.endpoints
    }
    cluster = Cluster(plan.cluster.name, plan.cluster, network, days, opts) if plan.cluster else None
    store = HubStore(plan.name, plan.hub_store, network, cluster, days, opts) if plan.hub_store else None
    if plan.budget:
        Budget(plan.name, plan.budget, opts)
    return {
        "endpoints": {name: endpoint.url for name, endpoint in endpoints.items()},
        "bucket": store.bucket_name if store else None,
        "database_address": store.database_address if store else None,
        "database_secret": store.database_secret_arn if store else None,
        "cluster": cluster.name if cluster else None,
        "registry": registry,
        "region": plan.region,
    }


if __name__ == "__main__":
    main()
