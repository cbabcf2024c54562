"""The devices of visionfleet's file as an inventory of Ansible. What is in it: visionfleet.projections.inventory."""

# Ansible brings no types
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ansible.errors import AnsibleError, AnsibleParserError, ExitCode
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable
from ansible.template import trust_as_template

if TYPE_CHECKING:
    from visionfleet.projections.inventory_plan import InventoryPlan

DOCUMENTATION = r"""
name: visionfleet
short_description: The devices of visionfleet's file
description:
  - Reads the section C(edge) of a deployment's file, and gives Ansible its devices and the variables of the roles.
  - The group C(edge) has all devices. Each group of the file, device class, family of classes, label, site and release
    has a group, called C(group_<name>), C(hardware_<class>), C(class_<family>), C(label_<key>_<value>), C(site_<name>)
    and C(release_<id>), with C(_) for C(-).
  - Secrets are templates that a task fills in. They are in no output of this plugin, and in no cache.
author: visionfleet
extends_documentation_fragment: [inventory_cache]
options:
  plugin:
    description: Marks a file as one of this plugin.
    type: str
    required: true
    choices: [visionfleet]
  file:
    description:
      - The deployment's file. A relative path that stands here is taken from the folder of this file, one in the
        environment from the folder that Ansible was started in.
    type: str
    default: visionfleet.yaml
    env:
      - name: VISIONFLEET_FILE
"""

EXAMPLES = r"""
# inventory/visionfleet.yml, the least: the file is VISIONFLEET_FILE, or visionfleet.yaml in the present folder
plugin: visionfleet
---
# with a file of its own, and an inventory that is kept while nothing that it was made of changes
plugin: visionfleet
file: ../acme/visionfleet.yaml
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/visionfleet/inventory
"""

TEMPLATE_MARKS = ("{{", "{%", "{#")
NAMES = ("visionfleet.yml", ".visionfleet.yaml")


class InventoryModule(BaseInventoryPlugin, Cacheable):  # pyright: ignore[reportIncompatibleVariableOverride]
    """The plugin, as Ansible looks for it."""

    NAME = "visionfleet"

    def verify_file(self, path: str) -> bool:
        """Whether this is a file of this plugin, by its name: `visionfleet.yaml` itself is the deployment's."""
        return bool(super().verify_file(path)) and path.endswith(NAMES)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:  # noqa: FBT001, FBT002 - Ansible's
        """Fill `inventory`; where the deployment's file is wrong, show every problem and end Ansible."""
        super().parse(inventory, loader, path, cache)
        options = cast("Mapping[str, str]", self._read_config_data(path))
        folder = Path(path).parent if options.get("file") else Path.cwd()
        file = (folder / Path(cast("str", self.get_option("file"))).expanduser()).absolute()
        keeps = bool(self.get_option("cache"))
        plan = self._kept(file) if keeps and cache else None
        with _uncollected():
            _fill(inventory, plan or self._make(file, keeps=keeps))

    def _kept(self, file: Path) -> InventoryPlan | None:
        """The inventory that was kept, if what it was made of is as it was."""
        from visionfleet.projections.inventory_plan import InventoryPlan, still_hold  # noqa: PLC0415 - see _make

        try:
            kept = cast("Mapping[str, str]", self._cache[_key(file)])
            return InventoryPlan.of_text(kept["plan"]) if still_hold(json.loads(kept["inputs"])) else None
        except (AnsibleError, AttributeError, KeyError, TypeError, ValueError):
            return None

    def _make(self, file: Path, *, keeps: bool) -> InventoryPlan:
        try:
            # slow to import, and not needed for an inventory that was kept
            from visionfleet.config import ConfigError, load  # noqa: PLC0415
            from visionfleet.projections.inventory import inventory_inputs, inventory_plan  # noqa: PLC0415
            from visionfleet.projections.inventory_plan import inputs_at  # noqa: PLC0415
        except ImportError as error:
            fix = "install visionfleet into Ansible's own Python"
            raise AnsibleParserError(f"visionfleet cannot be imported: {error}\n  {fix}") from error
        try:
            config, inputs = load(file), dict[str, str]()
            if keeps:
                # read once more: whatever changes from here on is not what the digests are of
                inputs = inputs_at(inventory_inputs(config, file))
                config = load(file)
            plan = inventory_plan(config)
        except ConfigError as error:
            # An error of Ansible's would be said twice, then each other plugin would try the file and complain of it,
            # and with other settings Ansible would go on with a fleet of no devices.
            self.display.display(str(error), stderr=True)
            raise SystemExit(ExitCode.PARSER_ERROR) from None
        if keeps:
            self._cache[_key(file)] = {"inputs": json.dumps(inputs), "plan": plan.as_text()}
        return plan


@contextmanager
def _uncollected() -> Generator[None]:
    """Without the search for garbage: what 10,000 devices are made of stays, and each search looks at all of it."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _key(file: Path) -> str:
    return f"visionfleet_{hashlib.sha256(str(file).encode()).hexdigest()}"


def _fill(inventory: Any, plan: InventoryPlan) -> None:
    for name, group in plan.groups.items():
        inventory.add_group(name)
        if group.parent is not None:
            inventory.add_child(group.parent, name)
        for variable, value in group.vars.items():
            inventory.set_variable(name, variable, _marked(value))
        for variable, template in group.templates.items():
            inventory.set_variable(name, variable, trust_as_template(template))
    for host in plan.hosts:
        inventory.add_host(host.name)
        for variable, value in host.vars.items():
            inventory.set_variable(host.name, variable, _marked(value))
        for name in host.groups:
            inventory.add_child(name, host.name)


def _marked(value: object) -> object:
    """The value, its text as trusted where it is no template: Ansible shows all other text as unsafe, at some cost."""
    if isinstance(value, str):
        return _trusted(value)
    if isinstance(value, (list, tuple)):
        return [_marked(entry) for entry in cast("list[object]", value)]
    return value


@lru_cache(maxsize=4096)  # most texts are those of many devices
def _trusted(text: str) -> str:
    return text if any(mark in text for mark in TEMPLATE_MARKS) else trust_as_template(text)
