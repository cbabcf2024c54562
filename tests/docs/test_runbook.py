"""The runbook has an entry for each stable code of the source, and no entry without a code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.codes import HUB, SOURCE, VALIDATE, WORKER, Area, codes, messages, reasons, reports
from tests.docs.pages import ROOT, RUNBOOK

TABLE = re.compile(r"^\| (code|it says) \|.*\n\|-.*\n((?:\|.*\n)+)", re.MULTILINE)


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


def test_the_index_names_every_page() -> None:
    index = (RUNBOOK / "README.md").read_text(encoding="utf-8")
    missing = [page.name for page in RUNBOOK.glob("*.md") if page.name != "README.md" and f"({page.name})" not in index]
    assert missing == []
