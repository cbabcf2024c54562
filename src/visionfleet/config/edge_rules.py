"""Rules across the fields of the section `edge`, and between it and the rest of the file, on raw data."""

import ipaddress
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import TypeGuard

from visionfleet.config.device_classes import JETPACKS, DeviceClassFacts, Family, Jetpack, Runtime, facts_of
from visionfleet.config.errors import near_miss, path_text
from visionfleet.config.kinds import MODEL_ID, TextRule
from visionfleet.config.rows import Row
from visionfleet.config.section import Breach, CrossRule, Location, entries, mapping, peek

SSH_PORT = 22
SERVED = ("models", "workflows")
RESERVED_NAMES = frozenset(("all", "edge", "localhost", "ungrouped"))  # of Ansible, and of the inventory's first group
MOST_UNKNOWN = 1000  # a near miss is dear, and more are not shown
_RASPBERRY_PI_OS = "raspberry-pi-os"


def account_whole(data: object) -> Iterator[Breach]:
    """User and password of a registry come together."""
    for key, other in (("user", "password"), ("password", "user")):
        if peek(data, key) is None and peek(data, other) is not None:
            rule = f"is missing, and {other} is given"
            yield Breach((key,), None, "half-an-account", rule, f"add {key}, or remove {other}")


def one_question(data: object) -> Iterator[Breach]:
    """A golden asks a model or a workflow."""
    given = [key for key in ("model", "workflow") if peek(data, key) is not None]
    if len(given) != 1:
        location = ("workflow",) if given else ("model",)
        rule = "is given, and model is, too" if given else "is missing, and workflow is, too"
        yield Breach(location, peek(data, *location), "golden-question", rule, "name one of them, which is asked")


def jetpack_of_hardware(data: object) -> Iterator[Breach]:
    """The JetPack decides the image of a Jetson, and nothing elsewhere."""
    hardware, jetpack = peek(data, "hardware"), peek(data, "jetpack")
    facts = facts_of(hardware)
    if facts is None or (jetpack is not None and jetpack not in list(Jetpack)):
        return
    known = ", ".join(f'"{each}"' for each in facts.jetpacks)
    if not facts.jetpacks and jetpack is not None:
        rule = f"is software of Jetsons, and hardware is {hardware}"
        yield Breach(("jetpack",), jetpack, "jetpack-of-hardware", rule, "remove it, or mend hardware")
    elif facts.jetpacks and jetpack is None:
        rule = f"is missing: it decides the image of a {hardware}"
        yield Breach(("jetpack",), None, "jetpack-of-hardware", rule, f"add it, one of: {known}")
    elif facts.jetpacks and jetpack not in facts.jetpacks:
        rule = f"does not run on hardware {hardware}"
        yield Breach(("jetpack",), jetpack, "jetpack-of-hardware", rule, f"known of it: {known}")


def os_of_hardware(data: object) -> Iterator[Breach]:
    """A Jetson's operating system is that of its JetPack, and Raspberry Pi OS is Raspberry Pi's."""
    hardware, system = peek(data, "hardware"), peek(data, "os")
    facts = facts_of(hardware)
    if facts is None or not isinstance(system, str):
        return
    if facts.family is Family.JETSON:
        rule = f"is given, and hardware is {hardware}, whose system comes with its jetpack"
        yield Breach(("os",), system, "os-of-hardware", rule, "remove it")
    elif system.startswith(_RASPBERRY_PI_OS) and facts.family is not Family.RASPBERRY_PI:
        rule = f"is a system of Raspberry Pis, and hardware is {hardware}"
        yield Breach(("os",), system, "os-of-hardware", rule, "remove it, or mend hardware")


def power_of_hardware(data: object) -> Iterator[Breach]:
    """Only a Jetson has nvpmodel."""
    facts = facts_of(peek(data, "hardware"))
    if facts is not None and facts.family is not Family.JETSON and peek(data, "power") is not None:
        rule = f"is that of a Jetson, and hardware is {peek(data, 'hardware')}"
        yield Breach(("power",), None, "power-of-hardware", rule, "remove it, or mend hardware")


def image_of_hardware(data: object) -> Iterator[Breach]:
    """The image of a group against its devices."""
    yield from _image_breaches(("image",), peek(data, "image"), data)


def something_else(data: object) -> Iterator[Breach]:
    """An override says of which devices, and what."""
    if peek(data, "match") == {}:
        fix = "name a label; what all devices have stands in inference or in their groups"
        yield Breach(("match",), None, "override-of-all", "names no label: it matches every device", fix)
    given = {key for key, value in mapping(data).items() if value is not None}
    if given == {"match"}:
        fix = "add version, digest, models, workflows or exposure, or remove the override"
        yield Breach((), None, "nothing-to-override", "changes nothing", fix)


def names_unique(data: object) -> Iterator[Breach]:
    """Names are inventory names: of two groups or two devices alike, one would vanish."""
    groups: dict[object, Location] = {}
    devices: dict[object, object] = {}
    goldens: dict[object, Location] = {}
    for number, group in enumerate(entries(peek(data, "groups"))):
        yield from _repeated(groups, ("groups", number), peek(group, "name"))
    for index, golden in enumerate(entries(peek(data, "goldens"))):
        yield from _repeated(goldens, ("goldens", index), peek(golden, "name"))
    for location, _, device in _devices(data):
        name = peek(device, "name")
        if not isinstance(name, str):
            continue
        if name in devices:
            rule = f"is also the name of {devices[name]}"
            yield Breach((*location, "name"), name, "duplicate-name", rule, "give each device a name of its own")
        else:
            devices[name] = device if isinstance(device, Row) else path_text(("edge", *location))


def names_free(data: object) -> Iterator[Breach]:
    """A device called like a group, or like this machine, would be that to Ansible."""
    for location, _, device in _devices(data):
        name = peek(device, "name")
        if isinstance(name, str) and name in RESERVED_NAMES:
            rule = "has a meaning of its own in Ansible"
            yield Breach((*location, "name"), name, "reserved-name", rule, "call the device otherwise")


def labels_apart(data: object) -> Iterator[Breach]:
    """Ansible's group of a label joins key and value: of two labels that are joined alike, each would be the other."""
    groups = ((("groups", number), group) for number, group in enumerate(entries(peek(data, "groups"))))
    devices = ((location, device) for location, _, device in _devices(data))
    first: dict[str, tuple[str, object]] = {}
    for location, holder in chain(groups, devices):
        for key, value in mapping(peek(holder, "labels")).items():
            other = first.setdefault(f"{key}-{value}", (key, value))
            if other != (key, value):
                rule = f"and '{other[0]}: {other[1]}' would be one group of the inventory"
                yield Breach((*location, "labels", key), value, "labels-alike", rule, "rename one of the two labels")


def addresses_unique(data: object) -> Iterator[Breach]:
    """Two devices at one address would be one device with two states. Ports tell those behind one router apart."""
    first: dict[object, tuple[Location, object]] = {}
    for location, group, device in _devices(data):
        address = peek(device, "address")
        if not isinstance(address, str):
            continue
        key = (_same_address(address), peek(group, "ssh", "port", default=SSH_PORT))
        if not isinstance(key[1], int):
            continue
        if key in first:
            where, other = first[key]
            there = other if isinstance(other, Row) else path_text(("edge", *where))
            rule = f"is also the address of {there}"
            fix = "give each device an address of its own, or a group with another ssh.port"
            yield Breach((*location, "address"), address, "duplicate-address", rule, fix)
        else:
            first[key] = location, device


def _same_address(address: str) -> str:
    """An address of IPv6 has many spellings."""
    if ":" not in address:
        return address.lower()
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _repeated(seen: dict[object, Location], location: Location, name: object) -> Iterator[Breach]:
    if isinstance(name, str) and seen.setdefault(name, location) != location:
        rule = f"is also the name of {path_text(('edge', *seen[name]))}"
        fix = f"give each {str(location[0])[:-1]} a name of its own"
        yield Breach((*location, "name"), name, "duplicate-name", rule, fix)


def _devices(data: object) -> Iterator[tuple[Location, object, object]]:
    """The devices of a section `edge`, each with its place in it and its group."""
    for number, group in enumerate(entries(peek(data, "groups"))):
        for index, device in enumerate(entries(peek(group, "devices"))):
            yield ("groups", number, "devices", index), group, device


def served_lists(data: object) -> Iterator[tuple[Location, str, list[object]]]:
    """Every list of models or workflows of the section, with its place in the file and its key."""
    edge = peek(data, "edge")
    holders: list[tuple[Location, object]] = [
        *((("groups", number), group) for number, group in enumerate(entries(peek(edge, "groups")))),
        *((location, device) for location, _, device in _devices(edge)),
        *((("overrides", index), override) for index, override in enumerate(entries(peek(edge, "overrides")))),
    ]
    for location, holder in holders:
        for key in SERVED:
            listed = peek(holder, key)
            if listed is not None:
                yield ("edge", *location, key), key, entries(listed)


def _served_once(data: object) -> Iterator[Breach]:
    for location, key, listed in served_lists(data):
        seen: set[str] = set()
        for index, entry in enumerate(listed):
            if isinstance(entry, str) and entry in seen:
                fix = f"name each of the {key} once"
                yield Breach((*location, index), entry, "duplicate-name", "stands twice", fix)
            seen.add(str(entry))


def _models_known(data: object) -> Iterator[Breach]:
    known = {str(peek(model, "id")) for model in entries(peek(data, "models"))}
    unknown = (found for found in named(data, "models", MODEL_ID) if found[1] not in known)
    for location, model in islice(unknown, MOST_UNKNOWN):
        rule = "is not a model of the deployment"
        yield Breach(location, model, "unknown-model", rule, near_miss(model, sorted(known)))


def named(data: object, key: str, form: TextRule) -> Iterator[tuple[Location, str]]:
    """Every model, or workflow, that the section names in the right form, with its place in the file."""
    for location, of_key, listed in served_lists(data):
        if of_key == key:
            yield from (((*location, index), entry) for index, entry in enumerate(listed) if _has_form(entry, form))
    for index, golden in enumerate(entries(peek(data, "edge", "goldens"))):
        asked = peek(golden, key.removesuffix("s"))
        if _has_form(asked, form):
            yield ("edge", "goldens", index, key.removesuffix("s")), asked


def _has_form(value: object, form: TextRule) -> TypeGuard[str]:
    return isinstance(value, str) and re.fullmatch(form.pattern, value) is not None


def _registry_named(data: object) -> Iterator[Breach]:
    if peek(data, "edge", "registry") is not None and peek(data, "inference", "registry") is None:
        rule = "says how to pull from inference.registry, which is not given"
        fix = "add inference.registry, as in 'registry.acme.example', or remove the key"
        yield Breach(("edge", "registry"), None, "registry-missing", rule, fix)


def _images(data: object) -> Iterator[Breach]:
    """`inference.image` is that of devices without a GPU, where their group names none."""
    image = peek(data, "inference", "image")
    groups = ((f"edge.groups[{number}]", group) for number, group in enumerate(entries(peek(data, "edge", "groups"))))
    breaches = (
        breach
        for where, group in groups
        if (facts := facts_of(peek(group, "hardware"))) and facts.runtime is Runtime.CPU and not peek(group, "image")
        for breach in _image_breaches(("inference", "image"), image, group, f"{where}.hardware")
    )
    yield from islice(breaches, 1)  # one report for all: it is the one image that is wrong


def _image_breaches(location: Location, image: object, group: object, where: str = "hardware") -> Iterator[Breach]:
    """What is wrong with one of Roboflow's images on the devices of a group. Other images are taken as they are."""
    facts = facts_of(peek(group, "hardware"))
    if facts is None or not isinstance(image, str) or _fits(image, facts, peek(group, "jetpack")):
        return
    rule = f"is an image for other devices than {where} {peek(group, 'hardware')}"
    if facts.family is Family.JETSON:
        rule += f" with jetpack {peek(group, 'jetpack')}"
    yield Breach(location, image, "image-of-hardware", rule, "remove the key: the image follows the devices")


def _fits(image: str, facts: DeviceClassFacts, jetpack: object) -> bool:
    name = re.search(r"roboflow-inference-server-(cpu|gpu|jetson-[0-9.]+)$", image)
    if name is None:
        return True
    if facts.runtime is not Runtime.JETSON:
        return name[1] == ("cpu" if facts.runtime is Runtime.CPU else "gpu")
    known = JETPACKS.get(jetpack) if isinstance(jetpack, str) else None
    return known is None or known.image.endswith(name[0])


EDGE_RULES: tuple[CrossRule, ...] = (_served_once, _models_known, _registry_named, _images)
