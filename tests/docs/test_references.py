"""What the documentation refers to is there: files, sections, make targets, commands with their options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.docs.pages import ADR, PAGES, ROOT
from visionfleet.cli import app

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FOLDERS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def inline_code(page: Path) -> list[str]:
    outside_blocks = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return CODE.findall(outside_blocks)


def anchors(page: Path) -> set[str]:
    """The sections of a page as links name them."""
    titles = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@every_page
def test_links_lead_to_files_and_sections_that_are_there(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, section = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not section or section in anchors(target), link


@every_page
def test_paths_in_the_text_are_there(page: Path) -> None:
    paths = (code for code in inline_code(page) if code.startswith(FOLDERS) and not re.search(r"[<>*{}… ]", code))
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert missing == []


@every_page
def test_make_targets_in_the_text_are_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {code.split()[1] for code in inline_code(page) if re.match(r"make [a-z]+", code)}
    assert named <= targets


@every_page
def test_commands_in_the_text_are_there_with_their_options(page: Path) -> None:
    for code in inline_code(page):
        if code.startswith("visionfleet "):
            check_command(code)


def check_command(code: str) -> None:
    command: Any = typer.main.get_command(app)
    for word in code.split()[1:]:
        below = getattr(command, "commands", None)
        if below and not word.startswith("-"):
            assert word in below, f"`{code}`: there is no command {word}"
            command = below[word]
        elif word.startswith("-"):
            options = {name for parameter in command.params for name in parameter.opts}
            assert word in {*options, "--help"}, f"`{code}`: there is no option {word}"


def test_a_command_that_is_not_there_is_found() -> None:
    check_command("visionfleet hub keys create --name NAME --role worker")
    for wrong in ("visionfleet hub start", "visionfleet validate --strict"):
        with pytest.raises(AssertionError, match="there is no"):
            check_command(wrong)


def test_decisions_are_numbered_without_a_gap_and_all_are_in_the_index() -> None:
    pages = sorted(page.name for page in ADR.glob("[0-9]*.md"))
    assert [int(name[:4]) for name in pages] == list(range(1, len(pages) + 1))
    assert LINK.findall((ADR / "README.md").read_text(encoding="utf-8")) == pages


def test_hooks_run_what_is_in_the_checkout() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert {source["repo"] for source in config["repos"]} == {"local"}
    programs = {hook["entry"].split()[0] for source in config["repos"] for hook in source["hooks"]}
    assert all((ROOT / program).exists() for program in programs)
