"""Modules of playbooks/library, run as Ansible runs them: arguments in, JSON out."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

LIBRARY = Path(__file__).parents[2] / "playbooks/library"


def module(name: str) -> ModuleType:
    """One of them. Ansible knows them by file, not by package."""
    spec = importlib.util.spec_from_file_location(name, LIBRARY / f"{name}.py")
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def run(loaded: ModuleType, capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    """What its main says; `check=True` is check mode."""
    check = arguments.pop("check", False)
    options = {**arguments, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": "/nowhere"}
    with patch_module_args(options), pytest.raises(SystemExit):
        loaded.main()
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said
