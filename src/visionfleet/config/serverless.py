"""Section `serverless`: the hub, serving and batch workers on Kubernetes."""

from pydantic import Field

from visionfleet.config.cluster import Cluster
from visionfleet.config.gitops import GitOps
from visionfleet.config.kinds import Count, Digest, Label, PositiveCount, Registry, Repository, Url, Version
from visionfleet.config.kubernetes_kinds import Namespace, NodeLabels, ObjectName
from visionfleet.config.pods import Exposure, Gpus, Pod, Tolerations
from visionfleet.config.section import RuledSection, Section, defaults
from visionfleet.config.serving import ServingPool
from visionfleet.terms import NAMESPACE, Scaler


class HubImage(Section):
    """The image of hub and workers."""

    repository: Repository = Field(
        default="visionfleet/visionfleet", description="Repository, without registry and tag."
    )
    registry: Registry | None = Field(
        default=None, description="Registry that it comes from, with its prefix; `serverless.registry` unless given."
    )
    version: Version | None = Field(
        default=None, description="Version, in quotes; that of this visionfleet unless given."
    )
    digest: Digest | None = Field(default=None, description="Digest that pins the image instead of the version.")


class HubInCluster(Section):
    """The hub in the cluster."""

    enabled: bool = Field(
        default=True, strict=True, description="Whether the hub runs in the cluster; else servers ask `hub.url`."
    )
    replicas: PositiveCount = Field(default=2, description="Pods of the hub.")
    clients: tuple[Label, ...] = Field(
        default=(), description="Names of clients whose keys the hub knows from the start."
    )
    expose: Exposure | None = Field(
        default=None,
        discriminator="kind",
        description="How callers outside of the cluster reach it; not at all unless given.",
    )
    node_labels: NodeLabels = Field(default={}, description="Labels that the nodes must have.")
    tolerations: Tolerations = Field(default=(), description="Taints that the pods put up with.")
    priority_class: ObjectName | None = Field(default=None, description="Priority class of the pods.")


class CpuWorker(Pod):
    """The pods of batch workers on CPU machines: a worker, and the server that it asks."""

    standing: Count = Field(default=0, description="Workers that always run, beside those that jobs start.")


class GpuWorker(CpuWorker, Gpus):
    """The pods of batch workers on GPU machines: a worker, and the server that it asks."""


class WorkerPods(Section):
    """The pods of batch workers by machine type; how many there are stands in `batch.workers`."""

    cpu: CpuWorker = Field(default_factory=defaults(CpuWorker), description="Workers on CPU machines.")
    gpu: GpuWorker | None = Field(
        default=None, description="Workers on GPU machines; as by default where `batch.workers.gpu` asks for them."
    )


class SecretNames(Section):
    """The Secrets that hold what the file refers to. They are made before the deployment, by other means."""

    hub: ObjectName | None = Field(
        default=None,
        description="The one with the variables of the hub's `env:NAME`; `<name>-hub` unless given.",
    )
    keys: ObjectName | None = Field(
        default=None,
        description="The one with API keys: `server`, `worker`, `client-<name>` of each of `hub.clients`, and `fleet` "
        "where there are devices; `<name>-keys` unless given.",
    )
    pull: tuple[ObjectName, ...] = Field(default=(), description="Those that images are pulled with.")


class Monitoring(Section):
    """What the Prometheus operator is told."""

    service_monitor: bool = Field(
        default=False, strict=True, description="Whether ServiceMonitors are made for hub and servers."
    )
    labels: NodeLabels = Field(default={}, description="Labels by which a Prometheus picks them.")


class Serverless(RuledSection):
    """Hub, serving and batch workers on Kubernetes, and the cluster in AWS where one is to be made."""

    cluster: Cluster | None = Field(default=None, description="The cluster to make in AWS; none unless given.")
    namespace: Namespace = Field(default=NAMESPACE, description="Namespace that everything is in.")
    image: HubImage = Field(default_factory=defaults(HubImage), description="Image of hub and workers.")
    registry: Registry | None = Field(
        default=None,
        description="Registry that nodes pull from, with its prefix; `inference.registry` unless given. With "
        "`cloud.mirror`, what `visionfleet outputs` shows.",
    )
    secrets: SecretNames = Field(default_factory=defaults(SecretNames), description="Names of Secrets.")
    hub: HubInCluster = Field(default_factory=defaults(HubInCluster), description="The hub's pods.")
    serving: tuple[ServingPool, ...] = Field(default=(), description="The inference servers that answer requests.")
    workers: WorkerPods = Field(default_factory=defaults(WorkerPods), description="The pods of batch workers.")
    scaler: Scaler = Field(
        default=Scaler.HPA,
        description="What scales pools: Kubernetes' own autoscaler, KEDA, or nothing.",
    )
    prometheus: Url | None = Field(
        default=None,
        description="Prometheus that KEDA asks for requests and GPUs, as in `http://prometheus.monitoring:9090`.",
    )
    monitoring: Monitoring = Field(
        default_factory=defaults(Monitoring), description="Metrics for the Prometheus operator."
    )
    network_policies: bool = Field(
        default=True, strict=True, description="Whether pods reach, and are reached by, what they need alone."
    )
    max_upload_mb: PositiveCount = Field(
        default=20, description="Largest body of a request through an Ingress of ingress-nginx."
    )
    karpenter: bool = Field(
        default=False,
        strict=True,
        description="Whether the chart brings Karpenter's NodePools; else `visionfleet render karpenter` prints them.",
    )
    gitops: GitOps | None = Field(
        default=None, description="Where Argo CD or Flux find the chart and the rendered tree; not used unless given."
    )
