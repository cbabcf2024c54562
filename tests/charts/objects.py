"""Ways to look at the objects that the chart makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.engines.helm import Object

# the kinds of other projects, by the group of their API; a cluster without them does not know these objects
FOREIGN = {
    "gateway.networking.k8s.io": "gateway-api",
    "http.keda.sh": "keda-http",
    "karpenter.k8s.aws": "karpenter",
    "karpenter.sh": "karpenter",
    "keda.sh": "keda",
    "monitoring.coreos.com": "prometheus",
}


def group(made: Object) -> str:
    """The group of an object's API; empty for the core."""
    return made["apiVersion"].rpartition("/")[0]


def names(objects: Iterable[Object]) -> set[tuple[str, str]]:
    """Kind and name of each."""
    return {(made["kind"], made["metadata"]["name"]) for made in objects}


def of_kind(objects: Iterable[Object], kind: str) -> list[Object]:
    """Those of a kind."""
    return [made for made in objects if made["kind"] == kind]


def find(objects: Iterable[Object], kind: str, name: str) -> Object:
    """The one of that name."""
    return next(made for made in of_kind(objects, kind) if made["metadata"]["name"] == name)


def pods(objects: Iterable[Object]) -> Iterator[tuple[str, Object]]:
    """Kind and name of whatever makes pods, and the pods' template."""
    for made in objects:
        name = f"{made['kind']} {made['metadata']['name']}"
        if made["kind"] in ("Deployment", "Job"):
            yield name, made["spec"]["template"]
        if made["kind"] == "PodTemplate":
            yield name, made["template"]


def containers(template: Object) -> list[Object]:
    """All containers of a pod."""
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def server(objects: Iterable[Object], deployment: str) -> Object:
    """The container of the inference server."""
    [found] = find(objects, "Deployment", deployment)["spec"]["template"]["spec"]["containers"]
    return found


def variables(container: Object) -> dict[str, str]:
    """Its environment variables that are no secrets."""
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def secrets(container: Object) -> dict[str, tuple[str, str]]:
    """Those that are: the name of the Secret, and its key."""
    found = {each["name"]: each.get("valueFrom", {}).get("secretKeyRef") for each in container["env"]}
    return {name: (secret["name"], secret["key"]) for name, secret in found.items() if secret}
