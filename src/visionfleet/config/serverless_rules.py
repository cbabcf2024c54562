"""Rules between `serverless` and the rest of the file, on raw data.

Each saves an installation that fails halfway, or pods that wait for ever.
"""

from collections.abc import Iterator
from itertools import islice

from visionfleet.config.batch import Executor
from visionfleet.config.errors import near_miss
from visionfleet.config.machines import machine_of
from visionfleet.config.section import Breach, CrossRule, Location, entries, peek
from visionfleet.config.serving import Hardware, image_breaches, one_node_breach
from visionfleet.terms import NAMESPACE, AccessMode, GpuAutoscaler, Scaler, ScalingMetric

NAME_CHARACTERS = 63  # of a Service (RFC 1035)
SERVING_PARTS = len("-serving-") + len("-canary")


def _pools(data: object) -> Iterator[tuple[Location, object]]:
    for index, pool in enumerate(entries(peek(data, "serverless", "serving"))):
        yield ("serverless", "serving", index), pool


def _gpu_pods(data: object) -> Iterator[tuple[Location, object]]:
    """Whatever of the file asks for GPUs in the cluster."""
    yield from ((location, pool) for location, pool in _pools(data) if peek(pool, "hardware") == Hardware.GPU)
    workers = peek(data, "serverless", "workers", "gpu")
    if workers is not None:
        yield ("serverless", "workers", "gpu"), workers


def _names_unique(data: object) -> Iterator[Breach]:
    first: dict[str, Location] = {}
    for location, pool in _pools(data):
        name = peek(pool, "name")
        if isinstance(name, str) and first.setdefault(name, location) != location:
            rule = f"is also serverless.serving[{first[name][-1]}].name"
            yield Breach((*location, "name"), name, "duplicate-name", rule, "give each pool a name of its own")
    for location, pool in _pools(data):
        second = f"{peek(pool, 'name')}-canary"
        if peek(pool, "canary") is not None and second in first:
            rule = f"is also what the second version of serverless.serving[{location[-1]}] is called"
            yield Breach((*first[second], "name"), second, "duplicate-name", rule, "give the pool another name")


def _name_lengths(data: object) -> Iterator[Breach]:
    deployment = peek(data, "name")
    for location, pool in _pools(data):
        name = peek(pool, "name")
        if not isinstance(deployment, str) or not isinstance(name, str):
            continue
        most = NAME_CHARACTERS - SERVING_PARTS - len(deployment)
        if len(name) > most:
            rule = f"is over {most} characters, which the name of the deployment leaves to it in that of its Service"
            fix = "shorten it, or the name of the deployment"
            yield Breach((*location, "name"), name, "kubernetes-name", rule, fix)


def _scaler_of_scaling(data: object) -> Iterator[Breach]:
    """What the cluster's own autoscaler cannot do, KEDA does with a Prometheus, or its HTTP add-on."""
    scaler = peek(data, "serverless", "scaler", default=Scaler.HPA)
    for location, pool in _pools(data):
        kind = peek(pool, "scaling", "kind")
        if kind is not None and scaler == Scaler.NONE:
            rule = "is given, and serverless.scaler is none"
            fix = "write serverless.scaler: keda or hpa, or remove scaling"
            yield Breach((*location, "scaling"), None, "scaler-of-scaling", rule, fix)
        elif kind in (ScalingMetric.REQUESTS, ScalingMetric.GPU) and scaler == Scaler.HPA:
            rule = "is what Kubernetes' own autoscaler does not see, and serverless.scaler is hpa"
            fix = "write serverless.scaler: keda with serverless.prometheus, or kind: cpu"
            yield Breach((*location, "scaling", "kind"), kind, "scaler-of-scaling", rule, fix)
        elif peek(pool, "replicas", "min") == 0 and scaler in (Scaler.HPA, Scaler.NONE):
            rule = f"needs KEDA with its HTTP add-on, and serverless.scaler is {scaler}"
            fix = "write serverless.scaler: keda, or min: 1"
            yield Breach((*location, "replicas", "min"), 0, "scaler-of-scaling", rule, fix)


def _prometheus_of_keda(data: object) -> Iterator[Breach]:
    if peek(data, "serverless", "scaler") != Scaler.KEDA or peek(data, "serverless", "prometheus") is not None:
        return
    asking = (
        location
        for location, pool in _pools(data)
        # from zero, the HTTP add-on counts requests itself
        if peek(pool, "scaling", "kind") in (ScalingMetric.REQUESTS, ScalingMetric.GPU)
        and peek(pool, "replicas", "min") != 0
    )
    for location in islice(asking, 1):
        rule = f"is missing: KEDA asks it for what serverless.serving[{location[-1]}].scaling follows"
        fix = "add its URL in the cluster, as in 'http://prometheus.monitoring:9090', or write kind: cpu"
        yield Breach(("serverless", "prometheus"), None, "needs-prometheus", rule, fix)


def _models_known(data: object) -> Iterator[Breach]:
    known = {str(peek(model, "id")) for model in entries(peek(data, "models"))}
    for location, pool in _pools(data):
        for index, model in enumerate(entries(peek(pool, "models"))):
            if isinstance(model, str) and model not in known:
                place = (*location, "models", index)
                rule = "is not a model of the deployment"
                yield Breach(place, model, "unknown-model", rule, near_miss(model, sorted(known)))


def _gpus_of_cluster(data: object) -> Iterator[Breach]:
    """A pod whose GPUs no pool of nodes has waits for ever. Where the cluster is somebody else's, that is not known."""
    cluster = peek(data, "serverless", "cluster")
    if cluster is None:
        return
    nodes = _nodes(cluster)
    for location, pod in _gpu_pods(data):
        product, count = peek(pod, "product"), peek(pod, "gpus", default=1)
        alike = [gpus for label, gpus in nodes if product in (None, label)]
        if not nodes:
            rule = "asks for GPUs, and serverless.cluster.gpu has no pools"
            fix = "add a pool with instance_types, as in 'g6.xlarge', to serverless.cluster.gpu.pools"
            yield Breach(location, None, "gpu-of-cluster", rule, fix)
        elif isinstance(product, str) and not alike:
            rule = "is not the GPU of a pool in serverless.cluster.gpu.pools"
            yield Breach((*location, "product"), product, "gpu-of-cluster", rule, near_miss(product, _labels(nodes)))
        elif isinstance(count, int) and alike and count > max(alike):
            rule = f"is over {max(alike)}, the most that a node of serverless.cluster.gpu.pools has of them"
            fix = "lower it, or make a pool of larger instance types"
            yield Breach((*location, "gpus"), count, "gpu-of-cluster", rule, fix)


def _nodes(cluster: object) -> list[tuple[str, int]]:
    """Label and number of the GPUs of a node, for each pool that is right so far."""
    found: list[tuple[str, int]] = []
    for pool in entries(peek(cluster, "gpu", "pools")):
        machines = [machine_of(each) for each in entries(peek(pool, "instance_types"))]
        machine = next((each for each in machines if each and each.product), None)
        if machine is not None:
            found.append((str(peek(pool, "product") or machine.product), machine.gpus))
    return found


def _labels(nodes: list[tuple[str, int]]) -> list[str]:
    return list(dict.fromkeys(label for label, _ in nodes))


def _images(data: object) -> Iterator[Breach]:
    """`inference.image` serves wherever a pool names none."""
    image = peek(data, "inference", "image")
    breaches = (
        breach
        for location, pool in _pools(data)
        if peek(pool, "image") is None
        for breach in image_breaches(
            ("inference", "image"), image, peek(pool, "hardware"), f"serverless.serving[{location[-1]}].hardware"
        )
    )
    yield from islice(breaches, 1)  # one report for all: it is the one image that is wrong


def _hosts(data: object) -> Iterator[Breach]:
    """Each name leads to one place."""
    domain = peek(data, "domain")
    taken = {
        f"{peek(endpoint, 'name')}.{domain}": f"dedicated[{index}]"
        for index, endpoint in enumerate(entries(peek(data, "dedicated")))
    }
    for location, pool in _pools(data):
        if peek(pool, "expose") is None:
            continue
        given, name = peek(pool, "expose", "host"), peek(pool, "name")
        if given is None and domain is None:
            rule = "is missing, and domain is, too: callers reach the pool by a name"
            yield Breach((*location, "expose", "host"), None, "needs-host", rule, "add it, or domain")
            continue
        host, place = str(given or f"{name}.{domain}"), f"serverless.serving[{location[-1]}]"
        other = taken.setdefault(host, place)
        if other != place:
            at = (*location, "expose", "host") if given else (*location, "name")
            rule = f"makes the host '{host}', which is that of {other}"
            yield Breach(at, given or name, "duplicate-host", rule, "give each a host of its own")


def _hub_host(data: object) -> Iterator[Breach]:
    hub = peek(data, "serverless", "hub")
    if peek(hub, "expose") is not None and peek(hub, "expose", "host") is None and peek(data, "hub", "url") is None:
        rule = "is missing, and hub.url is, too: callers reach the hub by a name"
        fix = "add hub.url, as in 'https://hub.acme.example'"
        yield Breach(("serverless", "hub", "expose", "host"), None, "needs-host", rule, fix)


def _workers_of_batch(data: object) -> Iterator[Breach]:
    if peek(data, "serverless", "workers", "gpu") is not None and peek(data, "batch", "workers", "gpu") is None:
        rule = "describes pods that batch.workers.gpu asks for, and there is none"
        fix = "add batch.workers.gpu, as in {max: 2}, or remove the key"
        yield Breach(("serverless", "workers", "gpu"), None, "workers-of-batch", rule, fix)


def _cache_of_workers(data: object) -> Iterator[Breach]:
    makes_jobs = peek(data, "batch", "executor") == Executor.KUBERNETES
    for kind in ("cpu", "gpu"):
        pods = ("serverless", "workers", kind)
        most = peek(data, "batch", "workers", kind, "max", default=1) if makes_jobs else 0
        standing = peek(data, *pods, "standing", default=0)
        several = isinstance(most, int) and isinstance(standing, int) and most + standing > 1
        if several and peek(data, *pods, "cache", "access_mode") == AccessMode.ONCE:
            yield one_node_breach((*pods, "cache", "access_mode"), "there may be more than one worker")


def _namespace_of_identities(data: object) -> Iterator[Breach]:
    namespace = peek(data, "serverless", "namespace", default=NAMESPACE)
    if namespace != NAMESPACE and peek(data, "hub", "aws") is not None and peek(data, "serverless", "cluster"):
        rule = f"is not '{NAMESPACE}', whose pods alone may use the bucket of hub.aws"
        yield Breach(("serverless", "namespace"), namespace, "namespace-of-identities", rule, "remove the key")


def _karpenter_of_cluster(data: object) -> Iterator[Breach]:
    autoscaler = peek(data, "serverless", "cluster", "gpu", "autoscaler")
    if peek(data, "serverless", "karpenter") is True and autoscaler != GpuAutoscaler.KARPENTER:
        rule = "brings Karpenter's NodePools, and serverless.cluster.gpu.autoscaler is not karpenter"
        fix = "write autoscaler: karpenter there, or remove the key"
        yield Breach(("serverless", "karpenter"), True, "karpenter-of-cluster", rule, fix)


SERVERLESS_RULES: tuple[CrossRule, ...] = (
    *(_names_unique, _name_lengths, _scaler_of_scaling, _prometheus_of_keda, _models_known, _gpus_of_cluster),
    *(_images, _hosts, _hub_host, _workers_of_batch, _cache_of_workers, _namespace_of_identities),
    _karpenter_of_cluster,
)
