"""What holds for every playbook and role, read from their files; tests/edge runs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from visionfleet.projections.roles import ROLES, role_name

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"
BOOKS = sorted(PLAYBOOKS.glob("*.yml"))
TASKS = sorted([*PLAYBOOKS.glob("roles/*/tasks/*.yml"), *PLAYBOOKS.glob("roles/*/handlers/*.yml")])
SECRETS = (
    "device_agent_fleet_key",
    "_container_engine_login",
    "/etc/visionfleet/key",
    "_device_agent_present.content",
    "_device_agent_answer.json",
)
WITHOUT_SECRETS = ("ansible.builtin.assert", "ansible.builtin.stat")  # which show what is asked, not what is there
BLOCKS = ("block", "rescue", "always")


def tasks(path: Path) -> Iterator[dict[str, Any]]:
    """Those of a file, those in blocks too."""
    for entry in yaml.safe_load(path.read_text()):
        inner = [task for key in (*BLOCKS, "tasks") for task in entry.get(key, [])]
        yield from inner or [entry]


def play(name: str) -> dict[str, Any]:
    return yaml.safe_load((PLAYBOOKS / name).read_text())[0]


def test_the_site_has_every_role_in_its_order_each_with_its_tag() -> None:
    roles = play("site.yml")["roles"]
    assert [role["role"] for role in roles] == [role_name(role) for role in ROLES]
    assert all(role["tags"] == [role["role"]] for role in roles)


@pytest.mark.parametrize("name", ["site.yml", "release.yml", "verify.yml", "rollback.yml", "reset.yml"])
def test_parts_of_a_playbook_are_named_as_the_roles(name: str) -> None:
    """A reboot has no parts."""
    parts = [*play(name).get("roles", []), *play(name).get("tasks", [])]
    known = {role_name(role) for role in ROLES} | {"always", "never"}
    assert [part for part in parts if not set(part.get("tags", ())) <= known or "tags" not in part] == []


def test_only_the_preflight_does_without_root() -> None:
    assert [role["role"] for role in play("site.yml")["roles"] if not role.get("become")] == ["preflight"]


@pytest.mark.parametrize("book", BOOKS, ids=lambda path: path.name)
def test_no_playbook_gathers_facts(book: Path) -> None:
    assert [one["gather_facts"] for one in yaml.safe_load(book.read_text())] == [False]
    assert play(book.name)["hosts"] == "edge"


def test_a_release_is_one_task_a_device() -> None:
    release = [task for task in play("release.yml")["tasks"] if "never" not in task["tags"]]
    assert len(release) == 1
    assert len(list(tasks(PLAYBOOKS / "roles/inference_server/tasks/main.yml"))) == 1


def test_a_task_with_a_secret_is_not_logged() -> None:
    told, secrets = [], set[str]()
    for path in TASKS:
        for task in tasks(path):
            asked = {key: value for key, value in task.items() if key not in ("when", "name", *WITHOUT_SECRETS)}
            found = {secret for secret in SECRETS if secret in str(asked)}
            secrets |= found
            if found and not task.get("no_log"):
                told.append((path.name, task["name"]))
    assert told == []
    assert secrets == set(SECRETS), "each is used somewhere"


def test_no_command_line_has_a_secret() -> None:
    commands = [
        task["ansible.builtin.command"] for path in TASKS for task in tasks(path) if "ansible.builtin.command" in task
    ]
    assert commands
    assert [command for command in commands if any(word in str(command) for word in ("password", "key", "login"))] == []


def test_no_role_asks_for_facts() -> None:
    asked = [
        path for path in (*BOOKS, *TASKS) if "ansible_facts" in path.read_text() or "builtin.setup" in path.read_text()
    ]
    assert asked == []
