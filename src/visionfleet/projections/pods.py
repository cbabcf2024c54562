"""DeploymentConfig -> the inference servers of the chart's values: pools that serve, and templates of batch workers."""

from __future__ import annotations

from visionfleet.config import DeploymentConfig
from visionfleet.config.batch import WorkerPool
from visionfleet.config.pods import (
    CPU_MEMORY_GB,
    CPUS,
    CPUS_WITH_GPU,
    GPU_MEMORY_GB,
    ClaimCache,
    GatewayExposure,
    Gpus,
    NodeCache,
    Pod,
)
from visionfleet.config.pods import Cache as CacheSection
from visionfleet.config.pods import Exposure as ExposureSection
from visionfleet.config.serverless import CpuWorker, GpuWorker, HubInCluster
from visionfleet.config.serving import Canary as CanarySection
from visionfleet.config.serving import Hardware, ServingPool
from visionfleet.projections.chart_values import (
    Cache,
    Canary,
    Exposure,
    Gateway,
    Gpu,
    Image,
    Ingress,
    Placement,
    Pool,
    Resources,
    Rollout,
    Scaling,
    Server,
    WorkerTemplate,
)
from visionfleet.projections.headroom import has_headroom
from visionfleet.projections.images import Pin, ServerImage, fitting_repository, server_image
from visionfleet.projections.server import container_environment
from visionfleet.terms import Scaler


def hub_in_cluster(config: DeploymentConfig) -> str:
    """Where pods find the hub: its Service, or the hub elsewhere."""
    if config.serverless.hub.enabled:
        return f"http://{config.name}-hub:{config.hub.port}"
    return config.hub.public_url


def registry_of(config: DeploymentConfig) -> str | None:
    """What nodes pull from."""
    return config.serverless.registry or config.inference.registry


def serving_pools(config: DeploymentConfig) -> dict[str, Pool]:
    """The pools that serve, by name."""
    return {pool.name: _pool(config, pool) for pool in config.serverless.serving}


def worker_templates(config: DeploymentConfig) -> dict[str, WorkerTemplate]:
    """What the pods of batch workers are like, by machine type: those that `batch.workers` has."""
    pods, batch = config.serverless.workers, config.batch.workers
    found: dict[str, WorkerTemplate] = {}
    if batch.cpu.max:
        found["cpu"] = _template(config, pods.cpu, batch.cpu)
    if batch.gpu is not None and batch.gpu.max:
        found["gpu"] = _template(config, pods.gpu or GpuWorker(), batch.gpu)
    return found


def exposure(section: ExposureSection | None, host: str) -> Exposure:
    """How callers outside reach a Service, at `host` unless the file names another."""
    if section is None:
        return Exposure()
    if isinstance(section, GatewayExposure):
        parent = {
            "name": section.gateway.name,
            "namespace": section.gateway.namespace,
            "sectionName": section.gateway.listener,
        }
        given = {key: value for key, value in parent.items() if value is not None}
        return Exposure(gateway=Gateway(enabled=True, parent_refs=[given], host=section.host or host))
    ingress = Ingress(
        enabled=True,
        class_name=section.class_name or "",
        host=section.host or host,
        tls_secret=section.tls_secret or "",
        annotations=dict(section.annotations),
    )
    return Exposure(ingress=ingress)


def placement(pod: Pod | HubInCluster, runtime_class: str | None = None) -> Placement:
    """Where pods may run."""
    return Placement(
        node_selector=dict(pod.node_labels),
        tolerations=[toleration.model_dump(mode="json", exclude_none=True) for toleration in pod.tolerations],
        priority_class_name=pod.priority_class or "",
        runtime_class_name=runtime_class or "",
    )


def _pool(config: DeploymentConfig, pool: ServingPool) -> Pool:
    has_gpu = pool.hardware is Hardware.GPU
    known = [model.id for model in config.models]
    return Pool(
        image=_image(config, Pin(pool.image, pool.version, pool.digest), has_gpu=has_gpu),
        environment=container_environment(config, hub_in_cluster(config)),
        models=[model for model in known if pool.models is None or model in pool.models],
        resources=_resources(pool, has_gpu=has_gpu),
        gpu=_gpu(pool) if has_gpu else Gpu(),
        cache=_cache(pool.cache),
        start_seconds=pool.start_seconds,
        placement=placement(pool, pool.runtime_class),
        scaling=_scaling(config.serverless.scaler, pool),
        rollout=Rollout.SURGE if has_headroom(config, pool) else Rollout.REPLACE,
        canary=_canary(config, pool, pool.canary) if pool.canary else None,
        drain_seconds=pool.drain_seconds,
        exposure=exposure(pool.expose, f"{pool.name}.{config.domain}"),
    )


def _scaling(scaler: Scaler, pool: ServingPool) -> Scaling:
    if pool.scaling is None:
        return Scaling(min=pool.replicas.min, max=pool.replicas.most)
    return Scaling(
        scaler=scaler,
        min=pool.replicas.min,
        max=pool.replicas.most,
        metric=pool.scaling.kind,
        target=pool.scaling.target,
        scale_up_seconds=pool.scale_up_seconds,
        scale_down_seconds=pool.scale_down_seconds,
        cold_start_seconds=pool.cold_start_seconds,
    )


def _canary(config: DeploymentConfig, pool: ServingPool, canary: CanarySection) -> Canary:
    pin = Pin(pool.image, canary.version, canary.digest)
    return Canary(image=_image(config, pin, has_gpu=pool.hardware is Hardware.GPU), weight=canary.weight)


def _template(config: DeploymentConfig, pod: CpuWorker, batch: WorkerPool) -> WorkerTemplate:
    gpus = pod if isinstance(pod, GpuWorker) else None
    server = Server(
        image=_image(config, Pin(), has_gpu=gpus is not None),
        environment=container_environment(config, hub_in_cluster(config)),
        resources=_resources(pod, has_gpu=gpus is not None),
        gpu=_gpu(gpus) if gpus else Gpu(),
        cache=_cache(pod.cache),
        placement=placement(pod, gpus.runtime_class if gpus else None),
    )
    return WorkerTemplate(
        server=server,
        request_images=batch.request_images,
        requests_in_flight=batch.requests_in_flight,
        standing=pod.standing,
    )


def _image(config: DeploymentConfig, pin: Pin, *, has_gpu: bool) -> Image:
    fitting = fitting_repository(config, has_gpu=has_gpu)
    return chart_image(server_image(config, pin, fitting, registry_of(config)))


def chart_image(image: ServerImage) -> Image:
    """An image as the chart has it."""
    return Image(repository=image.repository, tag=image.tag, digest=image.digest or "")


def _resources(pod: Pod, *, has_gpu: bool) -> Resources:
    """Memory is what it gets and its most: a server that takes more would be ended when its neighbours need it."""
    cpus = pod.cpus or (CPUS_WITH_GPU if has_gpu else CPUS)
    memory = f"{pod.memory_gb or (GPU_MEMORY_GB if has_gpu else CPU_MEMORY_GB)}Gi"
    return Resources(requests={"cpu": _cpus(cpus), "memory": memory}, limits={"memory": memory})


def _cpus(cpus: float) -> str:
    return str(int(cpus)) if cpus.is_integer() else f"{round(cpus * 1000)}m"


def _gpu(gpus: Gpus) -> Gpu:
    return Gpu(count=gpus.gpus or 1, product=gpus.product or "")


def _cache(cache: CacheSection) -> Cache:
    size = f"{cache.size_gb}Gi"
    if isinstance(cache, NodeCache):
        return Cache(kind=cache.kind, size=size, path=cache.path)
    if isinstance(cache, ClaimCache):
        return Cache(
            kind=cache.kind,
            size=size,
            storage_class=cache.storage_class or "",
            access_mode=cache.access_mode,
            existing_claim=cache.claim or "",
        )
    return Cache(size=size)
