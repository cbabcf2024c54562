"""A folder's files are as they are given, after one task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.playbooks.modules import module, run

FOLDER = module("visionfleet_folder")


@pytest.fixture
def keep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the module on a folder that is not there yet."""

    def _keep(**arguments: Any) -> dict[str, Any]:
        return run(FOLDER, capsys, path=str(tmp_path / "etc/ours"), **arguments)

    return _keep


def test_it_makes_the_folder_and_its_files_and_a_second_time_nothing(tmp_path: Path, keep: Any) -> None:
    first = keep(files={"a": "A\n", "b": "B\n"}, mode="0600", folder_mode="0700")
    assert (first["changed"], first["written"]) == (True, ["a", "b"])
    folder = tmp_path / "etc/ours"
    assert (folder / "a").read_text() == "A\n"
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "a")] == [0o700, 0o600]
    assert keep(files={"a": "A\n", "b": "B\n"}, mode="0600", folder_mode="0700")["changed"] is False


def test_check_mode_shows_what_would_be_written_where_nothing_is_yet(tmp_path: Path, keep: Any) -> None:
    said = keep(files={"a": "A\n"}, check=True)
    assert said["changed"] is True
    path = str(tmp_path / "etc/ours/a")
    assert said["diff"] == [{"before_header": path, "after_header": path, "before": "", "after": "A\n"}]
    assert list(tmp_path.iterdir()) == []


def test_only_what_differs_is_written_and_a_mode_counts(tmp_path: Path, keep: Any) -> None:
    keep(files={"a": "A", "b": "B", "c": "C"})
    (tmp_path / "etc/ours/c").chmod(0o666)
    assert keep(files={"a": "A", "b": "new", "c": "C"})["written"] == ["b", "c"]
    assert (tmp_path / "etc/ours/c").stat().st_mode & 0o777 == 0o644


def test_others_stay_unless_the_folder_is_exclusive(tmp_path: Path, keep: Any) -> None:
    keep(files={"old": "", "kept": ""})
    (tmp_path / "etc/ours/__pycache__").mkdir()
    assert keep(files={"kept": ""})["removed"] == []
    assert keep(files={"kept": ""}, exclusive=True, check=True)["removed"] == ["old"]
    assert keep(files={"kept": ""}, exclusive=True)["removed"] == ["old"]
    assert sorted(path.name for path in (tmp_path / "etc/ours").iterdir()) == ["__pycache__", "kept"]


def test_what_was_found_first_is_remembered(tmp_path: Path, keep: Any) -> None:
    keep(files={"found.json": "first"}, keep=True)
    assert keep(files={"found.json": "second"}, keep=True)["changed"] is False
    assert (tmp_path / "etc/ours/found.json").read_text() == "first"


def test_a_file_that_is_no_text_is_replaced(tmp_path: Path, keep: Any) -> None:
    keep(files={"a": "A"})
    (tmp_path / "etc/ours/a").write_bytes(b"\xff\xfe")
    assert keep(files={"a": "A"})["written"] == ["a"]


def test_what_is_written_is_on_the_disk_first_the_file_and_then_its_name(
    tmp_path: Path, keep: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(
        FOLDER.os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
    )
    keep(files={"key": "K"})
    keep(files={"key": "K"})
    assert synced == [tmp_path / "etc/ours/.key.new", tmp_path / "etc/ours"]


@pytest.mark.parametrize("name", ["../a", "/a", "..", ""])
def test_a_name_that_leads_elsewhere_is_refused(keep: Any, name: str) -> None:
    assert "is no name of a file" in keep(files={name: ""})["msg"]
