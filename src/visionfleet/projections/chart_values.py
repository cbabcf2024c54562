"""The values of charts/visionfleet, typed: the chart's values.yaml and values.schema.json are made from these models.

A value keeps the name that it has in the file wherever both know it. Secrets are named here, never held.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from visionfleet.terms import AccessMode, CacheKind, Scaler, ScalingMetric

Strings = dict[str, str]
Objects = dict[str, Any]
Port = Annotated[int, Field(ge=1, le=65_535)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Percent = Annotated[int, Field(ge=0, le=99)]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")]
Digest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]


class Values(BaseModel):
    """A part of the values: unknown keys are refused, in the words of Kubernetes."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Image(Values):
    """An image, pinned by tag or by digest."""

    repository: str = Field(description="Repository with its registry.")
    tag: str = Field(default="", description="Tag; without a digest it is what is pulled.")
    digest: Digest = Field(default="", description="Digest, `sha256:…`; it is pulled whatever the tag says.")


class Resources(Values):
    """Requests and limits of a container, as Kubernetes writes them."""

    requests: Strings = Field(default={}, description="What the container gets for sure.")
    limits: Strings = Field(default={}, description="What it may take at most.")


class SecretKey(Values):
    """A key of a Secret that is there already."""

    name: str = Field(description="Name of the Secret.")
    key: str = Field(description="Its key.")


class ServiceAccount(Values):
    """The identity of pods."""

    name: str = Field(default="", description="Name; the component's full name unless given.")
    annotations: Strings = Field(default={}, description="Annotations, such as a cloud's role.")


class Placement(Values):
    """Where pods may run."""

    node_selector: Strings = Field(default={}, description="Labels that a node must have.")
    tolerations: list[Objects] = Field(default=[], description="Taints that pods put up with.")
    priority_class_name: str = Field(default="", description="Priority class.")
    runtime_class_name: str = Field(
        default="", description="Runtime class, such as nvidia where it is not the default."
    )


class Extra(Values):
    """What a cluster's own habits ask for beside the chart."""

    command: list[str] = Field(default=[], description="Command instead of the image's own.")
    env: list[Objects] = Field(default=[], description="Further environment variables.")
    volumes: list[Objects] = Field(default=[], description="Further volumes of the pod.")
    volume_mounts: list[Objects] = Field(default=[], description="Where they are mounted.")
    pod_annotations: Strings = Field(default={}, description="Further annotations of pods.")


class Ingress(Values):
    """An Ingress in front of a Service."""

    enabled: bool = Field(default=False, description="Make it.")
    class_name: str = Field(default="", description="Ingress class; the cluster's default unless given.")
    host: str = Field(default="", description="Host name.")
    tls_secret: str = Field(default="", description="Secret with the certificate.")
    annotations: Strings = Field(default={}, description="Annotations; the upload limit is added for ingress-nginx.")


class Gateway(Values):
    """An HTTPRoute (Gateway API) in front of a Service."""

    enabled: bool = Field(default=False, description="Make it.")
    parent_refs: list[Objects] = Field(default=[], description="Gateways that the route belongs to.")
    host: str = Field(default="", description="Host name.")


class Exposure(Values):
    """How callers outside of the cluster reach a Service; not at all unless given."""

    ingress: Ingress = Field(default=Ingress(), description="An Ingress.")
    gateway: Gateway = Field(default=Gateway(), description="A route of a Gateway.")


class Deployment(Values):
    """The deployment that the chart runs, and its folder in the hub's storage."""

    name: str = Field(default="visionfleet", description="Name of the deployment, as in the file; a label.")
    workspace: str = Field(default="", description="Workspace slug that clients see.")
    digest: Digest = Field(
        default="", description="Digest of the published folder: what `visionfleet hub publish` printed."
    )


class Storage(Values):
    """The hub's storage, from which pods fetch the deployment's folder before the hub starts."""

    url: str = Field(default="", description="s3://bucket/prefix.")
    endpoint: str = Field(default="", description="Address of a store that is not AWS's.")
    region: str = Field(default="", description="Region of the bucket.")
    access_key_id_variable: str = Field(
        default="",
        description="Environment variable of the hub's Secret with the access key's id; none with a pod identity.",
    )
    secret_access_key_variable: str = Field(default="", description="The one with the access key itself.")


class HubKey(Values):
    """An API key that the hub is to know from its first start: its text is a key of a Secret."""

    role: Literal["client", "worker", "server", "fleet"] = Field(description="What it may do.")
    name: str = Field(description="What the key is for.")
    secret: SecretKey = Field(description="Where the key is.")


class HubValues(Values):
    """The hub: workflows, models and batch processing for every deployment."""

    enabled: bool = Field(
        default=False, description="Run the hub here; it needs deployment.digest, storage.url and secretName."
    )
    url: str = Field(
        default="", description="URL of the hub for those outside; of a hub elsewhere where it is not run here."
    )
    replicas: Positive = Field(default=2, description="Pods.")
    port: Port = Field(default=9500, description="Port of pods and Service.")
    storage: Storage = Field(
        default=Storage(), description="Where staged images, results and the deployment's folder are."
    )
    secret_name: str = Field(
        default="",
        description="Secret whose keys become the environment variables that the file refers to as `env:NAME`.",
    )
    secret_keys: list[str] = Field(default=[], description="Those keys.")
    keys: list[HubKey] = Field(default=[], description="API keys that the migration brings into the database.")
    executor: bool = Field(default=True, description="Let the hub run batch workers as Jobs of this namespace.")
    service_account: ServiceAccount = Field(default=ServiceAccount(), description="Identity of its pods.")
    resources: Resources = Field(
        default=Resources(requests={"cpu": "250m", "memory": "512Mi"}, limits={"memory": "3Gi"}),
        description="Of a pod; a picture of 100 megapixels takes 700 MB for a moment.",
    )
    exposure: Exposure = Field(default=Exposure(), description="How callers outside reach it.")
    max_upload_mb: Positive = Field(default=20, description="Largest body of a request through the Ingress.")
    placement: Placement = Field(default=Placement(), description="Where its pods run.")
    extra: Extra = Field(default=Extra(), description="Additions.")


class Cache(Values):
    """The model cache."""

    kind: CacheKind = Field(default=CacheKind.NONE, description="none, claim or node.")
    size: Quantity = Field(default="20Gi", description="Size of the claim, or most that an emptyDir may take.")
    storage_class: str = Field(
        default="", description="Storage class of the claim; the cluster's default unless given."
    )
    access_mode: AccessMode = Field(
        default=AccessMode.MANY, description="How many nodes mount the claim; ReadWriteOnce is for a single pod."
    )
    existing_claim: str = Field(default="", description="A claim that is there already.")
    path: str = Field(
        default="",
        description="Folder of each node; it must be there, writable for group 10001. The chart makes its volume.",
    )


class Gpu(Values):
    """The GPUs of a pod."""

    count: Count = Field(default=0, description="nvidia.com/gpu that a pod asks for; 0 for none.")
    product: str = Field(default="", description="Label nvidia.com/gpu.product of the nodes; any unless given.")


class Server(Values):
    """An inference server: its image and its settings."""

    image: Image = Field(description="The official image for the hardware.")
    environment: Strings = Field(default={}, description="Settings of the server.")
    models: list[str] = Field(default=[], description="Models that are loaded before the pod is ready.")
    resources: Resources = Field(
        default=Resources(requests={"cpu": "1", "memory": "2Gi"}, limits={"memory": "4Gi"}),
        description="Of the server.",
    )
    gpu: Gpu = Field(default=Gpu(), description="Its GPUs.")
    cache: Cache = Field(default=Cache(), description="Where models are kept.")
    start_seconds: Positive = Field(default=600, description="Longest time until it is ready: image, models, engines.")
    placement: Placement = Field(default=Placement(), description="Where its pods run.")
    extra: Extra = Field(default=Extra(), description="Additions to its container and pods.")


class Scaling(Values):
    """How many replicas, and what decides it."""

    scaler: Scaler = Field(default=Scaler.NONE, description="none, hpa or keda.")
    min: Count = Field(default=1, description="Fewest replicas; 0 needs KEDA and its HTTP add-on.")
    max: Positive = Field(default=1, description="Most replicas.")
    metric: ScalingMetric = Field(
        default=ScalingMetric.CPU,
        description="requests in flight a replica, or percent of the GPU or CPU that is busy.",
    )
    target: Positive = Field(default=70, description="What the scaler aims at for each replica.")
    scale_up_seconds: Count = Field(default=0, description="Stabilisation window on the way up.")
    scale_down_seconds: Count = Field(
        default=300, description="Stabilisation window on the way down: a cold start is dear."
    )
    cold_start_seconds: Positive = Field(
        default=120, description="Measured time from nothing to ready; the HTTP add-on's timeout is derived from it."
    )


class Rollout(StrEnum):
    """How a new version takes the old one's place: beside it, or, where no GPU is spare, after it."""

    SURGE = "surge"
    REPLACE = "replace"


class Canary(Values):
    """A second version that gets a part of the requests."""

    image: Image = Field(description="Its image.")
    weight: Percent = Field(description="Percent of the requests; of the replicas where no Gateway splits them.")


class Pool(Server):
    """Replicas of one inference server, behind a Service of their own."""

    scaling: Scaling = Field(default=Scaling(), description="How many replicas.")
    rollout: Rollout = Field(default=Rollout.SURGE, description="surge, or replace where no GPU is spare.")
    canary: Canary | None = Field(default=None, description="A second version.")
    drain_seconds: Positive = Field(default=30, description="Longest request that an ending pod sees to its end.")
    disruptions: Positive = Field(default=1, description="Replicas that a drain of nodes may take at once.")
    exposure: Exposure = Field(default=Exposure(), description="How callers outside reach it.")


class Interceptor(Values):
    """The proxy of KEDA's HTTP add-on, as its own chart names it."""

    service: str = Field(default="keda-add-ons-http-interceptor-proxy", description="Its Service.")
    namespace: str = Field(default="keda", description="Namespace of the add-on.")
    port: Port = Field(default=8080, description="Its port.")


class ServingValues(Values):
    """The inference servers that answer requests."""

    enabled: bool = Field(default=True, description="Run them.")
    port: Port = Field(default=9001, description="Port of pods and Services.")
    max_upload_mb: Positive = Field(default=20, description="Largest body of a request through the Ingress.")
    key: SecretKey | None = Field(default=None, description="The hub's key of role server.")
    interceptor: Interceptor = Field(
        default=Interceptor(), description="What holds requests to pools whose fewest replicas are 0."
    )
    pools: dict[str, Pool] = Field(default={}, description="By name.")


class WorkerTemplate(Values):
    """What a batch worker's pod is like, for one machine type."""

    server: Server = Field(description="The inference server beside the worker.")
    resources: Resources = Field(
        default=Resources(requests={"cpu": "250m", "memory": "256Mi"}, limits={"memory": "1Gi"}),
        description="Of the worker.",
    )
    request_images: Positive = Field(default=8, description="Images that a worker sends in one request.")
    requests_in_flight: Positive = Field(default=4, description="Requests that a worker keeps in flight.")
    standing: Count = Field(default=0, description="Workers that always run, beside those of the executor's Jobs.")


class WorkerValues(Values):
    """Batch workers."""

    enabled: bool = Field(default=True, description="Make their pod templates.")
    key: SecretKey | None = Field(default=None, description="The hub's key of role worker.")
    service_account: ServiceAccount = Field(
        default=ServiceAccount(), description="Identity of their pods; it may do nothing."
    )
    templates: dict[str, WorkerTemplate] = Field(default={}, description="By machine type: cpu, gpu.")
    extra: Extra = Field(default=Extra(), description="Additions to the worker's container and pods.")


class Monitoring(Values):
    """Metrics."""

    service_monitor: bool = Field(default=False, description="Make ServiceMonitors for the Prometheus operator.")
    labels: Strings = Field(default={}, description="Labels by which a Prometheus picks them.")
    prometheus: str = Field(default="", description="URL of the Prometheus that KEDA asks.")


class NetworkPolicies(Values):
    """Who may talk to whom."""

    enabled: bool = Field(default=True, description="Make NetworkPolicies.")
    clients: list[Objects] = Field(default=[], description="Peers that may call servers and hub; all unless given.")
    destinations: list[Objects] = Field(default=[], description="Further peers that servers and workers may call.")


class ChartValues(Values):
    """Everything that the chart reads."""

    name_override: str = Field(
        default="", description="Full name of the release's objects; the release's name unless given."
    )
    deployment: Deployment = Field(default=Deployment(), description="What is deployed.")
    image: Image = Field(
        default=Image(repository="visionfleet/visionfleet"), description="The image of hub and workers."
    )
    image_pull_secrets: list[str] = Field(default=[], description="Secrets to pull images with.")
    hub: HubValues = Field(default=HubValues(), description="The hub.")
    serving: ServingValues = Field(default=ServingValues(), description="Serving.")
    worker: WorkerValues = Field(default=WorkerValues(), description="Batch workers.")
    monitoring: Monitoring = Field(default=Monitoring(), description="Metrics.")
    network_policies: NetworkPolicies = Field(default=NetworkPolicies(), description="Network policies.")
    karpenter: list[Objects] = Field(
        default=[], description="NodePools and EC2NodeClasses, as `visionfleet render karpenter` prints them."
    )
