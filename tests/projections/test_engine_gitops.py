"""The tree for Argo CD and Flux, looked at by what reads it: definitions, kustomize, Helm, a cluster's API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from engines.build import locate

from tests.engines.cluster import Cluster
from tests.engines.crds import complaints, crd_files
from tests.engines.engine import missing, printed
from tests.engines.helm import rendered
from tests.projections.test_gitops import CLOUD, CLUSTER, GIT, OCI, config_of
from visionfleet.config import DeploymentConfig, load
from visionfleet.projections.gitops import MARK, gitops_tree
from visionfleet.projections.helm import helm_values, helm_yaml
from visionfleet.rendered import RenderedFolder

pytestmark = pytest.mark.engine

ACME = Path(__file__).parents[2] / "examples" / "acme" / "visionfleet.yaml"
DIGEST = f"sha256:{'0' * 64}"
DEFINED_BY = {
    "argoproj.io": "argo-cd",
    "helm.toolkit.fluxcd.io": "flux-helm",
    "kustomize.toolkit.fluxcd.io": "flux-kustomize",
    "source.toolkit.fluxcd.io": "flux-source",
    "karpenter.sh": "karpenter",
    "karpenter.k8s.aws": "karpenter",
}
BY_HAND = {"v1", "kustomize.config.k8s.io/v1beta1"}  # a Namespace, and what kustomize itself reads
OBJECTS = {"Namespace", "HelmRelease", "GitRepository", "Kustomization", "NodePool", "EC2NodeClass"}


@pytest.fixture(params=["git", "oci", "acme"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> DeploymentConfig:
    """A chart of each kind, and the example; where it is ours, Karpenter's pools are in the tree."""
    if request.param == "acme":
        return load(ACME)
    return config_of(tmp_path, serverless=CLUSTER, rest=CLOUD, chart=GIT if request.param == "git" else OCI)


@pytest.fixture
def tree(config: DeploymentConfig, tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    RenderedFolder(folder, MARK).write(gitops_tree(config, DIGEST))
    return folder


def objects(tree: Path) -> Iterator[dict[str, Any]]:
    for path in tree.glob("*/*.yaml"):
        yield from yaml.safe_load_all(path.read_text())


def built(folder: Path) -> str:
    """What kustomize makes of a folder: kubectl has it in it."""
    kubernetes = locate("kubernetes")
    if kubernetes is None:
        missing("kubectl", "make engines")
    return printed([f"{kubernetes}/kubectl", "kustomize", str(folder)])


def test_every_object_is_as_its_definition_has_it(tree: Path) -> None:
    checked = 0
    for manifest in objects(tree):
        if manifest["apiVersion"] in BY_HAND:
            continue
        group = manifest["apiVersion"].partition("/")[0]
        assert complaints(DEFINED_BY[group], manifest) == []
        checked += 1
    assert checked >= 5


def test_kustomize_builds_what_flux_is_given(config: DeploymentConfig, tree: Path) -> None:
    made = [(each["kind"], each["metadata"]["name"]) for each in yaml.safe_load_all(built(tree / "flux"))]
    assert {("Namespace", "visionfleet"), ("HelmRelease", config.name)} < set(made)
    pools = {each["metadata"]["name"] for each in objects(tree) if each["kind"] == "NodePool"}
    assert {name for kind, name in made if kind == "NodePool"} == pools
    assert {kind for kind, _ in made} <= OBJECTS | {"OCIRepository"}


def test_helm_makes_of_the_tree_what_it_makes_of_the_file(config: DeploymentConfig, tree: Path) -> None:
    of_file = rendered(helm_yaml(helm_values(config, DIGEST)), config.name)
    assert rendered((tree / "values.yaml").read_text(), config.name) == of_file
    release = next(each for each in objects(tree) if each["kind"] == "HelmRelease")
    assert rendered(release["spec"]["values"], config.name) == of_file


def test_the_deployments_whose_replicas_are_no_drift_are_those_without_replicas(
    config: DeploymentConfig, tree: Path
) -> None:
    made = [each for each in rendered((tree / "values.yaml").read_text(), config.name) if each["kind"] == "Deployment"]
    open_ended = {each["metadata"]["name"] for each in made if "replicas" not in each["spec"]}
    application = next(each for each in objects(tree) if each["kind"] == "Application")
    assert open_ended == {entry["name"] for entry in application["spec"]["ignoreDifferences"]}


def test_a_clusters_api_takes_every_object(real_cluster: Cluster, tree: Path) -> None:
    """With the rules that only an API server evaluates; nothing of the tree is made."""
    for name in sorted(set(DEFINED_BY.values())):
        # too large for the annotation that plain apply writes
        files = [f"--filename={file}" for file in crd_files(name)]
        real_cluster.kubectl("apply", "--server-side", *files)
    real_cluster.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=300s")
    for namespace in ("argocd", "flux-system", "visionfleet"):
        real_cluster.namespace(namespace)
    flux = built(tree / "flux")
    for text in (flux, (tree / "argocd/application.yaml").read_text()):
        real_cluster.kubectl("apply", "--server-side", "--dry-run=server", "--filename=-", input=text)
