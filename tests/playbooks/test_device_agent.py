"""What the role device_agent works out on the controller, and the device's program on the device."""

from __future__ import annotations

from pathlib import Path

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

from visionfleet_device import program
from visionfleet_device.paths import PLATFORM_UNIT, Paths

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"
ROLE = PLAYBOOKS / "roles/device_agent"


def test_role_and_program_agree_on_what_is_installed(tmp_path: Path) -> None:
    """Else each run of the role would restart the platform."""
    init_plugin_loader()
    loader = DataLoader()
    variables = loader.load_from_file(str(ROLE / "vars/main.yml"), trusted_as_template=True)
    templar = Templar(loader, variables={**variables, "role_path": str(ROLE)})
    paths = Paths(tmp_path)
    paths.units.mkdir(parents=True)
    (paths.units / PLATFORM_UNIT).write_bytes((PLAYBOOKS / "device/units" / PLATFORM_UNIT).read_bytes())
    assert templar.template(variables["_device_agent_program"]) == program.installed(paths)
