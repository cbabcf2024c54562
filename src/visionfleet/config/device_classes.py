"""The device classes of the edge, as data: what is known of each beforehand, and the image of each JetPack.

L4T -> image: `_JETSON_IMAGES` of inference 1.8.3, inference_cli/lib/container_adapter.py, without tags, as the tag is
the version. JetPack -> L4T: https://developer.nvidia.com/embedded/jetpack-archive. JetPack 4 is left out, whose Python
3.6 is too old for Ansible's modules, and so is JetPack 7.1, which is for Thor alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class DeviceClass(StrEnum):
    """The device classes of the edge."""

    JETSON_ORIN_NANO = "jetson-orin-nano"
    JETSON_ORIN_NX = "jetson-orin-nx"
    JETSON_AGX_ORIN = "jetson-agx-orin"
    JETSON_XAVIER_NX = "jetson-xavier-nx"
    RASPBERRY_PI_4 = "raspberry-pi-4"
    RASPBERRY_PI_5 = "raspberry-pi-5"
    GENERIC_ARM64 = "generic-arm64"
    GENERIC_X86_64 = "generic-x86_64"
    GENERIC_X86_64_NVIDIA = "generic-x86_64-nvidia"


class Family(StrEnum):
    """What device classes have in common."""

    JETSON = "jetson"
    RASPBERRY_PI = "raspberry-pi"
    GENERIC = "generic"


class Runtime(StrEnum):
    """What gives a container its GPU: nothing, `--gpus all`, or on a Jetson `--runtime nvidia`."""

    CPU = "cpu"
    NVIDIA = "nvidia"
    JETSON = "jetson"


class Jetpack(StrEnum):
    """The releases of NVIDIA's software for Jetson."""

    V5_1 = "5.1"
    V6_0 = "6.0"
    V6_1 = "6.1"
    V6_2 = "6.2"
    V7_2 = "7.2"


class OperatingSystem(StrEnum):
    """The operating systems that a group can say its devices have."""

    DEBIAN_12 = "debian-12"
    DEBIAN_13 = "debian-13"
    UBUNTU_22_04 = "ubuntu-22.04"
    UBUNTU_24_04 = "ubuntu-24.04"
    RASPBERRY_PI_OS_12 = "raspberry-pi-os-12"
    RASPBERRY_PI_OS_13 = "raspberry-pi-os-13"


@dataclass(frozen=True, slots=True)
class DeviceClassFacts:
    """What is known of a device class. `device_tree`: what /proc/device-tree/model holds, one of them at least.

    `memory_gb` is the least that its models are sold with in numbers; a group says where its devices have another.
    `compute_capability` and `memory_gb` are None where they differ from device to device, or there is no GPU.
    """

    family: Family
    architecture: Literal["aarch64", "x86_64"]
    runtime: Runtime
    compute_capability: str | None = None
    memory_gb: int | None = None
    device_tree: tuple[str, ...] = ()
    jetpacks: tuple[Jetpack, ...] = ()


@dataclass(frozen=True, slots=True)
class JetPackFacts:
    """A JetPack. `l4t`: the first major and minor of /etc/nv_tegra_release; `image`: a repository without a tag."""

    l4t: tuple[int, int]
    image: str


_IMAGE = "roboflow/roboflow-inference-server-jetson-"
JETPACKS: Mapping[str, JetPackFacts] = {
    Jetpack.V5_1: JetPackFacts((35, 2), f"{_IMAGE}5.1.1"),
    Jetpack.V6_0: JetPackFacts((36, 3), f"{_IMAGE}6.0.0"),
    # its L4T is 36.4 as that of 6.2, which the minor alone does not tell apart: so the server's own rule has it, too
    Jetpack.V6_1: JetPackFacts((36, 4), f"{_IMAGE}6.2.0"),
    Jetpack.V6_2: JetPackFacts((36, 4), f"{_IMAGE}6.2.0"),
    Jetpack.V7_2: JetPackFacts((39, 2), f"{_IMAGE}7.2.0"),
}


def _orin(memory_gb: int, *device_tree: str) -> DeviceClassFacts:
    jetpacks = (Jetpack.V5_1, Jetpack.V6_0, Jetpack.V6_1, Jetpack.V6_2, Jetpack.V7_2)
    return DeviceClassFacts(Family.JETSON, "aarch64", Runtime.JETSON, "8.7", memory_gb, device_tree, jetpacks)


def _raspberry_pi(memory_gb: int, *device_tree: str) -> DeviceClassFacts:
    return DeviceClassFacts(Family.RASPBERRY_PI, "aarch64", Runtime.CPU, None, memory_gb, device_tree)


# Memory: data sheets of NVIDIA's modules and of Raspberry Pi Ltd. Compute capability: developer.nvidia.com/cuda-gpus.
# Device trees: JetPack 5 leaves "NVIDIA" or "Jetson" out of some names; "Raspberry Pi 4" is in that of the 400, too.
DEVICE_CLASSES: Mapping[DeviceClass, DeviceClassFacts] = {
    DeviceClass.JETSON_ORIN_NANO: _orin(8, "Orin Nano"),
    DeviceClass.JETSON_ORIN_NX: _orin(8, "Orin NX"),
    DeviceClass.JETSON_AGX_ORIN: _orin(32, "AGX Orin"),
    DeviceClass.JETSON_XAVIER_NX: DeviceClassFacts(
        Family.JETSON, "aarch64", Runtime.JETSON, "7.2", 8, ("Xavier NX",), (Jetpack.V5_1,)
    ),
    DeviceClass.RASPBERRY_PI_4: _raspberry_pi(4, "Raspberry Pi 4", "Raspberry Pi Compute Module 4"),
    DeviceClass.RASPBERRY_PI_5: _raspberry_pi(4, "Raspberry Pi 5", "Raspberry Pi Compute Module 5"),
    DeviceClass.GENERIC_ARM64: DeviceClassFacts(Family.GENERIC, "aarch64", Runtime.CPU),
    DeviceClass.GENERIC_X86_64: DeviceClassFacts(Family.GENERIC, "x86_64", Runtime.CPU),
    DeviceClass.GENERIC_X86_64_NVIDIA: DeviceClassFacts(Family.GENERIC, "x86_64", Runtime.NVIDIA),
}


def facts_of(hardware: object) -> DeviceClassFacts | None:
    """The facts of a class, in data that nothing has checked yet; None where it is none."""
    known = hardware if isinstance(hardware, str) and hardware in list(DeviceClass) else None
    return DEVICE_CLASSES[DeviceClass(known)] if known is not None else None
