#!/usr/bin/python
"""Fetches a release to a device and lets it serve, by the device's own program."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple, cast

from ansible.module_utils.basic import AnsibleModule  # pyright: ignore[reportMissingTypeStubs]

DOCUMENTATION = r"""
module: visionfleet_release
short_description: Let a release serve on a device
description:
  - Fetches a release, switches to it and judges it. Where it is not healthy, the device has gone back by itself when
    this fails, and the message says what failed and what serves now.
  - The release runs in a unit of its own on the device, so it comes to its end also where the connection does not.
  - The device's program does the work. The role device_agent installs it.
author: visionfleet
options:
  release:
    description: The release, as the inventory has it. Required by C(fetched) and C(released).
    type: dict
  state:
    description:
      - C(fetched) brings everything that the release needs to the device. What serves goes on serving.
      - C(released) fetches it, too, and lets it serve.
      - C(previous) lets the release before the current one serve. A second time leads forth again.
      - C(absent) removes everything of visionfleet's from the device, but not Docker. Where the program is not there,
        it does nothing.
    type: str
    choices: [fetched, released, previous, absent]
    default: released
attributes:
  check_mode:
    description: It says whether there is something to do, and does not ask the hub.
    support: full
  diff_mode:
    description: It shows what of the release changes.
    support: full
"""

EXAMPLES = r"""
- name: Fetch the release
  visionfleet_release:
    release: "{{ model_cache_release }}"
    state: fetched

- name: Let the release serve
  visionfleet_release:
    release: "{{ inference_server_release }}"

- name: Go back
  visionfleet_release:
    state: previous
"""

RETURN = r"""
release:
  description: The id of the release that is current now. Empty where there is none.
  returned: always
  type: str
  sample: 3f9a1c0b7d21
previous:
  description: The id of the release before it. Empty where there is none.
  returned: always
  type: str
  sample: 0c5d2e77a1f4
verdict:
  description: What came of the last release on the device.
  returned: always
  type: dict
  sample: {release: 3f9a1c0b7d21, result: accepted, reason: it is healthy, serving: 3f9a1c0b7d21, at: 1800000000}
"""

HOME = Path("/opt/visionfleet")
POLL_SECONDS = 0.5
END_SECONDS = 300  # of a unit whose program was ended, for the way back

NOT_INSTALLED = "There is no visionfleet-device on this device. Provision it: ansible-playbook playbooks/site.yml"


class Device(NamedTuple):
    """What the device's program leaves on the disk."""

    home: Path

    @property
    def program(self) -> Path:
        """The command."""
        return self.home / "bin/visionfleet-device"

    def linked(self, link: str) -> str:
        """The id of the release that `current` or `previous` leads to; empty where there is none."""
        try:
            return os.path.basename(os.readlink(str(self.home / link)))  # noqa: PTH119 - of a link's text
        except OSError:
            return ""

    def verdict(self) -> dict[str, Any]:
        """The last one."""
        return _read(self.home / "verdict.json")

    def release(self, release_id: str) -> dict[str, Any]:
        """One that was fetched; empty where it was not."""
        return _read(self.home / "releases" / release_id / "release.json") if release_id else {}

    def state(self) -> dict[str, Any]:
        """What the result says of it."""
        return {"release": self.linked("current"), "previous": self.linked("previous"), "verdict": self.verdict()}


class Failed(Exception):
    """The message is for whoever runs the playbook."""


def run(module: Any, device: Device) -> None:
    """Do what was asked, and end the module."""
    try:
        result = _result(module, device)
    except Failed as failure:
        module.fail_json(msg=str(failure), **device.state())
    else:
        module.exit_json(**result, **device.state())


def _result(module: Any, device: Device) -> dict[str, Any]:
    state: str = module.params["state"]
    wanted = _wanted(module, device, state)
    diff = _diff(device, state, wanted)
    if module.check_mode:
        return {"changed": _would_change(device, state, wanted), "diff": diff}
    if state == "absent":
        changed = device.program.exists() and bool(_program(module, device, "remove")["changed"])
    else:
        changed = _brought(module, device, state, wanted)
    return {"changed": changed, "diff": diff}


def _wanted(module: Any, device: Device, state: str) -> dict[str, Any]:
    if state == "absent":
        return {}
    if state != "previous":
        return module.params["release"]
    release = device.release(device.linked("previous"))
    if not release:
        raise Failed("There is no release before the current one to go back to.")
    return release


def _would_change(device: Device, state: str, wanted: dict[str, Any]) -> bool:
    if state == "absent":
        return device.program.exists()
    if state == "fetched":
        return not device.release(wanted["id"])
    return device.linked("current") != wanted["id"]


def _brought(module: Any, device: Device, state: str, wanted: dict[str, Any]) -> bool:
    fetched = state != "previous" and bool(_program(module, device, "fetch", json.dumps(wanted))["changed"])
    if state == "fetched":
        return fetched
    return _released(module, device, wanted["id"]) or fetched


def _released(module: Any, device: Device, release_id: str) -> bool:
    """Let it serve. True where something changed."""
    before = device.state()
    unit = f"visionfleet-release@{release_id}.service"
    code, _, _ = _command(module, ["systemctl", "start", unit])  # how that went, the verdict says best
    _wait_for_end(module, unit)
    after = device.state()
    verdict = after["verdict"]
    if verdict.get("release") != release_id or (code != 0 and verdict == before["verdict"]):
        raise Failed(f"Release {release_id} was not begun: {_last_error(module, unit)}.")
    if verdict["result"] != "accepted" or after["release"] != release_id:
        raise Failed(f"{_sentence(verdict['reason'])} See `journalctl -u visionfleet-inference` on the device.")
    return after != before


def _wait_for_end(module: Any, unit: str) -> None:
    """systemctl does not wait for the way back of a unit that was ended."""
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        _, output, _ = _command(module, ["systemctl", "show", "--property=ActiveState", unit])
        if output.strip() not in {"ActiveState=activating", "ActiveState=deactivating"}:
            return
        time.sleep(POLL_SECONDS)


def _last_error(module: Any, unit: str) -> str:
    """What the program said at its end, from the journal."""
    _, output, _ = _command(module, ["journalctl", "--quiet", "--output=cat", "--lines=20", f"--unit={unit}"])
    for line in reversed(output.splitlines()):
        said = _parse(line)
        if "error" in said:
            return f"{said['error']} ({said['fix']})" if said.get("fix") else str(said["error"])
    return f"see `journalctl -u {unit}` on the device"


def _program(module: Any, device: Device, command: str, data: str | None = None) -> dict[str, Any]:
    if not device.program.exists():
        raise Failed(NOT_INSTALLED)
    code, output, errors = _command(module, [str(device.program), command], data)
    said = _parse(output.strip().rpartition("\n")[2])
    if code == 0 and said:
        return said
    message = str(said.get("error") or errors.strip().rpartition("\n")[2] or f"visionfleet-device {command} failed")
    raise Failed(f"{_sentence(message)} {_sentence(str(said.get('fix') or ''))}".strip())


def _command(module: Any, command: list[str], data: str | None = None) -> tuple[int, str, str]:
    return module.run_command(command, data=data)


def _diff(device: Device, state: str, wanted: dict[str, Any]) -> dict[str, str]:
    if state == "fetched":
        before = device.release(wanted["id"])
        return {"before_header": "fetched", "after_header": "fetched", **_texts(before, wanted)}
    current = device.linked("current")
    return {"before_header": "serves", "after_header": "serves", **_texts(device.release(current), wanted)}


def _texts(before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    return {"before": _summary(before), "after": _summary(after)}


def _summary(release: dict[str, Any]) -> str:
    """A line for each thing that a person asks first."""
    if not release:
        return ""
    models: list[dict[str, Any]] = release["models"]
    workflows: list[dict[str, Any]] = release["workflows"]
    lines = [f"release: {release['id']}", f"image: {release['image']['reference']}"]
    lines += [f"model: {model['id']} (package {model['package_id']})" for model in models]
    lines += [f"workflow: {workflow['id']} ({workflow['sha256'][:12]})" for workflow in workflows]
    return "".join(f"{line}\n" for line in lines)


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except OSError:
        return {}


def _parse(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def main() -> None:
    """Ansible's way in."""
    options: dict[str, dict[str, Any]] = {
        "release": {"type": "dict"},
        "state": {"choices": ["fetched", "released", "previous", "absent"], "default": "released"},
    }
    needed = [("state", "fetched", ["release"]), ("state", "released", ["release"])]
    run(AnsibleModule(argument_spec=options, required_if=needed, supports_check_mode=True), Device(HOME))


if __name__ == "__main__":
    main()
