"""The definitions by which manifests are checked are there, and find what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engines.crds import complaints

pytestmark = pytest.mark.engine

SCALED = {"scaleTargetRef": {"name": "web"}, "triggers": [{"type": "cpu", "metadata": {"value": "60"}}]}


def scaled(**spec: Any) -> dict[str, Any]:
    """KEDA's ScaledObject."""
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {}, "spec": {**SCALED, **spec}}


@pytest.mark.parametrize(
    ("name", "api", "kind"),
    [
        ("argo-cd", "argoproj.io/v1alpha1", "Application"),
        ("flux-helm", "helm.toolkit.fluxcd.io/v2", "HelmRelease"),
        ("flux-kustomize", "kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
        ("flux-source", "source.toolkit.fluxcd.io/v1", "OCIRepository"),
        ("gateway-api", "gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("karpenter", "karpenter.sh/v1", "NodePool"),
        ("keda", "keda.sh/v1alpha1", "ScaledObject"),
        ("kueue", "kueue.x-k8s.io/v1beta2", "LocalQueue"),
        ("prometheus", "monitoring.coreos.com/v1", "ServiceMonitor"),
    ],
)
def test_each_project_refuses_what_nobody_knows(name: str, api: str, kind: str) -> None:
    said = complaints(name, {"apiVersion": api, "kind": kind, "metadata": {}, "unknown": 1})
    assert any("'unknown' was unexpected" in each for each in said), said


def test_a_good_manifest_has_no_complaints() -> None:
    assert complaints("keda", scaled(minReplicaCount=0)) == []


def test_an_unknown_field_a_wrong_type_and_an_unknown_kind_are_named() -> None:
    assert complaints("keda", scaled(minReplicas=1)) == [
        "$.spec: Additional properties are not allowed ('minReplicas' was unexpected)"
    ]
    assert complaints("keda", scaled(minReplicaCount="1")) == ["$.spec.minReplicaCount: '1' is not of type 'integer'"]
    [said] = complaints("keda", {**scaled(), "apiVersion": "keda.sh/v1"})
    assert said.startswith("keda has no keda.sh/v1 ScaledObject; it has ")
