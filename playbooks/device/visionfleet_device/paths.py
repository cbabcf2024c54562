"""Where everything is on a device. Tests give another root."""

from __future__ import annotations

import re
from pathlib import Path

from visionfleet_device.errors import DeviceError

INFERENCE = "visionfleet-inference"  # the unit and the container
INFERENCE_UNIT = f"{INFERENCE}.service"
PLATFORM_UNIT = "visionfleet-platform.service"
RECOVER_UNIT = "visionfleet-recover.service"
REPORT_UNIT = "visionfleet-report.service"
REPORT_TIMER = "visionfleet-report.timer"
RELEASE_UNIT = "visionfleet-release@.service"

_RELEASE_ID = re.compile(r"[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Bundle:
    """The folder of one release. `release.json` is written last: with it, the bundle is whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        self.release = folder / "release.json"
        self.unit = folder / "inference.service"
        self.environment = folder / "inference.env"
        self.image = folder / "image.json"  # {"id", "digest"}: what was pulled
        self.tried = folder / "tried"  # it has been switched to
        self.platform = folder / "platform"  # what the hub answered for models and workflows


class Paths:
    """Every file and folder of ours on the device."""

    def __init__(self, root: str | Path = "/") -> None:
        self.root = Path(root)

    # the program and the releases

    @property
    def home(self) -> Path:
        """What is installed, and what is released."""
        return self.root / "opt/visionfleet"

    @property
    def library(self) -> Path:
        """The folder of the Python package, for PYTHONPATH."""
        return self.home / "lib"

    @property
    def program(self) -> Path:
        """The command."""
        return self.home / "bin/visionfleet-device"

    @property
    def releases(self) -> Path:
        """A folder for each release."""
        return self.home / "releases"

    def bundle(self, release_id: str) -> Bundle:
        """The folder of a release. Refuses what is no release id: it becomes part of a path."""
        if _RELEASE_ID.fullmatch(release_id) is None:
            raise DeviceError(f"'{release_id}' is no release id", "give the 12 hexadecimal digits of a release")
        return Bundle(self.releases / release_id)

    @property
    def objects(self) -> Path:
        """Files of packages and goldens by SHA-256, shared by all releases."""
        return self.home / "objects"

    def object(self, sha256: str) -> Path:
        """One of them. Refuses what is no digest."""
        if _SHA256.fullmatch(sha256) is None:
            raise DeviceError(f"'{sha256}' is no SHA-256 digest", "fetch the release again")
        return self.objects / sha256

    @property
    def current(self) -> Path:
        """Link to the release that serves."""
        return self.home / "current"

    @property
    def previous(self) -> Path:
        """Link to the release before it, where there was one."""
        return self.home / "previous"

    @property
    def trial(self) -> Path:
        """There from before a switch until its verdict: what is current then is on trial."""
        return self.home / "trial.json"

    @property
    def verdict(self) -> Path:
        """What came of the last release."""
        return self.home / "verdict.json"

    @property
    def reserve(self) -> Path:
        """Room on the disk for the next verdict."""
        return self.home / "reserve"

    @property
    def lock(self) -> Path:
        """Held by whoever changes the links."""
        return self.home / "lock"

    @property
    def fetch_lock(self) -> Path:
        """Held by whoever adds or removes bundles and objects: a fetch, and the tidying after a release."""
        return self.home / "fetch.lock"

    # the device

    @property
    def etc(self) -> Path:
        """What the device was told."""
        return self.root / "etc/visionfleet"

    @property
    def device(self) -> Path:
        """{"name", "group", "workspace", "hub_url"}."""
        return self.etc / "device.json"

    @property
    def key(self) -> Path:
        """The device's key for the hub; root alone may read it."""
        return self.etc / "key"

    @property
    def state(self) -> Path:
        """What the device remembers."""
        return self.root / "var/lib/visionfleet"

    @property
    def client_keys(self) -> Path:
        """SHA-256 of each key that a client may use, as the hub last said."""
        return self.state / "client-keys.json"

    @property
    def reports(self) -> Path:
        """Reports that the hub has not taken yet."""
        return self.state / "reports"

    @property
    def cache(self) -> Path:
        """The inference server's model cache."""
        return self.state / "cache"

    @property
    def found(self) -> Path:
        """How the host was before: kept by the role container_engine, for the reset."""
        return self.state / "found.json"

    @property
    def run(self) -> Path:
        """Gone with the next boot."""
        return self.root / "run/visionfleet"

    @property
    def server_env(self) -> Path:
        """The inference server's own key for the platform, made at each boot."""
        return self.run / "server.env"

    # systemd

    @property
    def units(self) -> Path:
        """Where the administrator's units are."""
        return self.root / "etc/systemd/system"

    @property
    def inference_unit(self) -> Path:
        """Link to the current release's unit."""
        return self.units / INFERENCE_UNIT

    @property
    def inference_wanted(self) -> Path:
        """Link by which it starts at boot."""
        return self.units / "multi-user.target.wants" / INFERENCE_UNIT

    # the kernel

    @property
    def proc(self) -> Path:
        """What the kernel says of processes, memory, sockets and the device tree."""
        return self.root / "proc"

    @property
    def sys(self) -> Path:
        """What the kernel says of devices: temperatures."""
        return self.root / "sys"
