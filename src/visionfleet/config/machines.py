"""EC2's machines as far as the file needs them: the GPUs of an instance type, and the types that no image runs on.

GPUs: https://aws.amazon.com/ec2/instance-types/accelerated-computing/. Product labels: what NVIDIA's GPU feature
discovery makes of the name that the driver gives, blanks as '-'.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from visionfleet.config.aws_kinds import INSTANCE_TYPE
from visionfleet.config.errors import near_miss
from visionfleet.config.section import refusal


class Gpu(StrEnum):
    """The GPUs of EC2, as device classes."""

    T4 = "nvidia-t4"
    A10G = "nvidia-a10g"
    L4 = "nvidia-l4"
    L40S = "nvidia-l40s"
    A100 = "nvidia-a100"
    H100 = "nvidia-h100"
    H200 = "nvidia-h200"


@dataclass(frozen=True, slots=True)
class GpuFamily:
    """Instance types of one family. `sizes`: how many GPUs each size has."""

    gpu: Gpu
    product: str
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Machine:
    """An instance type; `gpu` and `product` are None where it has no GPU."""

    gpu: Gpu | None = None
    product: str | None = None
    gpus: int = 0


_ONE = ("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")
_G5_SIZES = {**dict.fromkeys(_ONE, 1), "12xlarge": 4, "24xlarge": 4, "48xlarge": 8}
GPU_FAMILIES: Mapping[str, GpuFamily] = {
    "g4dn": GpuFamily(Gpu.T4, "Tesla-T4", {**dict.fromkeys(_ONE, 1), "12xlarge": 4, "metal": 8}),
    "g5": GpuFamily(Gpu.A10G, "NVIDIA-A10G", _G5_SIZES),
    "g6": GpuFamily(Gpu.L4, "NVIDIA-L4", _G5_SIZES),
    "gr6": GpuFamily(Gpu.L4, "NVIDIA-L4", {"4xlarge": 1, "8xlarge": 1}),
    "g6e": GpuFamily(Gpu.L40S, "NVIDIA-L40S", _G5_SIZES),
    "p4d": GpuFamily(Gpu.A100, "NVIDIA-A100-SXM4-40GB", {"24xlarge": 8}),
    "p4de": GpuFamily(Gpu.A100, "NVIDIA-A100-SXM4-80GB", {"24xlarge": 8}),
    "p5": GpuFamily(Gpu.H100, "NVIDIA-H100-80GB-HBM3", {"4xlarge": 1, "48xlarge": 8}),
    "p5e": GpuFamily(Gpu.H200, "NVIDIA-H200", {"48xlarge": 8}),
    "p5en": GpuFamily(Gpu.H200, "NVIDIA-H200", {"48xlarge": 8}),
}
# G and P are families with GPUs, the others have accelerators that the server's images do not use
_ACCELERATED = re.compile(r"(g|gr|p|inf|trn|dl|vt|f)[0-9]")
_ARM = re.compile(r"a1|[a-z]+[0-9]+[a-z]*g[a-z]*")  # the letter after the generation: Graviton
_MAC = re.compile(r"mac[0-9]")


def machine_of(instance_type: object) -> Machine | None:
    """The machine of an instance type, in data that nothing has checked yet; None where it is none to use."""
    if not isinstance(instance_type, str) or not re.fullmatch(INSTANCE_TYPE.pattern, instance_type):
        return None
    if _fault(instance_type) is not None:
        return None
    family, _, size = instance_type.partition(".")
    known = GPU_FAMILIES.get(family)
    return Machine(known.gpu, known.product, known.sizes[size]) if known else Machine()


def types_with(gpu: Gpu) -> str:
    """The families that have a GPU, for messages."""
    return ", ".join(family for family, known in GPU_FAMILIES.items() if known.gpu is gpu)


def _fault(instance_type: str) -> tuple[str, str] | None:
    """The rule that an instance type of the right form breaks, and the fix."""
    family, _, size = instance_type.partition(".")
    known = GPU_FAMILIES.get(family)
    if known is not None:
        fix = near_miss(instance_type, [f"{family}.{each}" for each in known.sizes])
        return None if size in known.sizes else (f"is not a size of family {family}", fix)
    if _ARM.fullmatch(family):
        fix = "take a type with a processor of Intel or AMD, as in 'm6i.xlarge' or 'g6.xlarge'"
        return "has an ARM processor, and the inference server's images are for x86-64", fix
    if _ACCELERATED.match(family):
        return "has an accelerator that is not known here", f"known families: {', '.join(GPU_FAMILIES)}"
    if _MAC.match(family):
        return "is a Mac", "take a machine that runs Linux, as in 'g6.xlarge'"
    return None


def _check_instance_type(instance_type: str) -> str:
    fault = _fault(instance_type)
    if fault is not None:
        raise refusal("instance-type", *fault)
    return instance_type


InstanceType = Annotated[str, Field(pattern=INSTANCE_TYPE.pattern), AfterValidator(_check_instance_type)]
