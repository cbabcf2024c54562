"""DeploymentConfig -> a tree of files that Argo CD and Flux install, the same for the same file; no secrets are in it.

    values.yaml            what `visionfleet render helm` prints
    argocd/                an Application, to be applied as other Applications are
    flux/                  a HelmRelease with the values in it, its sources, and what follows the tree itself
    karpenter/             node pools, where Karpenter brings nodes and the chart does not bring the pools

The APIs are argoproj.io/v1alpha1 (Argo CD 2.8 and later), helm.toolkit.fluxcd.io/v2, source.toolkit.fluxcd.io/v1 and
kustomize.toolkit.fluxcd.io/v1 (Flux 2.6 and later).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from visionfleet import __version__
from visionfleet.config import DeploymentConfig
from visionfleet.config.gitops import GitChart, GitOps, OciChart
from visionfleet.projections.chart_values import ChartValues
from visionfleet.projections.cloud import cloud_plan
from visionfleet.projections.helm import helm_values, helm_yaml
from visionfleet.projections.karpenter import karpenter_manifests
from visionfleet.terms import Scaler

MARK = "# Made by `visionfleet render gitops`"
"""What the first line of each file begins with: by it such files are told from others."""

FOLDERS = ("argocd", "flux", "karpenter")
VALUES = "values.yaml"
MOST_COLUMNS = 120
_HEAD = f"{MARK}; do not edit: change the deployment's file, and render again.\n"
_TREE = "tree"  # Argo CD's name for the repository with the tree, as in $tree/values.yaml
_KUSTOMIZATION = "kustomization.yaml"
_BEFORE_THE_CHART = "-1"
_INTERVAL = "10m"
_RETRY_INTERVAL = "2m"
_RETRIES = 3
_PULL_SECONDS = 900  # a node that comes up, and an image of 10 GB that it pulls
_LEAST_SECONDS = 900
# the layer of a chart among those of an artifact (helm.sh/helm, pkg/registry)
_CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_COMMIT_CHARACTERS = 40

Manifest = dict[str, Any]


class NoGitOps(ValueError):
    """The file does not say where the chart and the tree are."""


def gitops_tree(config: DeploymentConfig, digest: str | None) -> dict[str, str]:
    """The texts of the tree's files by path; `digest` is that of the published folder.

    Raises:
        NoGitOps: `serverless.gitops` is missing.
        NoChart: the file cannot run in a cluster.
    """
    gitops = config.serverless.gitops
    if gitops is None:
        reason = "add 'repository' and 'path', where the tree is committed, and 'chart'"
        raise NoGitOps(f"serverless.gitops is missing: {reason}")
    values = helm_values(config, digest)
    pools = _karpenter(config)
    return {
        VALUES: _HEAD + helm_yaml(values),
        "argocd/application.yaml": _text(_application(config, gitops, values, karpenter=bool(pools))),
        **{f"flux/{name}": text for name, text in _flux(config, gitops, values, karpenter=bool(pools)).items()},
        **({f"karpenter/{name}": text for name, text in _kustomized({"pools.yaml": pools}).items()} if pools else {}),
    }


def _karpenter(config: DeploymentConfig) -> list[Manifest]:
    """Node pools, unless the chart brings them: a pod that asks for such a node waits until its pool is there."""
    if config.serverless.karpenter or config.serverless.cluster is None:
        return []
    plan = cloud_plan(config)
    manifests = karpenter_manifests(plan.cluster, plan.tags) if plan.cluster else []
    wave = {"annotations": {"argocd.argoproj.io/sync-wave": _BEFORE_THE_CHART}}
    return [{**manifest, "metadata": {**manifest["metadata"], **wave}} for manifest in manifests]


def _application(config: DeploymentConfig, gitops: GitOps, values: ChartValues, *, karpenter: bool) -> Manifest:
    tree: Manifest = {"repoURL": gitops.repository, "targetRevision": gitops.branch, "ref": _TREE}
    if karpenter:
        tree["path"] = f"{gitops.path}/karpenter"
    scaled = [
        {"group": "apps", "kind": "Deployment", "name": name, "jsonPointers": ["/spec/replicas"]}
        for name in _scaled(values)
    ]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            # Not the release's name: Argo CD 2 takes whatever bears `app.kubernetes.io/instance: <Application>` for the
            # Application's own, and would prune the Jobs that the hub makes.
            "name": f"visionfleet-{config.name}",
            "namespace": gitops.argocd_namespace,
        },
        "spec": {
            "project": gitops.project,
            "destination": {
                "server": "https://kubernetes.default.svc",
                "namespace": config.serverless.namespace,
            },
            "sources": [_argocd_chart(config, gitops), tree],
            "syncPolicy": {
                "automated": {"prune": True, "selfHeal": True},
                "managedNamespaceMetadata": {
                    "labels": _namespace_labels(),
                    "annotations": {"argocd.argoproj.io/sync-options": "Delete=false,Prune=false"},
                },
                "syncOptions": ["CreateNamespace=true", "ServerSideApply=true", "RespectIgnoreDifferences=true"],
                "retry": {"limit": 5, "backoff": {"duration": "30s", "factor": 2, "maxDuration": _INTERVAL}},
            },
            **({"ignoreDifferences": scaled} if scaled else {}),
        },
    }


def _argocd_chart(config: DeploymentConfig, gitops: GitOps) -> Manifest:
    helm = {"releaseName": config.name, "valueFiles": [f"${_TREE}/{gitops.path}/{VALUES}"]}
    match gitops.chart:
        case OciChart() as chart:
            # without a scheme it is a registry to Argo CD
            registry, _, name = chart.repository.removeprefix("oci://").rpartition("/")
            return {"repoURL": registry, "chart": name, "targetRevision": _version(chart), "helm": helm}
        case GitChart() as chart:
            place = {"repoURL": chart.repository, "targetRevision": chart.revision, "path": chart.path}
            return {**place, "helm": helm}


def _flux(config: DeploymentConfig, gitops: GitOps, values: ChartValues, *, karpenter: bool) -> dict[str, str]:
    files = {
        "namespace.yaml": [_namespace(config)],
        "source.yaml": [_flux_chart(config, gitops)],
        "release.yaml": [_release(config, gitops, values)],
        "sync.yaml": list(_sync(config, gitops)),
    }
    return _kustomized(files, ["../karpenter"] if karpenter else [])


def _namespace(config: DeploymentConfig) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": config.serverless.namespace,
            "labels": _namespace_labels(),
            # Secrets and volumes are in it that are not in the tree
            "annotations": {"kustomize.toolkit.fluxcd.io/prune": "disabled"},
        },
    }


def _namespace_labels() -> dict[str, str]:
    return {"pod-security.kubernetes.io/enforce": "restricted"}


def _flux_chart(config: DeploymentConfig, gitops: GitOps) -> Manifest:
    metadata = {"name": _chart_name(config), "namespace": config.serverless.namespace}
    match gitops.chart:
        case OciChart() as chart:
            spec = {
                "interval": _INTERVAL,
                "url": chart.repository,
                "ref": {"tag": _version(chart)},
                "layerSelector": {"mediaType": _CHART_LAYER, "operation": "copy"},
            }
            return _source("OCIRepository", metadata, spec, chart.secret)
        case GitChart() as chart:
            kind = "commit" if len(chart.revision) == _COMMIT_CHARACTERS else "tag"
            spec = {"interval": _INTERVAL, "url": chart.repository, "ref": {kind: chart.revision}}
            return _source("GitRepository", metadata, spec, chart.secret)


def _source(kind: str, metadata: Mapping[str, str], spec: Mapping[str, Any], secret: str | None) -> Manifest:
    reference = {"secretRef": {"name": secret}} if secret else {}
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": kind,
        "metadata": dict(metadata),
        "spec": {**spec, **reference},
    }


def _release(config: DeploymentConfig, gitops: GitOps, values: ChartValues) -> Manifest:
    scaled = [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment", "name": name}} for name in _scaled(values)]
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": config.name, "namespace": config.serverless.namespace},
        "spec": {
            "interval": _INTERVAL,
            "timeout": f"{_install_seconds(values)}s",
            "releaseName": config.name,
            **_chart_of_release(config, gitops),
            "install": {"remediation": {"retries": _RETRIES}},
            # back to what served before, with its workflows and models
            "upgrade": {
                "cleanupOnFail": True,
                "remediation": {"retries": _RETRIES, "strategy": "rollback", "remediateLastFailure": True},
            },
            "driftDetection": {"mode": "enabled", **({"ignore": scaled} if scaled else {})},
            "values": yaml.safe_load(helm_yaml(values)),
        },
    }


def _chart_of_release(config: DeploymentConfig, gitops: GitOps) -> Manifest:
    if isinstance(gitops.chart, OciChart):
        return {"chartRef": {"kind": "OCIRepository", "name": _chart_name(config)}}
    spec = {
        "chart": f"./{gitops.chart.path}",
        "reconcileStrategy": "Revision",  # a commit need not change the chart's version
        "sourceRef": {"kind": "GitRepository", "name": _chart_name(config)},
    }
    return {"chart": {"spec": spec}}


def _sync(config: DeploymentConfig, gitops: GitOps) -> Iterator[Manifest]:
    """What follows the tree; once applied, it keeps itself as the tree has it."""
    name = f"visionfleet-{config.name}"
    metadata = {"name": name, "namespace": gitops.flux_namespace}
    spec = {"interval": "1m", "url": gitops.repository, "ref": {"branch": gitops.branch}}
    yield _source("GitRepository", metadata, spec, gitops.secret)
    yield {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": metadata,
        "spec": {
            "interval": _INTERVAL,
            "retryInterval": _RETRY_INTERVAL,
            "path": f"./{gitops.path}/flux",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": name},
        },
    }


def _scaled(values: ChartValues) -> Iterator[str]:
    """The Deployments whose replicas a scaler sets: what it has set is no drift."""
    for name, pool in values.serving.pools.items():
        if pool.scaling.scaler is not Scaler.NONE:
            yield f"{values.name_override}-serving-{name}"


def _install_seconds(values: ChartValues) -> int:
    """How long Helm waits for what it has installed: as long as the slowest server may take, on a node that is new."""
    slowest = max((pool.start_seconds for pool in values.serving.pools.values()), default=0)
    return max(_LEAST_SECONDS, slowest + _PULL_SECONDS)


def _chart_name(config: DeploymentConfig) -> str:
    return f"{config.name}-chart"


def _version(chart: OciChart) -> str:
    return chart.version or __version__


def _kustomized(files: Mapping[str, list[Manifest]], beside: Iterable[str] = ()) -> dict[str, str]:
    """The files, and what names them for kustomize: what else lies in the folder is not installed."""
    kustomization: Manifest = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [*beside, *files],
    }
    return {_KUSTOMIZATION: _text(kustomization), **{name: _text(*manifests) for name, manifests in files.items()}}


def _text(*manifests: Manifest) -> str:
    return _HEAD + yaml.safe_dump_all(
        manifests, sort_keys=False, allow_unicode=True, width=MOST_COLUMNS, explicit_start=len(manifests) > 1
    )
