"""The tree for Argo CD and Flux: what stands in it, and what never does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from visionfleet.config import DeploymentConfig, load
from visionfleet.projections.gitops import MARK, NoGitOps, gitops_tree
from visionfleet.projections.helm import NoChart, helm_values, helm_yaml

HUB_ELSEWHERE = "hub: {url: 'https://hub.acme.example'}\n"
GIT = "{kind: git, repository: https://git.acme.example/vision/visionfleet.git, revision: v0.1.0}"
OCI = "{kind: oci, repository: 'oci://registry.acme.example/charts/visionfleet', version: '0.1.0', secret: registry}"
CLOUD = "cloud: {provider: aws, region: eu-central-1, owner: us}\n"
CLUSTER = """
  cluster:
    tier: development
    version: "1.34"
    admins: [arn:aws:iam::123456789012:role/admin]
    nodes: {system: {instance_types: [m6i.large], min: 1, max: 2}, cpu: {instance_types: [m6i.large], min: 1, max: 2}}
    gpu: {autoscaler: karpenter, pools: [{name: l4, product: NVIDIA-L4, instance_types: [g6.xlarge]}]}
"""


def config_of(folder: Path, serverless: str = "", chart: str = GIT, rest: str = "") -> DeploymentConfig:
    """A deployment whose hub is elsewhere, with two pools."""
    file = folder / "visionfleet.yaml"
    file.write_text(
        f"name: small\nworkspace: acme\n{HUB_ELSEWHERE}{rest}"
        f"""
serverless:
  hub: {{enabled: false}}
  serving:
    - {{name: scaled, hardware: cpu, replicas: {{min: 1, max: 3}}, scaling: {{kind: cpu, target: 70}}}}
    - {{name: steady, hardware: cpu, replicas: {{min: 2, max: 2}}, start_seconds: 3000}}
  gitops:
    chart: {chart}
    repository: https://git.acme.example/vision/gitops.git
    path: clusters/production/small
{serverless}
"""
    )
    return load(file)


def manifests(tree: dict[str, str], name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(tree[name]))


def only(tree: dict[str, str], name: str) -> dict[str, Any]:
    (manifest,) = manifests(tree, name)
    return manifest


def test_the_same_file_makes_the_same_tree_and_each_file_says_whose_it_is(tmp_path: Path) -> None:
    tree = gitops_tree(config_of(tmp_path), None)
    assert tree == gitops_tree(load(tmp_path / "visionfleet.yaml"), None)
    assert set(tree) == {
        "values.yaml",
        "argocd/application.yaml",
        *(f"flux/{name}.yaml" for name in ("kustomization", "namespace", "source", "release", "sync")),
    }
    assert all(text.startswith(f"{MARK}; do not edit") for text in tree.values())


def test_argo_cd_and_flux_and_helm_get_the_same_values(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    tree = gitops_tree(config, None)
    assert tree["values.yaml"].partition("\n")[2] == helm_yaml(helm_values(config))
    values = yaml.safe_load(tree["values.yaml"])
    assert only(tree, "flux/release.yaml")["spec"]["values"] == values
    chart, source = only(tree, "argocd/application.yaml")["spec"]["sources"]
    assert chart["helm"]["valueFiles"] == [f"${source['ref']}/clusters/production/small/values.yaml"]


def test_the_digest_of_the_published_folder_stands_in_the_values(tmp_path: Path) -> None:
    digest = f"sha256:{'0' * 64}"
    tree = gitops_tree(config_of(tmp_path), digest)
    assert only(tree, "values.yaml")["deployment"]["digest"] == digest


def test_replicas_that_a_scaler_sets_are_no_drift_and_others_are(tmp_path: Path) -> None:
    tree = gitops_tree(config_of(tmp_path), None)
    ignored = only(tree, "argocd/application.yaml")["spec"]["ignoreDifferences"]
    assert [(entry["name"], entry["jsonPointers"]) for entry in ignored] == [
        ("small-serving-scaled", ["/spec/replicas"])
    ]
    ignored = only(tree, "flux/release.yaml")["spec"]["driftDetection"]["ignore"]
    assert ignored == [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment", "name": "small-serving-scaled"}}]


def test_without_a_scaler_everything_is_drift(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    file = tmp_path / "visionfleet.yaml"
    file.write_text(file.read_text().replace("max: 3}, scaling: {kind: cpu, target: 70}", "max: 1}"))
    tree = gitops_tree(load(file), None)
    assert "ignoreDifferences" not in only(tree, "argocd/application.yaml")["spec"]
    assert only(tree, "flux/release.yaml")["spec"]["driftDetection"] == {"mode": "enabled"}
    assert tree != gitops_tree(config, None)


def test_the_application_is_not_called_as_the_release_whose_label_the_hubs_jobs_bear(tmp_path: Path) -> None:
    """Argo CD 2 would take them for its own by that label, and prune them."""
    application = only(gitops_tree(config_of(tmp_path), None), "argocd/application.yaml")
    release = application["spec"]["sources"][0]["helm"]["releaseName"]
    assert release == "small"
    assert application["metadata"]["name"] != release


def test_nothing_deletes_the_namespace_where_secrets_are(tmp_path: Path) -> None:
    tree = gitops_tree(config_of(tmp_path), None)
    namespace = only(tree, "flux/namespace.yaml")["metadata"]
    assert namespace["annotations"] == {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
    policy = only(tree, "argocd/application.yaml")["spec"]["syncPolicy"]
    made = policy["managedNamespaceMetadata"]
    assert made["annotations"] == {"argocd.argoproj.io/sync-options": "Delete=false,Prune=false"}
    assert made["labels"] == namespace["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert "CreateNamespace=true" in policy["syncOptions"]


def test_a_chart_in_git_is_pinned_by_tag_or_commit(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    for revision, reference in (("v0.1.0", {"tag": "v0.1.0"}), (f"{commit}", {"commit": commit})):
        tree = gitops_tree(config_of(tmp_path, chart=GIT.replace("v0.1.0", revision)), None)
        assert only(tree, "flux/source.yaml")["spec"]["ref"] == reference
        chart = only(tree, "argocd/application.yaml")["spec"]["sources"][0]
        assert (chart["targetRevision"], chart["path"]) == (revision, "charts/visionfleet")


def test_a_chart_of_a_registry_is_found_by_both(tmp_path: Path) -> None:
    tree = gitops_tree(config_of(tmp_path, chart=OCI), None)
    source = only(tree, "flux/source.yaml")
    assert source["kind"] == "OCIRepository"
    assert source["spec"]["url"] == "oci://registry.acme.example/charts/visionfleet"
    assert source["spec"]["secretRef"] == {"name": "registry"}
    release = only(tree, "flux/release.yaml")
    assert release["spec"]["chartRef"] == {"kind": "OCIRepository", "name": source["metadata"]["name"]}
    assert release["metadata"]["namespace"] == source["metadata"]["namespace"]
    chart = only(tree, "argocd/application.yaml")["spec"]["sources"][0]
    assert (chart["repoURL"], chart["chart"]) == ("registry.acme.example/charts", "visionfleet")


def test_flux_waits_as_long_as_the_slowest_server_may_take(tmp_path: Path) -> None:
    seconds = only(gitops_tree(config_of(tmp_path), None), "flux/release.yaml")["spec"]["timeout"]
    assert int(seconds.removesuffix("s")) > 3000


def test_node_pools_come_before_the_chart_and_are_there_for_both(tmp_path: Path) -> None:
    tree = gitops_tree(config_of(tmp_path, serverless=CLUSTER, rest=CLOUD), None)
    pools = manifests(tree, "karpenter/pools.yaml")
    assert {pool["kind"] for pool in pools} == {"NodePool", "EC2NodeClass"}
    assert {pool["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] for pool in pools} == {"-1"}
    assert only(tree, "argocd/application.yaml")["spec"]["sources"][1]["path"] == "clusters/production/small/karpenter"
    assert "../karpenter" in only(tree, "flux/kustomization.yaml")["resources"]


def test_node_pools_that_the_chart_brings_are_not_in_the_tree_too(tmp_path: Path) -> None:
    config = config_of(tmp_path, serverless=f"{CLUSTER}  karpenter: true\n", rest=CLOUD)
    tree = gitops_tree(config, None)
    assert only(tree, "values.yaml")["karpenter"]
    assert not [name for name in tree if name.startswith("karpenter")]
    assert "path" not in only(tree, "argocd/application.yaml")["spec"]["sources"][1]


def test_no_secret_is_in_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "signing.key").write_text("planted-in-a-file")
    monkeypatch.setenv("SIGNING_KEY", "planted-in-the-environment")
    for reference in ("env:SIGNING_KEY", "file:./signing.key"):
        config_of(tmp_path)
        file = tmp_path / "visionfleet.yaml"
        file.write_text(file.read_text().replace("hub: {", f"hub: {{signing_key: '{reference}', ", 1))
        assert "planted" not in "".join(gitops_tree(load(file), None).values())


def test_a_file_that_does_not_say_where_the_tree_is_gets_none(tmp_path: Path) -> None:
    file = tmp_path / "visionfleet.yaml"
    file.write_text("name: small\nworkspace: acme\n")
    with pytest.raises(NoGitOps, match=r"serverless\.gitops is missing: add 'repository'"):
        gitops_tree(load(file), None)


def test_a_file_that_cannot_run_in_a_cluster_gets_none(tmp_path: Path) -> None:
    config_of(tmp_path)
    file = tmp_path / "visionfleet.yaml"
    file.write_text(file.read_text().replace("enabled: false", "enabled: true"))
    with pytest.raises(NoChart, match=r"hub\.database"):
        gitops_tree(load(file), None)
