"""Section `edge`: the devices at the edge, in groups that are alike."""

from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from visionfleet.config.kinds import Host, Label
from visionfleet.config.section import Breach, RuledSection, Section, entries, peek


class DeviceClass(StrEnum):
    """The device classes of the edge."""

    JETSON_ORIN_NANO = "jetson-orin-nano"
    JETSON_ORIN_NX = "jetson-orin-nx"
    JETSON_AGX_ORIN = "jetson-agx-orin"
    RASPBERRY_PI_4 = "raspberry-pi-4"
    RASPBERRY_PI_5 = "raspberry-pi-5"


class Device(Section):
    """A device."""

    name: Label = Field(description="Name of the device, its own in the whole file.")
    address: Host = Field(description="Address or name under which it is reached.")


class DeviceGroup(Section):
    """Devices of one kind, which are released to together."""

    name: Label = Field(description="Name of the group.")
    hardware: DeviceClass = Field(description="What the devices are.")
    devices: tuple[Device, ...] = Field(default=(), description="The devices.")


def _names_unique(data: object) -> Iterator[Breach]:
    """Names are inventory names: of two groups or two devices alike, one would vanish."""
    groups: dict[str, str] = {}
    devices: dict[str, str] = {}
    for number, group in enumerate(entries(peek(data, "groups"))):
        yield from _repeated(groups, ("groups", number, "name"), peek(group, "name"), "group")
        for index, device in enumerate(entries(peek(group, "devices"))):
            place = ("groups", number, "devices", index, "name")
            yield from _repeated(devices, place, peek(device, "name"), "device")


def _repeated(seen: dict[str, str], place: tuple[str | int, ...], name: object, noun: str) -> Iterator[Breach]:
    if not isinstance(name, str):
        return
    if name in seen:
        rule = f"is also the name of edge.{seen[name]}"
        yield Breach(place, name, "duplicate-name", rule, f"give each {noun} a name of its own")
        return
    group, *device = (part for part in place if isinstance(part, int))
    seen[name] = f"groups[{group}].devices[{device[0]}]" if device else f"groups[{group}]"


class Edge(RuledSection):
    """The devices at the edge. They are no resources of the cloud."""

    cross_rules = (_names_unique,)

    groups: tuple[DeviceGroup, ...] = Field(default=(), description="The groups of devices.")
