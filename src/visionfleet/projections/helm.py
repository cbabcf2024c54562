"""DeploymentConfig -> the values of charts/visionfleet, the same text for the same file.

No secret is resolved: values name Secrets and their keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import yaml

from visionfleet import __version__
from visionfleet.config import DeploymentConfig, SecretRef
from visionfleet.config.batch import Executor
from visionfleet.config.hub import HubS3
from visionfleet.config.section import Section
from visionfleet.projections.chart_files import difference
from visionfleet.projections.chart_values import (
    ChartValues,
    Deployment,
    HubKey,
    HubValues,
    Image,
    Monitoring,
    NetworkPolicies,
    SecretKey,
    ServiceAccount,
    ServingValues,
    Storage,
    WorkerValues,
)
from visionfleet.projections.cloud import cloud_plan
from visionfleet.projections.karpenter import karpenter_manifests
from visionfleet.projections.pods import exposure, placement, registry_of, serving_pools, worker_templates

MOST_COLUMNS = 120


class NoChart(ValueError):
    """The file cannot run in a cluster; `reasons` holds every one."""

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("\n".join(reasons))


def helm_values(config: DeploymentConfig, digest: str | None = None) -> ChartValues:
    """The values for the file; `digest` is that of the published folder, which the hub's pods fetch.

    Raises:
        NoChart: something of the file is this machine's alone, or nothing of it runs in a cluster.
    """
    check_chart(config)
    serverless = config.serverless
    templates = worker_templates(config) if _has_workers(config) else {}
    return ChartValues(
        name_override=config.name,  # what pods call one another does not depend on the release's name
        deployment=Deployment(name=config.name, workspace=config.workspace, digest=digest or ""),
        image=_image(config),
        image_pull_secrets=list(serverless.secrets.pull),
        hub=_hub(config),
        serving=ServingValues(
            enabled=bool(serverless.serving),
            port=config.inference.port,
            max_upload_mb=serverless.max_upload_mb,
            key=_key(config, "server"),
            pools=serving_pools(config),
        ),
        worker=WorkerValues(
            enabled=bool(templates),
            key=_key(config, "worker") if templates else None,
            service_account=_account(config, "worker"),
            templates=templates,
        ),
        monitoring=Monitoring(
            service_monitor=serverless.monitoring.service_monitor,
            labels=dict(serverless.monitoring.labels),
            prometheus=serverless.prometheus or "",
        ),
        network_policies=NetworkPolicies(enabled=serverless.network_policies),
        karpenter=_karpenter(config),
    )


def check_chart(config: DeploymentConfig) -> None:
    """Raises NoChart with every reason why the file cannot run in a cluster."""
    reasons = list(_reasons(config))
    if reasons:
        raise NoChart(reasons)


def helm_yaml(values: ChartValues) -> str:
    """The values as `helm install --values` reads them: what is not as the chart has it, in the chart's order."""
    return yaml.safe_dump(difference(values), sort_keys=False, allow_unicode=True, width=MOST_COLUMNS)


def _reasons(config: DeploymentConfig) -> Iterator[str]:
    """Why the file cannot run in a cluster, each with the way out."""
    hub = config.serverless.hub
    if hub.enabled:
        yield from _local_hub(config)
    elif config.hub.url is None:
        yield "hub.url is missing, and serverless.hub.enabled is false: write the address where pods find the hub"
    if not hub.enabled and _makes_jobs(config):
        yield "batch.executor is kubernetes, and serverless.hub.enabled is false: a hub makes Jobs where it runs itself"
    if not hub.enabled and not config.serverless.serving:
        yield "serverless.hub.enabled is false, and serverless.serving is empty: add what is to run in the cluster"


def _local_hub(config: DeploymentConfig) -> Iterator[str]:
    """What of the hub is one machine's: pods come and go, and there are several."""
    hub = config.hub
    if hub.database_ref is None:
        yield (
            "hub.database is sqlite, a file of one pod: "
            "write env:NAME, and put the URL of a PostgreSQL database into the Secret"
        )
    if hub.bucket is None:
        yield "hub.storage is a folder of one pod: write s3://bucket/prefix"
    if hub.signing_key is None:
        yield "hub.signing_key is missing, and each pod would make its own: write env:NAME"
    for path, secret in _secrets(hub, "hub"):
        if secret.variable is None:
            yield f"{path} is {secret}, on this machine: write env:NAME, and put it into the Secret"


def _secrets(section: Section, path: str) -> Iterator[tuple[str, SecretRef]]:
    """The references below a section, with their places."""
    for name in type(section).model_fields:
        value, below = getattr(section, name), f"{path}.{name}"
        if isinstance(value, SecretRef):
            yield below, value
        elif isinstance(value, Section):
            yield from _secrets(value, below)


def _image(config: DeploymentConfig) -> Image:
    image, registry = config.serverless.image, config.serverless.image.registry or registry_of(config)
    return Image(
        repository=f"{registry}/{image.repository}" if registry else image.repository,
        tag=image.version or __version__,
        digest=image.digest or "",
    )


def _hub(config: DeploymentConfig) -> HubValues:
    hub = config.serverless.hub
    url = config.hub.url or ""
    if not hub.enabled:
        return HubValues(enabled=False, url=url, executor=False)
    variables = {secret.variable for _, secret in _secrets(config.hub, "hub") if secret.variable}
    return HubValues(
        enabled=True,
        url=url,
        replicas=hub.replicas,
        port=config.hub.port,
        storage=_storage(config),
        secret_name=config.serverless.secrets.hub or f"{config.name}-hub",
        secret_keys=sorted(variables),
        keys=list(_hub_keys(config)),
        executor=_makes_jobs(config),
        service_account=_account(config, "hub"),
        exposure=exposure(hub.expose, urlsplit(url).hostname or ""),
        max_upload_mb=config.serverless.max_upload_mb,
        placement=placement(hub),
    )


def _storage(config: DeploymentConfig) -> Storage:
    s3 = config.hub.s3 or HubS3()
    return Storage(
        url=str(config.hub.storage),
        endpoint=s3.endpoint or "",
        region=s3.region or "",
        access_key_id_variable=_variable(s3.access_key_id),
        secret_access_key_variable=_variable(s3.secret_access_key),
    )


def _variable(secret: SecretRef | None) -> str:
    return (secret.variable or "") if secret else ""


def _hub_keys(config: DeploymentConfig) -> Iterator[HubKey]:
    """The keys that the hub is to know: the servers', the workers', the clients', and the one that enrols devices."""
    if config.serverless.serving or _has_workers(config):  # a worker has a server beside it
        yield HubKey(role="server", name="serving", secret=_key(config, "server"))
    if _has_workers(config):
        yield HubKey(role="worker", name="workers", secret=_key(config, "worker"))
    for client in config.serverless.hub.clients:
        yield HubKey(role="client", name=client, secret=_key(config, f"client-{client}"))
    if config.edge.groups:
        yield HubKey(role="fleet", name="fleet", secret=_key(config, "fleet"))


def _key(config: DeploymentConfig, key: str) -> SecretKey:
    return SecretKey(name=config.serverless.secrets.keys or f"{config.name}-keys", key=key)


def _has_workers(config: DeploymentConfig) -> bool:
    """Whether workers run in the cluster: those of jobs, or those that always do."""
    pods = config.serverless.workers
    standing = pods.cpu.standing + (pods.gpu.standing if pods.gpu else 0)
    return _makes_jobs(config) or standing > 0


def _makes_jobs(config: DeploymentConfig) -> bool:
    return config.batch.executor is Executor.KUBERNETES


def _account(config: DeploymentConfig, component: str) -> ServiceAccount:
    """In AWS, roles are tied to accounts of these names (infra/components/hub_store.py)."""
    return ServiceAccount(name=component if config.hub.aws else "")


def _karpenter(config: DeploymentConfig) -> list[dict[str, Any]]:
    if not config.serverless.karpenter:
        return []
    plan = cloud_plan(config)
    return karpenter_manifests(plan.cluster, plan.tags) if plan.cluster else []
