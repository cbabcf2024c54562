"""DeploymentConfig -> the environment of the Roboflow Inference server, the same wherever it runs.

The names and defaults are those of inference 1.8.3 (inference/core/env.py, inference_models/configuration.py). Keys are
no part of it: who starts the server adds ROBOFLOW_API_KEY from a secret.

What it guards against: a client's key may run any workflow that it sends along, so whatever a workflow may do, every
client may do. Hence the server's open defaults are closed here, as the hosted platform closes them.
"""

from pathlib import Path

from visionfleet.config import DeploymentConfig

WORKFLOW_CACHE_SECONDS = 60
CONTAINER_CACHE = Path("/cache")
# a container listens for what is passed on to it; its root is read-only
_IN_CONTAINER = {"HOST": "0.0.0.0", "HOME": "/tmp", "MPLCONFIGDIR": "/tmp/matplotlib"}  # noqa: S104, S108

# No block of a workflow, and no image reference, reaches the machine that it runs on or the network that it is in.
_SANDBOX = {
    "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS": "False",
    "ALLOW_WORKFLOW_BLOCKS_ACCESSING_ENVIRONMENTAL_VARIABLES": "False",  # the server's own key is one of them
    "ALLOW_WORKFLOW_BLOCKS_ACCESSING_LOCAL_STORAGE": "False",
    "ALLOW_LOADING_IMAGES_FROM_LOCAL_FILESYSTEM": "False",
    # an image's URL may be public (hosted clients send such), but never lead into the private network
    "ALLOW_URL_TO_NON_GLOBAL_ADDRESSES": "False",
    "VALIDATE_IMAGE_URL_REDIRECTS": "True",
    "ALLOW_WEBHOOK_WORKFLOWS_SINK_TO_NON_GLOBAL_ADDRESSES": "False",
    "ALLOW_POSTGRESQL_WORKFLOWS_SINK_TO_NON_GLOBAL_ADDRESSES": "False",
    "KAFKA_WORKFLOWS_SINKS_ALLOW_USER_PROVIDED_BOOTSTRAP_SERVERS": "False",
    "MQTT_WORKFLOWS_BLOCKS_ALLOW_USER_PROVIDED_HOST": "False",
    "WEBRTC_WORKER_ENABLED": "False",  # opens UDP ports and asks public STUN servers
}

# Nothing leaves for Roboflow, GitHub or Hugging Face: the hub is the only platform that the server knows.
_NO_PHONING_HOME = {
    "DISABLE_VERSION_CHECK": "True",
    "METRICS_ENABLED": "False",
    "ACTIVE_LEARNING_ENABLED": "False",  # would register images with the platform
    # usage is told to the hub (API_BASE_URL); what it does not take is kept in memory and not on disk
    "TELEMETRY_USE_PERSISTENT_QUEUE": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "YOLO_OFFLINE": "True",
    "ALLOW_WORKFLOWS_FONTS_DOWNLOAD": "False",
}

# Foundation models, whose weights only Roboflow's platform serves. Importing them takes half of the 10 s to readiness.
_FOUNDATION_MODELS = (
    "ACTION_RECOGNITION_ENABLED",
    "CORE_MODEL_CLIP_ENABLED",
    "CORE_MODEL_DOCTR_ENABLED",
    "CORE_MODEL_EASYOCR_ENABLED",
    "CORE_MODEL_GAZE_ENABLED",
    "CORE_MODEL_GROUNDINGDINO_ENABLED",
    "CORE_MODEL_OWLV2_ENABLED",
    "CORE_MODEL_PE_ENABLED",
    "CORE_MODEL_PPOCR_ENABLED",
    "CORE_MODEL_SAM2_ENABLED",
    "CORE_MODEL_SAM3_ENABLED",
    "CORE_MODEL_SAM_ENABLED",
    "CORE_MODEL_TROCR_ENABLED",
    "CORE_MODEL_YOLO_WORLD_ENABLED",
    "COSMOS3_ENABLED",
    "DEPTH_ESTIMATION_ENABLED",
    "FLORENCE2_ENABLED",
    "GLM_OCR_ENABLED",
    "MOONDREAM2_ENABLED",
    "PALIGEMMA_ENABLED",
    "QWEN_2_5_ENABLED",
    "QWEN_3_5_ENABLED",
    "QWEN_3_8_ENABLED",
    "QWEN_3_ENABLED",
    "SMOLVLM2_ENABLED",
    "VJEPA2_1_ENABLED",
)


def server_environment(config: DeploymentConfig, hub_url: str, cache_dir: Path) -> dict[str, str]:
    """The server's settings; `hub_url` and `cache_dir` are the hub and a folder as the server reaches them."""
    hub_url = hub_url.rstrip("/")
    return {
        "HOST": config.inference.host,
        "PORT": str(config.inference.port),
        "API_BASE_URL": hub_url,
        "ROBOFLOW_API_HOST": hub_url,
        # a request needs a key of this workspace; without it the server answers everybody in the name of its own key
        "DEDICATED_DEPLOYMENT_WORKSPACE_URL": config.workspace,
        "MODEL_CACHE_DIR": str(cache_dir),
        "ATOMIC_CACHE_WRITES_ENABLED": "True",  # servers on one machine share the folder
        "WORKFLOWS_DEFINITION_CACHE_EXPIRY": str(WORKFLOW_CACHE_SECONDS),  # a changed workflow is seen within a minute
        "ENABLE_PROMETHEUS": "True",
        **_SANDBOX,
        **_NO_PHONING_HOME,
        **dict.fromkeys(_FOUNDATION_MODELS, "False"),
    }


def container_environment(config: DeploymentConfig, hub_url: str) -> dict[str, str]:
    """The same in a container with a read-only root, where `/cache` and `/tmp` can be written."""
    return server_environment(config, hub_url, CONTAINER_CACHE) | _IN_CONTAINER
