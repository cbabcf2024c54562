"""What the hub may do in a cluster, and what it may not: on a real API server, in the hub's name."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import Any

import pytest

from tests.charts.objects import of_kind
from tests.charts.values import everything
from tests.engines.cluster import Cluster
from tests.engines.engine import wait_until
from tests.engines.helm import rendered

pytestmark = pytest.mark.engine

NAMESPACE = "permissions"  # its own: Jobs stay in it
HUB = f"system:serviceaccount:{NAMESPACE}:acme-hub"
KINDS = ("Role", "RoleBinding", "ServiceAccount", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
Job = dict[str, Any]


@pytest.fixture(scope="module")
def cluster(real_cluster: Cluster) -> Cluster:
    real_cluster.namespace(NAMESPACE)
    objects = rendered(everything(), namespace=NAMESPACE)
    real_cluster.apply(*(each for kind in KINDS for each in of_kind(objects, kind)))
    foreign = job({})
    # a policy takes effect a moment after it was made
    wait_until(lambda: "of its own workers" in create(real_cluster, foreign).stderr, "the policy is in force")
    return real_cluster


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """The pods of a worker's Job, as the chart has them."""
    [found, *_] = of_kind(rendered(everything(), namespace=NAMESPACE), "PodTemplate")
    return found["template"]


def job(template: dict[str, Any], name: str = "acme-one", **labels: str) -> Job:
    spec = {"restartPolicy": "Never", "containers": [{"name": "one", "image": "none:1"}], **template.get("spec", {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"suspend": True, "template": {"metadata": template.get("metadata", {}), "spec": spec}},
    }


def own(template: dict[str, Any], **changes: Any) -> Job:
    """A Job of the hub's own workers, with changes of its pods."""
    changed = copy.deepcopy(template)
    changed["spec"] |= changes
    labels = {"app.kubernetes.io/instance": "acme", "app.kubernetes.io/component": "worker"}
    return job(changed, **labels)


def create(cluster: Cluster, made: Job) -> subprocess.CompletedProcess[str]:
    arguments = ("create", "--dry-run=server", f"--as={HUB}", "--filename=-")
    return cluster.run_kubectl(*arguments, input=json.dumps(made))


def patch(cluster: Cluster, **changes: Any) -> subprocess.CompletedProcess[str]:
    """Change a Job as the hub does, without a look at it; `kubectl patch` gets it first, which the hub may not."""
    arguments = ("apply", "--server-side", "--force-conflicts", "--field-manager=hub", "--validate=false")
    changed = {"apiVersion": "batch/v1", "kind": "Job", **changes}
    return cluster.run_kubectl(*arguments, f"--as={HUB}", "--filename=-", input=json.dumps(changed))


@pytest.mark.parametrize(
    "may",
    [
        *(f"{verb} jobs.batch" for verb in ("create", "delete", "list", "patch")),
        *("list pods", "list events"),
        *("get podtemplates/acme-worker-cpu", "get podtemplates/acme-worker-gpu"),
    ],
)
def test_the_hub_may_do_what_the_executor_does(cluster: Cluster, may: str) -> None:
    assert _can(cluster, may) == "yes"


def test_the_hub_may_look_at_what_kueue_makes_of_its_jobs(cluster: Cluster) -> None:
    """`auth can-i` knows kinds of the cluster's own alone, and Kueue need not be there."""
    asked = {"namespace": NAMESPACE, "verb": "list", "group": "kueue.x-k8s.io", "resource": "workloads"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": HUB, "resourceAttributes": asked},
    }
    answer = cluster.kubectl("create", "--filename=-", "--output=json", input=json.dumps(review))
    assert json.loads(answer)["status"]["allowed"]


@pytest.mark.parametrize(
    "may_not",
    [
        *("get secrets", "list secrets", "create pods", "delete pods", "create pods/exec", "get configmaps"),
        *("get podtemplates/other", "deletecollection jobs.batch", "update jobs.batch"),
        *("list jobs.batch --namespace=default", "list nodes", "patch roles.rbac.authorization.k8s.io"),
        *("create serviceaccounts/token", "patch podtemplates/acme-worker-cpu"),
    ],
)
def test_the_hub_may_do_nothing_else(cluster: Cluster, may_not: str) -> None:
    assert _can(cluster, may_not) == "no"


def test_the_hub_makes_jobs_of_its_own_workers(cluster: Cluster, template: dict[str, Any]) -> None:
    done = create(cluster, own(template))
    assert done.returncode == 0, done.stderr


def test_the_hub_makes_no_job_of_another_release(cluster: Cluster, template: dict[str, Any]) -> None:
    labels = {"app.kubernetes.io/instance": "other", "app.kubernetes.io/component": "worker"}
    assert "the hub touches Jobs of its own workers alone" in create(cluster, job(template, **labels)).stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"serviceAccountName": "acme-hub"},
        {"automountServiceAccountToken": True},
        {
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "cache", "emptyDir": {}},
                {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            ]
        },
    ],
    ids=["account", "mounted", "projected"],
)
def test_no_worker_gets_a_token_of_the_cluster(
    cluster: Cluster, template: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert "no token of it" in create(cluster, own(template, **changes)).stderr


def test_the_hub_neither_deletes_nor_takes_over_a_job_of_somebody_else(
    cluster: Cluster, template: dict[str, Any]
) -> None:
    theirs = {**own(template), "metadata": {"name": "theirs", "namespace": NAMESPACE, "labels": {"team": "other"}}}
    cluster.apply(theirs)
    where = ("theirs", f"--namespace={NAMESPACE}", f"--as={HUB}")
    ours = {**theirs["metadata"], "labels": own(template)["metadata"]["labels"]}
    assert "of its own workers alone" in cluster.run_kubectl("delete", "job", *where).stderr
    assert "of its own workers alone" in patch(cluster, metadata=ours).stderr
    assert cluster.get("job", "theirs", f"--namespace={NAMESPACE}")["metadata"]["labels"]["team"] == "other"


def test_the_hub_patches_and_deletes_its_own(cluster: Cluster, template: dict[str, Any]) -> None:
    mine = own(template)
    cluster.kubectl("create", f"--as={HUB}", "--filename=-", input=json.dumps(mine))
    where = (mine["metadata"]["name"], f"--namespace={NAMESPACE}")
    done = patch(cluster, metadata=mine["metadata"], spec={"parallelism": 3})
    assert done.returncode == 0, done.stderr
    assert cluster.get("job", *where)["spec"]["parallelism"] == 3
    cluster.kubectl("delete", "job", *where, f"--as={HUB}")


def test_others_are_not_held_by_the_hubs_policy(cluster: Cluster, template: dict[str, Any]) -> None:
    theirs = job(template, name="free")
    cluster.kubectl("create", "--dry-run=server", "--filename=-", input=json.dumps(theirs))


def _can(cluster: Cluster, may: str) -> str:
    verb, *rest = may.split()
    where = [] if len(rest) > 1 else [f"--namespace={NAMESPACE}"]
    return cluster.run_kubectl("auth", "can-i", verb, *rest, *where, f"--as={HUB}").stdout.strip()
