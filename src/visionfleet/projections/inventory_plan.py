"""What Ansible's inventory is made of, as plain values: the seam between the file and the inventory plugin.

The file's models are not imported: an inventory that is kept costs little more than reading it. Nor would it be kept
for longer than it holds: `Inputs` are the contents of all files that it was made of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Inputs = Mapping[str, str]
"""Path -> digest of what is there: a file's content, a folder's names, or nothing."""


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A group: the one that it is part of, its variables, and those that Ansible works out when it needs them."""

    parent: str | None
    vars: Mapping[str, object] = field(default_factory=dict[str, object])
    templates: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A device, with the groups that it is itself in."""

    name: str
    groups: tuple[str, ...]
    vars: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class InventoryPlan:
    """All devices and their groups; a group's parent stands before it."""

    groups: Mapping[str, GroupPlan]
    hosts: tuple[HostPlan, ...]

    def as_text(self) -> str:
        """The plan as JSON."""
        groups = {name: (group.parent, group.vars, group.templates) for name, group in self.groups.items()}
        hosts = [(host.name, host.groups, host.vars) for host in self.hosts]
        return json.dumps({"groups": groups, "hosts": hosts})

    @classmethod
    def of_text(cls, text: str) -> InventoryPlan:
        """The plan that `as_text` made the text of. Raises ValueError, KeyError or TypeError for another text."""
        data = json.loads(text)
        groups = {name: GroupPlan(*group) for name, group in data["groups"].items()}
        return cls(groups, tuple(HostPlan(name, tuple(groups), variables) for name, groups, variables in data["hosts"]))


def inputs_at(paths: Iterable[Path]) -> dict[str, str]:
    """What is at the paths now."""
    return {str(path): _digest(path) for path in paths}


def still_hold(inputs: Inputs) -> bool:
    """Whether all is as it was."""
    return all(_digest(Path(path)) == digest for path, digest in inputs.items())


def _digest(path: Path) -> str:
    try:
        if path.is_dir():
            names = "\0".join(sorted(child.name for child in path.iterdir()))
            return hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
