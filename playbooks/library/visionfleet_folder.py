#!/usr/bin/python
"""Keeps the files of a folder as they are given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule  # pyright: ignore[reportMissingTypeStubs]

DOCUMENTATION = r"""
module: visionfleet_folder
short_description: Keep the files of a folder as they are given
description:
  - Writes all files of a folder in one task, makes the folder, and removes from it what does not belong there.
  - Unlike C(ansible.builtin.copy), it can say in check mode what it would do where the folder is not there yet.
author: visionfleet
options:
  path:
    description: The folder. It is made where it is missing, with those above it.
    type: path
    required: true
  files:
    description: Text of each file by its name.
    type: dict
    required: true
  mode:
    description: Mode of the files, in octal.
    type: str
    default: "0644"
  folder_mode:
    description: Mode of the folder, in octal.
    type: str
    default: "0755"
  exclusive:
    description: Whether other files are removed. Folders are left.
    type: bool
    default: false
  keep:
    description: Whether a file that is there stays as it is.
    type: bool
    default: false
attributes:
  check_mode:
    description: It says what it would do.
    support: full
  diff_mode:
    description: It shows the text of each file that changes.
    support: full
"""

EXAMPLES = r"""
- name: Tell the device who it is
  visionfleet_folder:
    path: /etc/visionfleet
    files:
      device.json: "{{ {'name': inventory_hostname} | to_nice_json }}"
"""

RETURN = r"""
written:
  description: The files that were written.
  returned: always
  type: list
  elements: str
removed:
  description: The files that were removed.
  returned: always
  type: list
  elements: str
"""


class Change(NamedTuple):
    """One file's change; None where there is no file."""

    path: Path
    before: str | None
    after: str | None


def changes(params: dict[str, Any]) -> list[Change]:
    """What has to change in the folder."""
    folder, mode = Path(params["path"]), int(params["mode"], 8)
    found: list[Change] = []
    for name, text in sorted(params["files"].items()):
        path = folder / name
        before = _text(path)
        if before is not None and params["keep"]:
            continue
        if before != text or (path.stat().st_mode & 0o7777) != mode:
            found.append(Change(path, before, text))
    if params["exclusive"] and folder.is_dir():
        strangers = (path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in params["files"])
        found += [Change(path, _text(path), None) for path in strangers]
    return found


def apply(change: Change, mode: int) -> None:
    """Write a file beside its place and put it there, or remove it."""
    if change.after is None:
        change.path.unlink()
        return
    beside = change.path.with_name(f".{change.path.name}.new")
    descriptor = os.open(str(beside), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(change.after)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(change.path)


def run(module: Any) -> None:
    """Do what was asked, and end the module."""
    params: dict[str, Any] = module.params
    wanted = {name: str(text) for name, text in params["files"].items()}
    bad = next((name for name in wanted if name in {"", ".", ".."} or "/" in name), None)
    if bad is not None:
        module.fail_json(msg=f"'{bad}' is no name of a file: give `path` the folder, and `files` the names in it")
    params["files"] = wanted
    folder, folder_mode = Path(params["path"]), int(params["folder_mode"], 8)
    found = changes(params)
    is_new = not folder.is_dir() or (folder.stat().st_mode & 0o7777) != folder_mode
    if not module.check_mode:
        if is_new:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(folder_mode)
        for change in found:
            apply(change, int(params["mode"], 8))
        if found:
            _sync(folder)
    module.exit_json(
        changed=is_new or bool(found),
        written=[change.path.name for change in found if change.after is not None],
        removed=[change.path.name for change in found if change.after is None],
        diff=[_diff(change) for change in found],
    )


def _diff(change: Change) -> dict[str, str]:
    headers = {"before_header": str(change.path), "after_header": str(change.path)}
    return {**headers, "before": change.before or "", "after": change.after or ""}


def _sync(folder: Path) -> None:
    """Bring the names to the disk as well: the hub has forgotten the key that a power cut would bring back."""
    descriptor = os.open(str(folder), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _text(path: Path) -> str | None:
    """The text of a file, None where there is none. What is no text differs from every text."""
    try:
        return path.read_bytes().decode("utf-8", errors="surrogateescape")
    except OSError:
        return None


def main() -> None:
    """Ansible's way in."""
    options: dict[str, dict[str, Any]] = {
        "path": {"type": "path", "required": True},
        "files": {"type": "dict", "required": True},
        "mode": {"type": "str", "default": "0644"},
        "folder_mode": {"type": "str", "default": "0755"},
        "exclusive": {"type": "bool", "default": False},
        "keep": {"type": "bool", "default": False},
    }
    run(AnsibleModule(argument_spec=options, supports_check_mode=True))


if __name__ == "__main__":
    main()
