"""The tree in the hands of the real Flux, on a real cluster: it installs, rolls out, puts back, goes back and removes.

Git, registry, PostgreSQL and S3's API are real, and the commands are those of the guide to GitOps.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.charts.gitops import NAMESPACE, OUT_SECONDS, Company, company, condition
from tests.charts.objects import names
from tests.docs.console import file_of
from tests.docs.pages import GITOPS_GUIDE
from tests.engines.cluster import Cluster
from tests.engines.cluster.flux import NAMESPACE as FLUX
from tests.engines.engine import wait_until
from tests.engines.git_server import PASSWORD, USER
from tests.engines.helm import CHART, rendered

pytestmark = pytest.mark.engine

SMALL = "small"
POLICY = "one-replica"
SMALL_FILE = """
name: small
workspace: acme
hub: {url: "https://hub.acme.example"}
serverless:
  namespace: small
  hub: {enabled: false}
  serving: [{name: cpu, hardware: cpu, replicas: {min: REPLICAS, max: REPLICAS}}]
  gitops:
    chart: {kind: git, repository: https://git.acme.example/vision/visionfleet.git, revision: REVISION, secret: charts}
    repository: https://git.acme.example/vision/gitops.git
    path: clusters/small
    secret: small-git
"""
NOTICE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notice, namespace: {{ .Release.Namespace }}}\n"


@pytest.fixture(scope="module")
def acme(real_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    # the reader of the guide makes it
    real_cluster.kubectl("delete", "namespace", NAMESPACE, SMALL, "--ignore-not-found")
    with company(real_cluster, tmp_path_factory.mktemp("company")) as made:
        yield made
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        real_cluster.kubectl("delete", kind, POLICY, "--ignore-not-found")
    real_cluster.kubectl("delete", "namespace", NAMESPACE, SMALL, "--ignore-not-found")


def test_flux_does_what_the_guide_says(acme: Company) -> None:
    (acme.folder / "visionfleet.yaml").write_text(acme.translate(file_of(GITOPS_GUIDE)))
    for heading in ("Secrets come first", "Publish the folder", "Render the tree", "Flux"):
        acme.follow(heading)
    values = (acme.folder / "clusters/production/vision/values.yaml").read_text()
    wanted = {f"{kind}/{name}".lower() for kind, name in names(rendered(values, "vision")) if "migration" not in name}
    assert wanted <= {short(each) for each in acme.left()}
    # what this cluster and its controllers make of the objects is no drift
    acme.ask("helmrelease", "vision", NAMESPACE)
    assert acme.history("vision") == [(1, "deployed")]
    assert "DriftDetected" not in acme.events("vision")

    installed = digest(acme)
    acme.follow("Change")
    acme.wait_until_out("vision")
    assert scaler(acme)["maxReplicas"] == 4
    assert digest(acme) != installed

    for name, count in (("vision-hub", "1"), ("vision-serving-cpu", "2")):
        acme.cluster.kubectl("scale", f"deployment/{name}", f"--replicas={count}", f"--namespace={NAMESPACE}")
    acme.cluster.kubectl("delete", "service/vision-serving-cpu", f"--namespace={NAMESPACE}")
    acme.follow("What hands have changed")
    wait_until(lambda: "DriftCorrected" in acme.events("vision"), "Flux puts it back")
    assert replicas(acme, "vision-hub") == 2
    assert replicas(acme, "vision-serving-cpu") == 2, "a scaler sets them"
    assert acme.cluster.get("service/vision-serving-cpu", f"--namespace={NAMESPACE}")
    # a node without room for the second would hold up what follows
    acme.cluster.kubectl("scale", "deployment/vision-serving-cpu", "--replicas=1", f"--namespace={NAMESPACE}")

    acme.follow("Go back")
    acme.wait_until_out("vision")
    assert (scaler(acme)["maxReplicas"], digest(acme)) == (3, installed)

    acme.follow("Remove")
    wait_until(
        lambda: acme.left() == {"secret/vision-hub", "secret/vision-keys"},
        "nothing is left",
        state=lambda: acme.state("vision"),
    )


def test_what_a_cluster_refuses_is_taken_back_and_another_revision_of_the_chart_is_rolled_out(acme: Company) -> None:
    charts = Charts(acme)
    acme.cluster.namespace(SMALL)
    acme.cluster.apply(
        secret("charts", SMALL, username=USER, password=PASSWORD), secret("small-keys", SMALL, server="k")
    )
    acme.cluster.apply(secret("small-git", FLUX, username=USER, password=PASSWORD))
    write(acme, replicas=1, revision=charts.commit("first"))
    acme.run("kubectl", "apply", "--filename", "clusters/small/flux/sync.yaml")
    acme.wait_until_out(SMALL, SMALL)

    acme.cluster.apply(*refuse_more_than_one())
    write(acme, replicas=2, revision=charts.head)
    acme.sync(SMALL)
    wait_until(lambda: condition(acme.release(SMALL, SMALL), "Stalled")["status"] == "True", "Flux gives up", 300)
    assert acme.history(SMALL, SMALL)[-1][1] == "deployed", "it has gone back"
    assert replicas(acme, "small-serving-cpu", SMALL) == 1

    (charts.folder / "charts/visionfleet/templates/notice.yaml").write_text(NOTICE)
    charts.commit("a notice", tag="v0.1.1")
    write(acme, replicas=1, revision="v0.1.1")
    acme.sync(SMALL)
    notice = ("get", "configmap/notice", f"--namespace={SMALL}")
    # its version is the same, its revision is not; values and chart come one after the other
    wait_until(lambda: acme.cluster.run_kubectl(*notice).returncode == 0, "the new chart is there", OUT_SECONDS)
    acme.wait_until_out(SMALL, SMALL)

    acme.run("kubectl", "delete", "--filename", "clusters/small/flux/sync.yaml")
    wait_until(lambda: acme.left(SMALL) == {"secret/charts", "secret/small-keys"}, "nothing is left")


class Charts:
    """The repository that has the chart, and a clone of it."""

    def __init__(self, acme: Company) -> None:
        self._acme = acme
        self.folder = acme.folder.with_name("charts")
        shutil.copytree(CHART, self.folder / "charts" / "visionfleet")
        self._git("init", "--quiet", "--initial-branch=main")
        self._git("remote", "add", "origin", acme.git.make("vision/visionfleet"))

    @property
    def head(self) -> str:
        """The last commit."""
        return self._git("rev-parse", "HEAD")

    def commit(self, message: str, tag: str = "latest") -> str:
        """What has changed, pushed; gives the commit."""
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)
        self._git("tag", tag)
        self._git("push", "--quiet", "origin", "main", tag)
        return self.head

    def _git(self, *arguments: str) -> str:
        return self._acme.run("git", *arguments, folder=self.folder)


def write(acme: Company, *, replicas: int, revision: str) -> None:
    """The small file with its tree, committed and pushed."""
    text = SMALL_FILE.replace("REPLICAS", str(replicas)).replace("REVISION", revision)
    file = acme.folder / SMALL / "visionfleet.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(acme.translate(text))
    acme.run("visionfleet", "render", "gitops", str(file), "--out", "clusters/small")
    acme.commit(f"{replicas} replicas of {revision}")


def refuse_more_than_one() -> Iterator[dict[str, object]]:
    """A rule of this cluster's owners, by which Deployments of the namespace have one replica."""
    name = {"name": POLICY}
    rules = [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}]
    scope = {"matchLabels": {"kubernetes.io/metadata.name": SMALL}}
    yield {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": name,
        "spec": {
            "matchConstraints": {"resourceRules": rules, "namespaceSelector": scope},
            "validations": [{"expression": "object.spec.replicas < 2", "message": "one replica is all you get"}],
        },
    }
    yield {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": name,
        "spec": {"policyName": POLICY, "validationActions": ["Deny"]},
    }


def secret(name: str, namespace: str, **content: str) -> dict[str, object]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}


def short(name: str) -> str:
    """`deployment.apps/x` as `deployment/x`."""
    kind, _, own = name.partition("/")
    return f"{kind.partition('.')[0]}/{own}"


def digest(acme: Company) -> str:
    """Of the folder that the hub's pods have."""
    hub = acme.cluster.get("deployment/vision-hub", f"--namespace={NAMESPACE}")
    return hub["spec"]["template"]["metadata"]["annotations"]["visionfleet.io/deployment"]


def scaler(acme: Company) -> dict[str, int]:
    return acme.cluster.get("hpa/vision-serving-cpu", f"--namespace={NAMESPACE}")["spec"]


def replicas(acme: Company, name: str, namespace: str = NAMESPACE) -> int:
    return acme.cluster.get(f"deployment/{name}", f"--namespace={namespace}")["spec"]["replicas"]
