#!/usr/bin/python
"""Compares a device with what the file says of it, and changes nothing."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import os
import re
import socket
import ssl
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule  # pyright: ignore[reportMissingTypeStubs]

DOCUMENTATION = r"""
module: visionfleet_preflight
short_description: Compare a device with what the file says of it
description:
  - Reads what the device is, whether it has room, whether its clock is right and whether it reaches hub and registry.
  - Fails with everything that does not fit and what to do about each. It changes nothing.
  - The runbook (docs/runbook/edge.md) has an entry for each rule.
author: visionfleet
options:
  hardware:
    description: The device class that the file says. It is named in messages alone.
    type: str
    required: true
  architecture:
    description: The machine name of the kernel, as C(uname -m) says it.
    type: str
    required: true
  device_tree:
    description: One of these must be in the model's name in the device tree. Empty where a class has none.
    type: list
    elements: str
    default: []
  l4t:
    description: L4T's major version and least minor version, such as 36.4. Empty where the device is no Jetson.
    type: str
    default: ""
  os:
    description: The operating system, such as debian-12 or raspberry-pi-os-12. Empty takes any.
    type: str
    default: ""
  memory_mb:
    description: The memory in MiB that the device is sold with; the kernel may see a quarter less. 0 takes any.
    type: int
    default: 0
  disk_mb:
    description: The free room in MiB that the first release needs.
    type: int
    default: 6000
  clock_skew_seconds:
    description: How far the clock may be from the hub's.
    type: int
    default: 300
  hub_url:
    description: The hub's address.
    type: str
    required: true
  registry:
    description: The registry that images are pulled from, host with or without a port. Empty is Docker Hub.
    type: str
    default: ""
attributes:
  check_mode:
    description: It only reads.
    support: full
"""

EXAMPLES = r"""
- name: Compare the device with the file
  visionfleet_preflight:
    hardware: jetson-orin-nano
    architecture: aarch64
    device_tree: [Orin Nano]
    l4t: "36.4"
    memory_mb: 8192
    hub_url: https://hub.acme.example
    registry: registry.acme.example
"""

RETURN = r"""
findings:
  description: What does not fit. Each has the rule (the runbook's code), what was found and what to do.
  returned: always
  type: list
  elements: dict
  sample: [{rule: clock, found: The clock is 912 s behind the hub's., fix: "Set it: timedatectl set-ntp true"}]
"""

PROBE_SECONDS = 10
DOCKER_HUB = "registry-1.docker.io"  # which Docker asks where an image's name has no registry
BOARD = "/sys/firmware/devicetree/base/model"  # where /proc/device-tree leads
REGISTRY_ANSWERS = (200, 401)  # 401: it wants a login, which comes later
MEMORY_SHARE = 0.75  # what a kernel sees at least: firmware and GPU keep some, most on an Orin Nano of 4 GB
BROKEN = (OSError, http.client.HTTPException)  # what urllib raises, the latter where what answers speaks no HTTP
POINTER_BITS = struct.calcsize("P") * 8


class Finding(NamedTuple):
    """Something that does not fit; `rule` is the runbook's code."""

    rule: str
    found: str
    fix: str


class Answer(NamedTuple):
    """What an address answered; `status` 0: nothing, for the reason in `error`."""

    status: int
    date: str | None = None
    error: str = ""
    distrusted: bool = False  # it answers, but its certificate does not hold


class Device(NamedTuple):
    """The device as this module sees it. Tests give another root and other answers."""

    root: Path
    machine: str
    pointer_bits: int
    now: Callable[[], float]
    resolves: Callable[[str], bool]
    probe: Callable[[str], Answer]

    def read(self, path: str) -> str | None:
        """A file's text, None where there is no such file."""
        with contextlib.suppress(OSError):
            return (self.root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
        return None

    def exists(self, path: str) -> bool:
        """Whether something is there."""
        return os.path.lexists(str(self.root / path.lstrip("/")))

    def free_mb(self, path: str) -> int:
        """The room where `path` is, or is going to be."""
        place = self.root / path.lstrip("/")
        while not place.exists():
            place = place.parent
        room = os.statvfs(str(place))
        return room.f_bavail * room.f_frsize // 2**20


def findings(device: Device, wanted: dict[str, Any]) -> list[Finding]:
    """Everything that does not fit."""
    checks = (_machine, _board, _l4t, _system, _memory, _disk, _hub, _registry)
    return [finding for check in checks for finding in check(device, wanted)]


def _machine(device: Device, wanted: dict[str, Any]) -> Iterator[Finding]:
    if device.machine != wanted["architecture"]:
        found = "It is {}, and {} is {}.".format(device.machine, wanted["hardware"], wanted["architecture"])
        yield Finding("architecture", found, "Correct `hardware` of the group, or the address of the device.")
    elif device.pointer_bits != 64:
        found = "The kernel is of 64 bits, the system around it of 32: images for it would not run."
        yield Finding("userland", found, "Install the 64-bit system, such as Raspberry Pi OS (64-bit).")


def _board(device: Device, wanted: dict[str, Any]) -> Iterator[Finding]:
    if not wanted["device_tree"]:
        return
    model = device.read(BOARD)
    if not any(name in (model or "") for name in wanted["device_tree"]):
        found = "Its device tree says {}, and {} has {}.".format(
            repr(model) if model else "nothing", wanted["hardware"], " or ".join(map(repr, wanted["device_tree"]))
        )
        yield Finding("board", found, "Correct `hardware` of the group, or the address of the device.")


def _l4t(device: Device, wanted: dict[str, Any]) -> Iterator[Finding]:
    if not wanted["l4t"]:
        return
    release = device.read("/etc/nv_tegra_release")
    if release is None:
        fix = "Flash JetPack with NVIDIA's SDK Manager, or correct `hardware`."
        yield Finding("l4t-missing", "There is no /etc/nv_tegra_release: no JetPack is on it.", fix)
        return
    version = re.search(r"R(\d+) \(release\), REVISION: (\d+)", release)
    found = version.groups() if version else ("0", "0")
    if not _is_at_least(found, wanted["l4t"].split(".")):
        said = ".".join(found) if version else repr(release[:40])
        fix = "Set `jetpack` of the group to what is on the device, or flash the JetPack that the file names."
        yield Finding("l4t", "L4T is {}, the file's JetPack begins with {}.".format(said, wanted["l4t"]), fix)


def _is_at_least(found: Sequence[str], first: Sequence[str]) -> bool:
    """Whether this is of the same major version, and no older: a JetPack's later releases count on in the minor."""
    return found[0] == first[0] and int(found[1]) >= int(first[1])


def _system(device: Device, wanted: dict[str, Any]) -> Iterator[Finding]:
    if not device.exists("/run/systemd/system"):
        yield Finding("systemd", "systemd does not run it.", "Take a system that systemd starts.")
    if not device.exists("/usr/bin/apt-get"):
        yield Finding("apt", "It has no apt.", "Take Debian, Ubuntu, Raspberry Pi OS or JetPack.")
    system = _system_name(device)
    if wanted["os"] and system != wanted["os"]:
        fix = "Set `os` of the group to what is on the device, or install what the file names."
        yield Finding("os", "It runs {}, the file says {}.".format(system, wanted["os"]), fix)


def _system_name(device: Device) -> str:
    """Such as debian-12. Raspberry Pi OS of 64 bits calls itself Debian; /etc/rpi-issue tells the two apart."""
    lines = (device.read("/etc/os-release") or "").splitlines()
    values = {name: value.strip("\"'") for name, _, value in (line.partition("=") for line in lines)}
    name = "raspberry-pi-os" if device.exists("/etc/rpi-issue") else values.get("ID", "an unknown system")
    return "{}-{}".format(name, values["VERSION_ID"]) if "VERSION_ID" in values else name


def _memory(device: Device, wanted: dict[str, Any]) -> Iterator[Finding]:
    total = re.search(r"MemTotal:\s+(\d+) kB", device.read("/proc/meminfo") or "")
    found = int(total.group(1)) // 1024 if total else 0
    if found < MEMORY_SHARE * wanted["memory_mb"]:
        text = "Its kernel sees {} MiB of memory, the file says {} MiB.".format(found, wanted["memory_mb"])
        yield Finding("memory", text, "Set `memory_gb` of the group, and give it models that fit.")


def _disk(device: Device, wanted: dict[str, Any]) -> Iterator[Finding]:
    """Only before the first release: later ones look for the room that they need themselves."""
    if device.exists("/opt/visionfleet/current"):
        return
    for folder in ("/var/lib/docker", "/opt/visionfleet"):
        free = device.free_mb(folder)
        if free < wanted["disk_mb"]:
            text = "{} MB are free for {}, {} MB are needed.".format(free, folder, wanted["disk_mb"])
            yield Finding("disk", text, f"Free some, or take a larger disk: df -h {Path(folder).parent}")
            return  # mostly both are on the same disk


def _hub(device: Device, wanted: dict[str, Any]) -> Iterator[Finding]:
    url = wanted["hub_url"].rstrip("/") + "/healthz"
    host = _host(url)
    if not device.resolves(host):
        yield Finding("hub-name", f"It cannot resolve {host}.", "Give it a DNS server that knows the hub.")
        return
    answer = device.probe(url)
    if answer.status == 0:
        fix = f"Open the way from the device to the hub, and see that the hub runs: curl {url}"
        yield Finding("hub-unreachable", f"{url}: {answer.error}.", fix)
        return
    if answer.distrusted:
        fix = "Install the hub's CA below /usr/local/share/ca-certificates, then update-ca-certificates."
        yield Finding("hub-certificate", f"It does not trust {url}: {answer.error}.", fix)
    if answer.status != 200:
        fix = "Set `hub.url` to the hub: something else answers there, or something between them."
        yield Finding("hub-answer", f"{url} answered {answer.status}, not 200.", fix)
    yield from _clock(device, answer, wanted["clock_skew_seconds"])


def _clock(device: Device, answer: Answer, allowed_seconds: int) -> Iterator[Finding]:
    with contextlib.suppress(TypeError, ValueError, IndexError):  # no date, or none that can be read
        skew = int(device.now() - email.utils.parsedate_to_datetime(answer.date or "").timestamp())
        if abs(skew) > allowed_seconds:
            side = "ahead of" if skew > 0 else "behind"
            text = f"The clock is {abs(skew)} s {side} the hub's."
            yield Finding("clock", text, "Set it, and let it be kept: timedatectl set-ntp true")


def _registry(device: Device, wanted: dict[str, Any]) -> Iterator[Finding]:
    registry = wanted["registry"] or DOCKER_HUB
    host = _host("//" + registry)
    if not device.resolves(host):
        yield Finding("registry-name", f"It cannot resolve {host}.", "Give it a DNS server that knows the registry.")
        return
    # whether its certificate holds is for Docker to say, which gets the registry's own CA only later
    answers: list[Answer] = []
    for scheme in ("https", "http"):
        answers.append(device.probe(f"{scheme}://{registry}/v2/"))
        if answers[-1].status in REGISTRY_ANSWERS:
            return
    status = max(answer.status for answer in answers)
    if status == 0:
        fix = "Open the way from the device to the registry, and see that it runs."
        yield Finding("registry-unreachable", f"{registry}: {answers[0].error}.", fix)
    else:
        fix = "Set `inference.registry` to the registry: something else answers there."
        yield Finding("registry-answer", f"{registry}/v2/ answered {status}.", fix)


def _host(url: str) -> str:
    host: str | None = urlsplit(url).hostname  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return host or ""


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def _probe(url: str) -> Answer:
    """Ask without a secret. Where the certificate does not hold, ask again without minding: the date is of use."""
    try:
        return _get(url, ssl.create_default_context())
    except BROKEN as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLCertVerificationError):
            return Answer(0, error=str(reason) or type(reason).__name__)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return _get(url, context)._replace(error=reason.verify_message, distrusted=True)
    except BROKEN as error:
        return Answer(0, error=str(error))


def _get(url: str, context: ssl.SSLContext) -> Answer:
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS, context=context) as response:  # noqa: S310 - the file's
            return Answer(int(response.status), response.headers.get("Date"))
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers.get("Date"))


def main() -> None:
    """Ansible's way in."""
    text: dict[str, Any] = {"type": "str", "default": ""}
    options: dict[str, dict[str, Any]] = {
        "hardware": {"type": "str", "required": True},
        "architecture": {"type": "str", "required": True},
        "device_tree": {"type": "list", "elements": "str", "default": []},
        "l4t": text,
        "os": text,
        "memory_mb": {"type": "int", "default": 0},
        "disk_mb": {"type": "int", "default": 6000},
        "clock_skew_seconds": {"type": "int", "default": 300},
        "hub_url": {"type": "str", "required": True},
        "registry": text,
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    device = Device(Path("/"), os.uname().machine, POINTER_BITS, time.time, _resolves, _probe)
    found = findings(device, module.params)
    result: list[dict[str, str]] = [finding._asdict() for finding in found]
    if found:
        lines = ["{}: {} {}".format(*finding) for finding in found]
        message = "\n".join(["Nothing was changed. The device does not fit:", *lines])
        module.fail_json(msg=message, findings=result)  # pyright: ignore[reportUnknownMemberType]
    module.exit_json(changed=False, findings=result)  # pyright: ignore[reportUnknownMemberType]


if __name__ == "__main__":
    main()
