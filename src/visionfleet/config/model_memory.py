"""What a server with models takes of a machine's memory, roughly.

The ONNX runtime holds the weights, a copy in the layout that its kernels want, and the activations of a picture;
Python, OpenCV and the server's own modules come before the first model.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from visionfleet.config.models import Model
from visionfleet.config.packages import weights_bytes

MEMORY_PER_WEIGHT = 3
SERVER_BYTES = 3 * 1024**3 // 2
GIBIBYTE = 1024**3


def model_sizes(models: Iterable[tuple[int, Model]]) -> dict[str, int]:
    """Bytes of the weights of each model; packages are looked at once, however many models share them."""
    known: dict[Path, int] = {}
    sizes: dict[str, int] = {}
    for _, model in models:
        if model.package not in known:
            known[model.package] = weights_bytes(model)
        sizes[model.id] = known[model.package]
    return sizes


def fit(sizes: Mapping[str, int], memory_gb: int) -> bool:
    """Whether the models of these sizes fit. No models always do."""
    return not sizes or _needed(sizes) <= memory_gb * GIBIBYTE


def need(sizes: Mapping[str, int]) -> str:
    """What they need, for messages."""
    server = _gigabytes(SERVER_BYTES)
    return f"{_gigabytes(_needed(sizes))}: {MEMORY_PER_WEIGHT} times their weights, and {server} for the server"


def largest(sizes: Mapping[str, int]) -> str:
    """The id of the largest."""
    return max(sizes, key=lambda name: sizes[name])


def _needed(sizes: Mapping[str, int]) -> int:
    return MEMORY_PER_WEIGHT * sum(sizes.values()) + SERVER_BYTES


def _gigabytes(size: int) -> str:
    return f"{size / GIBIBYTE:.1f} GB"
