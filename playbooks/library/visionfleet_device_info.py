#!/usr/bin/python
"""Says what runs on a device, by the device's own program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule  # pyright: ignore[reportMissingTypeStubs]

DOCUMENTATION = r"""
module: visionfleet_device_info
short_description: Say what runs on a device
description:
  - Asks Docker, systemd, the kernel and the inference server, and not the files that say what should run.
  - It changes nothing.
author: visionfleet
attributes:
  check_mode:
    description: It only reads.
    support: full
"""

EXAMPLES = r"""
- name: Ask the device
  visionfleet_device_info:
  register: _verify_device

- name: Check that it serves what it should
  ansible.builtin.assert:
    that: _verify_device.info.current == inference_server_release.id
"""

RETURN = r"""
info:
  description:
    - What the program's command C(info) says. C(installed) is false, and nothing else is there, where there is none.
  returned: always
  type: dict
  contains:
    installed: {description: Whether the device's program is there., type: bool}
    program: {description: The program's version., type: str}
    current: {description: The release that C(current) leads to., type: str}
    previous: {description: The release before it., type: str}
    trial: {description: The release that is judged right now., type: dict}
    verdict: {description: What came of the last release., type: dict}
    release: {description: "The current release in short: version, image, models, workflows.", type: dict}
    unit: {description: "The server's unit as systemd has it: state, restarts, enabled, stale.", type: dict}
    platform: {description: "The platform's unit: state, and whether it is of another program (stale).", type: dict}
    container: {description: "The container as Docker has it: mounts, hardening, names of variables.", type: dict}
    image: {description: The image that runs and the one that was asked for., type: dict}
    readiness: {description: Whether the server is ready., type: bool}
    listening: {description: The addresses at which the server's port is open., type: list}
    packages: {description: "For each model, what is wrong with its package in the server's cache.", type: list}
"""

PROGRAM = Path("/opt/visionfleet/bin/visionfleet-device")


def run(module: Any, program: Path) -> None:
    """Ask, and end the module."""
    if not program.exists():
        module.exit_json(changed=False, info={"installed": False})
    code, output, errors = module.run_command([str(program), "info"])
    try:
        info: dict[str, Any] = json.loads(output)
    except ValueError:
        info = {"error": errors.strip().rpartition("\n")[2] or "it said nothing"}
    if code != 0 or "error" in info:
        module.fail_json(msg=f"visionfleet-device info failed: {info.get('error')}", info=info)
    module.exit_json(changed=False, info={"installed": True, **info})


def main() -> None:
    """Ansible's way in."""
    options: dict[str, dict[str, Any]] = {}
    run(AnsibleModule(argument_spec=options, supports_check_mode=True), PROGRAM)


if __name__ == "__main__":
    main()
