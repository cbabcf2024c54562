"""Installing the native runtime, with a stand-in for uv."""

from __future__ import annotations

from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.local import standins
from visionfleet.local import runtime
from visionfleet.local.errors import LocalError
from visionfleet.local.runtime import install, locate

VERSION = "1.8.3"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("VISIONFLEET_UV", raising=False)
    return tmp_path


@pytest.fixture
def uv_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    log = tmp_path / "uv.log"
    monkeypatch.setenv("STANDIN_LOG", str(log))
    monkeypatch.setenv("VISIONFLEET_UV", str(standins.put(tmp_path / "standins", "uv", standins.UV)))
    return log


def test_each_version_and_lock_has_a_folder_of_its_own(cache: Path) -> None:
    folder = locate(VERSION).folder
    assert folder.parent == cache / "visionfleet" / "inference"
    assert folder.name.startswith("1.8.3-")


def test_a_version_without_a_lock_names_those_that_have_one() -> None:
    with pytest.raises(LocalError, match=r"inference 1\.9\.0 cannot be installed natively.* a lock for 1\.8\.3"):
        locate("1.9.0")


def test_a_folder_without_the_marker_is_not_installed() -> None:
    found = locate(VERSION)
    found.folder.mkdir(parents=True)
    assert not found.is_installed
    (found.folder / runtime.MARKER).touch()
    assert found.is_installed
    assert install(VERSION, print) == found


def test_needs_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalError, match="uv is needed"):
        install(VERSION, print)


def test_needs_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "free")  # noqa: PYI024 - what shutil gives is one
    monkeypatch.setenv("VISIONFLEET_UV", "/bin/true")
    monkeypatch.setattr(runtime.shutil, "disk_usage", lambda _: usage(free=3 * 10**9))
    with pytest.raises(LocalError, match=r"needs 8 GB in .*, 3\.0 GB are free"):
        install(VERSION, print)


def test_needs_a_python_that_the_server_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONFLEET_UV", "/bin/true")
    monkeypatch.setattr(runtime.sys, "version_info", (3, 14, 0))
    with pytest.raises(LocalError, match=r"needs Python 3\.13 or older"):
        install(VERSION, print)


@pytest.mark.engine
def test_a_half_installed_runtime_is_made_again(uv_log: Path) -> None:
    found = locate(VERSION)
    (found.folder / "lib").mkdir(parents=True)
    lines: list[str] = []
    assert install(VERSION, lines.append).is_installed
    assert not (found.folder / "lib").exists()
    assert "6.7 GB" in lines[0]
    assert [line.split()[0] for line in uv_log.read_text().splitlines()] == ["venv", "pip"]
    assert "--require-hashes" in uv_log.read_text()


@pytest.mark.engine
def test_two_at_once_install_it_once(monkeypatch: pytest.MonkeyPatch, uv_log: Path) -> None:
    monkeypatch.setenv("STANDIN_SLEEP", "0.5")
    lines: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(install, VERSION, lines.append) for _ in range(2)]
    assert all(one.result().is_installed for one in both)
    assert len(uv_log.read_text().splitlines()) == 2
    assert "another command installs the runtime; waiting for it" in lines


@pytest.mark.engine
def test_an_index_that_is_not_reached_is_told_and_leaves_it_half_installed(
    monkeypatch: pytest.MonkeyPatch, uv_log: Path
) -> None:
    monkeypatch.setenv("STANDIN_SYNC", "2")
    with pytest.raises(LocalError, match=r"step 'packages'.*run the command again") as failure:
        install(VERSION, print)
    assert f"its log is {locate(VERSION).folder}.log" in str(failure.value)
    assert failure.value.log == "stand-in: no index"
    assert not locate(VERSION).is_installed
