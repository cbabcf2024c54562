"""Which objects the chart makes of values, and which values it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.charts.objects import names, of_kind
from tests.charts.values import CPU, everything, key, merged, serving
from tests.engines.helm import CHART, Object, helm, rendered

pytestmark = pytest.mark.engine

EVERYTHING = {
    ("Deployment", "acme-hub"),
    ("Deployment", "acme-serving-busy"),
    ("Deployment", "acme-serving-gpu"),
    ("Deployment", "acme-serving-gpu-canary"),
    ("Deployment", "acme-serving-plain"),
    ("Deployment", "acme-serving-plain-canary"),
    ("Deployment", "acme-serving-rare"),
    ("Deployment", "acme-worker-cpu"),
    ("HTTPRoute", "acme-serving-gpu"),
    ("HTTPRoute", "acme-serving-rare"),
    ("HTTPScaledObject", "acme-serving-rare-wake"),
    ("HorizontalPodAutoscaler", "acme-serving-plain"),
    ("Ingress", "acme-hub"),
    ("Ingress", "acme-serving-rare"),
    ("Job", "acme-hub-migration"),
    ("NetworkPolicy", "acme-hub"),
    ("NetworkPolicy", "acme-migration"),
    ("NetworkPolicy", "acme-serving"),
    ("NetworkPolicy", "acme-standing-worker"),
    ("NetworkPolicy", "acme-worker"),
    ("NodePool", "l4"),
    ("PersistentVolume", "visionfleet-acme-serving-gpu-cache"),
    ("PersistentVolume", "visionfleet-acme-worker-gpu-cache"),
    ("PersistentVolumeClaim", "acme-serving-busy-cache"),
    ("PersistentVolumeClaim", "acme-serving-gpu-cache"),
    ("PersistentVolumeClaim", "acme-worker-gpu-cache"),
    ("PodDisruptionBudget", "acme-hub"),
    ("PodDisruptionBudget", "acme-serving-busy"),
    ("PodDisruptionBudget", "acme-serving-gpu"),
    ("PodDisruptionBudget", "acme-serving-plain"),
    ("PodDisruptionBudget", "acme-serving-rare"),
    ("PodTemplate", "acme-worker-cpu"),
    ("PodTemplate", "acme-worker-gpu"),
    ("ReferenceGrant", "visionfleet-acme-serving-rare"),
    ("Role", "acme-hub"),
    ("RoleBinding", "acme-hub"),
    ("ScaledObject", "acme-serving-busy"),
    ("ScaledObject", "acme-serving-gpu"),
    ("Service", "acme-hub"),
    ("Service", "acme-serving-busy"),
    ("Service", "acme-serving-gpu"),
    ("Service", "acme-serving-gpu-canary"),
    ("Service", "acme-serving-plain"),
    ("Service", "acme-serving-rare"),
    ("Service", "acme-serving-rare-wake"),
    ("ServiceAccount", "acme-hub"),
    ("ServiceAccount", "acme-hub-migration"),
    ("ServiceAccount", "acme-worker"),
    ("ServiceMonitor", "acme-hub"),
    ("ServiceMonitor", "acme-serving"),
    ("ValidatingAdmissionPolicy", "visionfleet-acme-hub"),
    ("ValidatingAdmissionPolicyBinding", "visionfleet-acme-hub"),
}
ONE_NODE = {"kind": "claim", "accessMode": "ReadWriteOnce"}
TWICE = [{"name": "A", "value": "2"}]
OF_THE_CHART = [{"name": "PORT", "value": "80"}]
OF_THE_KEY = [{"name": "ROBOFLOW_API_KEY", "valueFrom": {"secretKeyRef": key("other")}}]
CANARY = {"image": CPU, "weight": 10}
SERVING = {
    ("Deployment", "acme-serving-cpu"),
    ("NetworkPolicy", "acme-serving"),
    ("Service", "acme-serving-cpu"),
}


def test_the_objects_with_everything_on(objects: list[Object]) -> None:
    assert names(objects) == EVERYTHING
    assert len(objects) == len(EVERYTHING), "no object is there twice"


def test_the_objects_of_a_single_pool_that_asks_a_hub_elsewhere() -> None:
    assert names(rendered(serving())) == SERVING


def test_the_defaults_make_nothing_and_say_what_to_write() -> None:
    assert rendered({}) == []
    notes = helm("install", "acme", str(CHART), "--dry-run=client", values={}).stdout
    assert "visionfleet render helm" in notes


def test_the_notes_name_every_part_to_look_at() -> None:
    notes = helm("install", "acme", str(CHART), "--dry-run=client", values=everything()).stdout.partition("NOTES:")[2]
    told = {line.split()[-1] for line in notes.splitlines() if "rollout status" in line}
    waiting = {"hub", "worker-cpu", "serving-busy", "serving-gpu", "serving-plain"}
    assert told == {f"deployment/acme-{name}" for name in waiting}
    assert "http://acme-serving-rare-wake.default:8080" in notes, "it has no pod until it is asked"


def test_the_name_of_the_file_wins_over_the_releases() -> None:
    made = rendered({**serving(), "nameOverride": "line"}, release="acme")
    assert ("Service", "line-serving-cpu") in names(made)


@pytest.mark.parametrize("values", [{}, everything(), serving()], ids=["defaults", "everything", "serving"])
def test_lint_has_nothing_to_say(values: dict[str, Any]) -> None:
    done = helm("lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"deployment": {"digest": ""}}, "deployment.digest is empty"),
        ({"hub": {"storage": {"url": ""}}}, "hub.storage.url is empty"),
        ({"hub": {"storage": {"accessKeyIdVariable": ""}}}, "write both, or none"),
        ({"hub": {"secretName": ""}}, "hub.secretName is empty"),
        ({"hub": {"exposure": {"ingress": {"host": ""}}}}, "hub.exposure.ingress.host is empty"),
        ({"worker": {"enabled": False}}, "hub.executor is true, and no worker.templates are made"),
        ({"worker": {"key": None}}, "worker.key is missing"),
        ({"worker": {"templates": {"tpu": {"server": {"image": {"repository": "a"}}}}}}, "tpu is no machine type"),
        ({"monitoring": {"prometheus": ""}}, "monitoring.prometheus is empty"),
        ({"deployment": {"workspace": ""}}, "would answer everybody in the name of serving.key"),
        ({"serving": {"key": None}}, "serving.pools.busy.models are loaded with the hub's key of role server"),
        ({"serving": {"pools": {"rare": {"scaling": {"scaler": "hpa"}}}}}, "only KEDA"),
        ({"serving": {"pools": {"rare": {"scaling": {"metric": "cpu"}}}}}, "counts requests alone"),
        ({"serving": {"pools": {"plain": {"scaling": {"metric": "gpu"}}}}}, "hpa takes cpu alone"),
        ({"serving": {"pools": {"plain": {"scaling": {"min": 4}}}}}, "scaling.min is 4, and over max, which is 3"),
        ({"serving": {"pools": {"gpu": {"cache": {"path": ""}}}}}, "cache.kind is node, and its path is empty"),
        ({"serving": {"pools": {"gpu": {"exposure": {"gateway": {"host": ""}}}}}}, "gateway.host is empty"),
        ({"serving": {"pools": {"gpu": {"exposure": {"gateway": {"parentRefs": []}}}}}}, "parentRefs is empty"),
        ({"serving": {"pools": {"gpu-canary": {"image": {"repository": "a"}}}}}, "they would have one name"),
        ({"serving": {"pools": {"Big_One": {"image": {"repository": "a"}}}}}, "is not a name of Kubernetes"),
        ({"serving": {"pools": {"a" * 50: {"image": {"repository": "a"}}}}}, "longer than 63 characters"),
        (
            {"serving": {"pools": {"busy": {"image": {"tag": ""}}}}},
            "serving.pools.busy.image has neither tag nor digest",
        ),
        ({"serving": {"pools": {"plain": {"canary": {"image": {"tag": ""}}}}}}, "plain.canary.image has neither"),
        ({"worker": {"templates": {"cpu": {"server": {"image": {"tag": ""}}}}}}, "cpu.server.image has neither"),
        ({"serving": {"pools": {"plain": {"canary": {"weight": 0}}}}}, "without it each replica gets requests"),
        # a variable that is there already: from environment, from the chart, from the key
        (
            {"serving": {"pools": {"busy": {"environment": {"A": "1"}, "extra": {"env": TWICE}}}}},
            "busy.extra.env has A",
        ),
        ({"serving": {"pools": {"busy": {"extra": {"env": OF_THE_CHART}}}}}, "busy.extra.env has PORT"),
        ({"serving": {"pools": {"busy": {"extra": {"env": OF_THE_KEY}}}}}, "busy.extra.env has ROBOFLOW_API_KEY"),
        (
            {"worker": {"templates": {"cpu": {"server": {"extra": {"env": OF_THE_CHART}}}}}},
            "cpu.server.extra.env has PORT",
        ),
        # a volume of one node
        ({"serving": {"pools": {"busy": {"cache": {"accessMode": "ReadWriteOnce"}}}}}, "may have several pods"),
        ({"serving": {"pools": {"one": {"image": CPU, "cache": ONE_NODE}}}}, "Write rollout: replace"),
        ({"serving": {"pools": {"one": {"image": CPU, "cache": ONE_NODE, "canary": CANARY}}}}, "may have several pods"),
        ({"nameOverride": "1st"}, "nameOverride, 1st, is not the beginning of a Service's name"),
        ({"nameOverride": "acme.vision"}, "is not the beginning of a Service's name"),
        ({"nameOverride": "a" * 50}, "nameOverride has 50 characters, and 49 at most"),
        # what the schema finds out
        ({"hub": {"replica": 3}}, "additional properties 'replica' not allowed"),
        ({"hub": {"replicas": 0}}, "minimum: got 0, want 1"),
        ({"hub": {"port": "http"}}, "at '/hub/port': got string, want integer"),
        ({"deployment": {"digest": "latest"}}, "'latest' does not match pattern"),
        ({"image": {"digest": "latest"}}, "at '/image/digest': 'latest' does not match pattern"),
        ({"hub": {"keys": [{"role": "admin", "name": "a", "secret": key("a")}]}}, "value must be one of 'client'"),
        ({"serving": {"pools": {"busy": {"cache": {"accessMode": "Many"}}}}}, "value must be one of 'ReadWriteMany'"),
        ({"serving": {"pools": {"none": {"models": []}}}}, "at '/serving/pools/none': missing property 'image'"),
        ({"serving": {"pools": {"gpu": {"canary": {"weight": 100}}}}}, "maximum: got 100, want 99"),
        ({"serving": {"pools": {"gpu": {"rollout": "recreate"}}}}, "value must be one of 'surge', 'replace'"),
        ({"serving": {"pools": {"gpu": {"disruptions": 0}}}}, "minimum: got 0, want 1"),
    ],
)
def test_values_that_cannot_be_are_refused_with_their_place(change: dict[str, Any], said: str) -> None:
    done = helm("template", "acme", str(CHART), values=merged(everything(), change))
    assert done.returncode != 0
    assert said in done.stderr


def test_a_volume_of_one_node_is_for_a_single_pod_that_goes_before_the_next_comes() -> None:
    [made] = of_kind(rendered(serving(cache=ONE_NODE, rollout="replace")), "PersistentVolumeClaim")
    assert made["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_the_longest_name_makes_names_that_kubernetes_takes() -> None:
    made = rendered({**everything(), "nameOverride": "a" * 41})
    limited = [each for each in made if each["kind"] in ("Service", "Job")]
    assert limited
    assert max(len(each["metadata"]["name"]) for each in limited) <= 63


def test_every_contradiction_is_told_at_once() -> None:
    change = {"deployment": {"digest": ""}, "hub": {"secretName": ""}, "monitoring": {"prometheus": ""}}
    done = helm("template", "acme", str(CHART), values=merged(everything(), change))
    told = [line for line in done.stderr.splitlines() if " is empty: " in line]
    assert len(told) == 4, "digest, secretName, and prometheus for each of two pools"
