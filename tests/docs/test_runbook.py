"""The runbook has an entry for each stable code of the source, and no entry without a code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.codes import HUB, SOURCE, VALIDATE, WORKER, Area, codes, messages, reasons, reports
from tests.docs.pages import ROOT, RUNBOOK

LIBRARY = ROOT / "playbooks/library"
TABLE = re.compile(r"^\| (code|it says|the platform answers) \|.*\n\|-.*\n((?:\|.*\n)+)", re.MULTILINE)


def entries(page: Path, header: str) -> set[str]:
    """What stands in the first column of the page's tables, where that column has this header."""
    tables = (rows for first, rows in TABLE.findall(page.read_text(encoding="utf-8")) if first == header)
    cells = (row.split("|")[1] for table in tables for row in table.splitlines())
    return {entry for cell in cells for entry in re.findall("`([^`]+)`", cell)}


@pytest.mark.parametrize(("page", "area"), [("hub", HUB), ("validate", VALIDATE), ("worker", WORKER)])
def test_every_code_has_an_entry_and_every_entry_a_code(page: str, area: Area) -> None:
    written, made = entries(RUNBOOK / f"{page}.md", "code"), codes(area)
    assert made - written == set(), f"codes without an entry in docs/runbook/{page}.md"
    assert written - made == set(), f"entries of docs/runbook/{page}.md that no code has"


def test_every_message_of_the_local_stack_has_an_entry_and_every_entry_a_message() -> None:
    made = messages("local", "LocalError") | reasons("local", "why_not")
    assert entries(RUNBOOK / "local.md", "it says") == made


def test_every_message_of_the_cloud_has_an_entry() -> None:
    """The page also has what Pulumi, AWS and machines say, which is in no source here."""
    program = reports((ROOT / "infra").rglob("*.py"), {"RunError", "UserDataError"})
    commands = reports(
        [SOURCE / "stacks.py", SOURCE / "projections/outputs.py", SOURCE / "projections/prices/__init__.py"],
        {"StackUnavailable", "OutputsDiffer", "PriceMissing"},
    )
    assert len(program) > 5
    assert len(commands) > 5
    begin = {text.partition("`")[0].strip() for text in program | commands}  # a cell of code ends at a backtick
    assert begin <= entries(RUNBOOK / "cloud.md", "it says")


def test_every_message_on_the_way_to_pods_has_an_entry() -> None:
    sources = ("hub/deployments.py", "projections/published.py", "projections/gitops.py")
    errors = {"BadManifest", "DeploymentError", "NoGitOps", "NotPublishable"}
    made = reports([SOURCE / path for path in sources], errors)
    assert len(made) > 10
    begin = {text.partition("`")[0].strip() for text in made}
    assert begin - entries(RUNBOOK / "gitops.md", "it says") - entries_in_brackets() == set()


def entries_in_brackets() -> set[str]:
    """What stands within another message."""
    row = next(line for line in (RUNBOOK / "gitops.md").read_text().splitlines() if "In brackets" in line)
    return set(re.findall("`([^`]+)`", row))


def test_each_rule_of_the_preflight_has_an_entry_and_each_entry_a_rule() -> None:
    assert entries(RUNBOOK / "edge.md", "code") == reports([LIBRARY / "visionfleet_preflight.py"], {"Finding"})


def test_every_message_of_a_device_has_an_entry() -> None:
    """The page also has what Ansible, Docker and apt say, and what is worked out from answers of the server."""
    made = reports((ROOT / "playbooks/device").rglob("*.py"), {"GateFailed", "DeviceError", "Refused", "Unreachable"})
    assert len(made) > 40
    begin = {text for text in made if not text.startswith("`")}
    assert begin - entries(RUNBOOK / "edge.md", "it says") == set()


def test_each_code_of_a_devices_platform_has_an_entry_and_each_entry_a_code() -> None:
    source = (ROOT / "playbooks/device/visionfleet_device/platform_server.py").read_text(encoding="utf-8")
    made = set(re.findall(r"Refusal\(\s*\d+, \"(\w+)\"", source))
    assert made
    assert entries(RUNBOOK / "edge.md", "the platform answers") == made


def test_every_message_of_a_playbook_begins_as_an_entry() -> None:
    known = tuple(entry.rstrip("….: ") for entry in entries(RUNBOOK / "edge.md", "it says"))
    said = list(_fail_messages())
    assert len(said) > 10
    assert [message for message in said if not message.startswith(known)] == []


def _fail_messages() -> Iterator[str]:
    """What a task of ours says where it fails, `…` standing for what is filled in."""
    for path in (ROOT / "playbooks").rglob("*.yml"):
        for found in re.findall(r"fail_msg: (?:>-\n\s+)?\"?(.+)", path.read_text(encoding="utf-8")):
            yield re.sub(r"{{.*?}}", "…", found)


def test_the_index_names_every_page() -> None:
    index = (RUNBOOK / "README.md").read_text(encoding="utf-8")
    missing = [page.name for page in RUNBOOK.glob("*.md") if page.name != "README.md" and f"({page.name})" not in index]
    assert missing == []
