"""The devices that the file names, and the answers that they are checked by, read once as the registry is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from visionfleet.config import DeploymentConfig
from visionfleet.config.edge import Golden
from visionfleet.hub.errors import HubError, not_found
from visionfleet.projections.release import release_of


@dataclass(frozen=True, slots=True)
class Entry:
    """A device of the file; `release` is the id of what it is to run."""

    name: str
    group: str
    hardware: str
    site: str | None
    labels: Mapping[str, str]
    release: str


class Roster:
    """Devices by name, in the file's order; files of goldens by their SHA-256."""

    def __init__(self, config: DeploymentConfig) -> None:
        """Work out the release of each device. Raises ConfigError, OSError."""
        self.devices: Mapping[str, Entry] = {entry.name: entry for entry in _entries(config)}
        self._files = dict(_files(config.edge.goldens))

    def check_known(self, name: str) -> str:
        """The name itself. Raises HubError 404."""
        if name not in self.devices:
            message = f"the file has no device '{name}': add it to edge.groups, then restart the hub"
            raise HubError(404, "device_unknown", message, device=name)
        return name

    def file(self, digest: str) -> bytes:
        """What a golden's picture or expected answer held when the hub started. Raises HubError 404."""
        if digest not in self._files:
            raise not_found("file", digest)
        return self._files[digest]


def _entries(config: DeploymentConfig) -> Iterator[Entry]:
    for group in config.edge.groups:
        for device in group.devices:
            yield Entry(
                name=device.name,
                group=group.name,
                hardware=group.hardware,
                site=device.site or group.site,
                labels={**group.labels, **device.labels},
                release=release_of(config, group, device).id,
            )


def _files(goldens: Iterable[Golden]) -> Iterator[tuple[str, bytes]]:
    """The bytes are kept: a file that changes would no longer be what its digest says."""
    paths: set[Path] = {path for golden in goldens for path in (golden.image, golden.expected)}
    for path in paths:
        content = path.read_bytes()
        yield hashlib.sha256(content).hexdigest(), content
