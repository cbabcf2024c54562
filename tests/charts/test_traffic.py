"""How many servers the chart has, how a new version takes an old one's place, and how requests reach them."""

from __future__ import annotations

import re

import pytest

from tests.charts.objects import find, of_kind
from tests.charts.values import CPU, everything, serving
from tests.engines.helm import Object, rendered

pytestmark = pytest.mark.engine


def test_where_a_scaler_owns_the_count_the_deployment_has_none(objects: list[Object]) -> None:
    for pool in ("gpu", "busy", "rare", "plain"):
        assert "replicas" not in find(objects, "Deployment", f"acme-serving-{pool}")["spec"]
    [alone] = of_kind(rendered(serving(scaling={"min": 2, "max": 2})), "Deployment")
    assert alone["spec"]["replicas"] == 2


def test_with_no_gpu_spare_a_new_pod_waits_for_the_old_ones_end(objects: list[Object]) -> None:
    gpu = find(objects, "Deployment", "acme-serving-gpu")["spec"]["strategy"]["rollingUpdate"]
    cpu = find(objects, "Deployment", "acme-serving-busy")["spec"]["strategy"]["rollingUpdate"]
    assert (gpu, cpu) == ({"maxSurge": 0, "maxUnavailable": 1}, {"maxSurge": 1, "maxUnavailable": 0})


def test_a_drain_takes_one_replica_at_a_time_and_is_never_held_up(objects: list[Object]) -> None:
    for budget in of_kind(objects, "PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert of_kind(rendered(serving()), "PodDisruptionBudget") == [], "none over a single replica"


def test_an_autoscaler_looks_back_before_it_takes_servers_away(objects: list[Object]) -> None:
    hpa = find(objects, "HorizontalPodAutoscaler", "acme-serving-plain")["spec"]
    keda = find(objects, "ScaledObject", "acme-serving-busy")["spec"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (2, 3)
    assert hpa["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    for behavior in (hpa["behavior"], keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]):
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 300
        assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0


def test_requests_in_flight_are_the_time_of_requests_by_littles_law(objects: list[Object]) -> None:
    [trigger] = find(objects, "ScaledObject", "acme-serving-busy")["spec"]["triggers"]
    assert trigger["metadata"] == {
        "serverAddress": "http://prometheus:9090",
        "threshold": "4",
        "ignoreNullValues": "false",
        "query": "sum(rate(http_request_duration_seconds_sum"
        '{namespace="visionfleet",service="acme-serving-busy"}[1m]))',
    }


def test_gpus_are_those_of_the_pools_own_pods(objects: list[Object]) -> None:
    [trigger] = find(objects, "ScaledObject", "acme-serving-gpu")["spec"]["triggers"]
    asked = re.search(r'exported_pod=~"(.*?)"', trigger["metadata"]["query"])
    assert asked
    pods = (
        "acme-serving-gpu-6d4b8c9f7-x2x9z",
        "acme-serving-gpu-canary-6d4b8c9f7-x2x9z",
        "acme-serving-gpu-2-7c-abcde",
    )
    assert [bool(re.fullmatch(asked[1], pod)) for pod in pods] == [True, False, False]


def test_of_several_gpus_of_a_pod_it_is_the_mean_that_is_shared_out(objects: list[Object]) -> None:
    [trigger] = find(objects, "ScaledObject", "acme-serving-gpu")["spec"]["triggers"]
    assert trigger["metadata"]["query"].startswith("sum(avg by (exported_pod) (DCGM_FI_DEV_GPU_UTIL{")


def test_an_upgrade_may_make_keda_the_scaler_and_kubernetes_own_again(objects: list[Object]) -> None:
    """Helm makes what is new before it removes what is old, so both are there for a moment."""
    hpa = find(objects, "HorizontalPodAutoscaler", "acme-serving-plain")["metadata"]
    assert hpa["annotations"] == {"validations.keda.sh/hpa-ownership": "false"}, "KEDA's webhook would refuse"
    config = find(objects, "ScaledObject", "acme-serving-busy")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
    assert "name" not in config, "Helm would take KEDA's for its own, and lose it with the ScaledObject"


def test_what_the_add_on_makes_is_never_taken_for_what_the_chart_makes(objects: list[Object]) -> None:
    """It makes a ScaledObject of the same name, with the same labels, that goes with its own object."""
    own = {each["metadata"]["name"] for pool in (1, 2) for each in scaled_objects_of_a_pool_from(pool)}
    [asleep] = of_kind(scaled_objects_of_a_pool_from(0), "HTTPScaledObject")
    assert asleep["metadata"]["name"] not in own
    assert own


def test_a_prometheus_that_is_away_takes_no_server_away(objects: list[Object]) -> None:
    for pool in ("gpu", "busy"):
        fallback = find(objects, "ScaledObject", f"acme-serving-{pool}")["spec"]["fallback"]
        assert fallback["behavior"] == "currentReplicasIfHigher"


def test_a_cold_start_has_half_as_much_time_again_as_it_was_measured_to_take() -> None:
    scaling = {"scaler": "keda", "min": 0, "max": 1, "metric": "requests", "coldStartSeconds": 60}
    [scaled] = of_kind(rendered(serving(scaling=scaling)), "HTTPScaledObject")
    assert scaled["spec"]["timeouts"] == {"conditionWait": "90s", "responseHeader": "30s"}


def test_who_may_have_to_wait_for_a_first_pod_asks_the_add_on(objects: list[Object]) -> None:
    interceptor = "keda-add-ons-http-interceptor-proxy"
    wake = find(objects, "Service", "acme-serving-rare-wake")["spec"]
    assert wake["externalName"] == f"{interceptor}.keda.svc.cluster.local"
    [rule] = find(objects, "Ingress", "acme-serving-rare")["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] == "acme-serving-rare-wake"
    [rule] = find(objects, "HTTPRoute", "acme-serving-rare")["spec"]["rules"]
    assert [(each["name"], each["namespace"], each["port"]) for each in rule["backendRefs"]] == [
        (interceptor, "keda", 8080)
    ]
    hosts = find(objects, "HTTPScaledObject", "acme-serving-rare-wake")["spec"]["hosts"]
    assert {"rare.acme.example", "acme-serving-rare-wake", "acme-serving-rare-wake.visionfleet"} <= set(hosts)


def test_no_way_in_gives_up_before_a_first_pod_can_answer(objects: list[Object]) -> None:
    longest = 120 * 1.5 + 30  # the default cold start, and the longest request
    [rule] = find(objects, "HTTPRoute", "acme-serving-rare")["spec"]["rules"]
    assert rule["timeouts"]["request"] == f"{longest:.0f}s"
    annotations = find(objects, "Ingress", "acme-serving-rare")["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"] == f"{longest:.0f}"


def test_a_gateway_splits_requests_by_weight(objects: list[Object]) -> None:
    [rule] = find(objects, "HTTPRoute", "acme-serving-gpu")["spec"]["rules"]
    shares = {each["name"]: each["weight"] for each in rule["backendRefs"]}
    assert shares == {"acme-serving-gpu": 90, "acme-serving-gpu-canary": 10}
    for name, track in (("acme-serving-gpu", "stable"), ("acme-serving-gpu-canary", "canary")):
        assert find(objects, "Service", name)["spec"]["selector"]["visionfleet.io/track"] == track


def test_a_second_version_may_be_there_before_it_gets_requests() -> None:
    canary = {"image": {**CPU, "tag": "1.8.4"}, "weight": 0}
    gateway = {"enabled": True, "host": "cpu.acme.example", "parentRefs": [{"name": "public"}]}
    made = rendered(serving(canary=canary, exposure={"gateway": gateway}))
    [rule] = find(made, "HTTPRoute", "acme-serving-cpu")["spec"]["rules"]
    assert {each["name"]: each["weight"] for each in rule["backendRefs"]} == {
        "acme-serving-cpu": 100,
        "acme-serving-cpu-canary": 0,
    }
    assert find(made, "Deployment", "acme-serving-cpu-canary")["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("fewest", "weight", "replicas"),
    [(2, 30, 1), (8, 20, 2), (9, 10, 1), (1, 1, 1), (3, 75, 9), (4, 40, 3), (1, 60, 2)],
)
def test_without_a_gateway_a_canary_has_the_share_of_its_replicas(fewest: int, weight: int, replicas: int) -> None:
    canary = {"image": {**CPU, "tag": "1.8.4"}, "weight": weight}
    made = rendered(serving(scaling={"min": fewest, "max": fewest}, canary=canary))
    assert find(made, "Deployment", "acme-serving-cpu-canary")["spec"]["replicas"] == replicas
    misses = {count: abs(count / (count + fewest) - weight / 100) for count in range(1, 100)}
    assert misses[replicas] == min(misses.values()), "no other number is nearer"
    assert "visionfleet.io/track" not in find(made, "Service", "acme-serving-cpu")["spec"]["selector"]


def test_an_upload_has_its_limit_at_the_ingress(objects: list[Object]) -> None:
    for name in ("acme-hub", "acme-serving-rare"):
        annotations = find(objects, "Ingress", name)["metadata"]["annotations"]
        assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "20m"


def test_annotations_of_the_values_win_at_the_ingress() -> None:
    mine = {"nginx.ingress.kubernetes.io/proxy-body-size": "50m", "cert-manager.io/cluster-issuer": "letsencrypt"}
    ingress = {"enabled": True, "host": "cpu.acme.example", "annotations": mine}
    [made] = of_kind(rendered(serving(exposure={"ingress": ingress})), "Ingress")
    assert mine.items() <= made["metadata"]["annotations"].items()


def test_no_pod_is_reached_but_by_its_port_and_batch_workers_not_at_all(objects: list[Object]) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "NetworkPolicy")}
    assert all("Ingress" in policy["policyTypes"] for policy in policies.values())
    reached = {name: [rule["ports"] for rule in policy.get("ingress", [])] for name, policy in policies.items()}
    port = [[{"port": "http"}]]
    assert reached == {
        "acme-hub": port,
        "acme-serving": port,
        **{f"acme-{component}": [] for component in ("migration", "standing-worker", "worker")},
    }


def test_servers_do_not_reach_the_credentials_of_their_node(objects: list[Object]) -> None:
    for component in ("serving", "worker", "standing-worker"):
        rules = find(objects, "NetworkPolicy", f"acme-{component}")["spec"]["egress"]
        everywhere = [rule for rule in rules if any("ipBlock" in peer for peer in rule.get("to", []))]
        assert [rule["ports"] for rule in everywhere] == [[{"port": port}] for port in (9000, 443, 80)]
        for rule in everywhere:
            blocks = {peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"] for peer in rule["to"] if "ipBlock" in peer}
            assert {"169.254.0.0/16", "168.63.129.16/32"} <= set(blocks["0.0.0.0/0"])


def test_clients_of_the_values_are_the_only_ones_beside_the_releases_own_pods(objects: list[Object]) -> None:
    clients = everything()["networkPolicies"]["clients"]
    [hub] = find(objects, "NetworkPolicy", "acme-hub")["spec"]["ingress"]
    [servers] = find(objects, "NetworkPolicy", "acme-serving")["spec"]["ingress"]
    own = {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "acme"}}}
    add_on = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
    assert hub["from"] == [own, *clients]
    assert servers["from"] == [add_on, *clients]


def test_a_hub_elsewhere_is_reached_by_its_port() -> None:
    values = {**serving(), "hub": {"url": "http://hub.acme.example:8080"}}
    [policy] = of_kind(rendered(values), "NetworkPolicy")
    assert [{"port": 8080}] in [rule["ports"] for rule in policy["spec"]["egress"]]


def scaled_objects_of_a_pool_from(fewest: int) -> list[Object]:
    """What makes KEDA scale a pool that has so many replicas at least."""
    scaling = {"scaler": "keda", "min": fewest, "max": 3, "metric": "requests", "target": 4}
    made = rendered({**serving(scaling=scaling), "monitoring": {"prometheus": "http://prometheus:9090"}})
    return [each for each in made if each["kind"].endswith("ScaledObject")]
