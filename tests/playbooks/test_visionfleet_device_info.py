"""The module that asks a device what runs."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from ansible.module_utils.basic import AnsibleModule

from tests.playbooks import modules


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = modules.module("visionfleet_device_info")
    monkeypatch.setattr(module, "PROGRAM", tmp_path / "visionfleet-device")
    return module


def program_says(monkeypatch: pytest.MonkeyPatch, loaded: ModuleType, *said: object) -> None:
    loaded.PROGRAM.touch()
    monkeypatch.setattr(AnsibleModule, "run_command", lambda *_: said)


def test_gives_what_the_program_says(
    loaded: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program_says(monkeypatch, loaded, 0, '{"current": "0c5d2e77a1f4"}', "")
    said = modules.run(loaded, capsys, check=True)
    assert said["changed"] is False
    assert said["info"] == {"installed": True, "current": "0c5d2e77a1f4"}


def test_a_device_without_the_program_is_no_failure(loaded: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert modules.run(loaded, capsys)["info"] == {"installed": False}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((1, '{"error": "docker does not answer", "fix": ""}', ""), "docker does not answer"),
        ((1, "", "Traceback\nKeyError: 'x'\n"), "KeyError: 'x'"),
        ((0, "", ""), "it said nothing"),
    ],
)
def test_a_program_that_fails_is_named(
    loaded: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: tuple[int, str, str],
    message: str,
) -> None:
    program_says(monkeypatch, loaded, *answer)
    assert modules.run(loaded, capsys)["msg"] == f"visionfleet-device info failed: {message}"
