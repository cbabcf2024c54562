"""Files, links and locks."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from visionfleet_device import links
from visionfleet_device.errors import Busy
from visionfleet_device.locks import held


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "a/b/file"
    links.write(file, b"old", 0o600)
    links.write(file, b"new", 0o600)
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["file"]


def test_a_link_is_replaced_also_where_a_cut_left_half_of_one(tmp_path: Path) -> None:
    (tmp_path / "link.new").symlink_to("nowhere")
    links.point(tmp_path / "link", "a")
    links.point(tmp_path / "link", "b")
    assert links.target_of(tmp_path / "link") == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_what_is_gone_is_gone(tmp_path: Path) -> None:
    links.remove(tmp_path / "nothing")
    links.remove_folder(tmp_path / "nothing")
    assert links.target_of(tmp_path / "nothing") is None
    (tmp_path / "link").symlink_to("nowhere")
    links.remove(tmp_path / "link")
    assert not links.exists(tmp_path / "link")


def test_all_that_is_there_goes_and_of_a_link_nothing_but_the_link(tmp_path: Path) -> None:
    links.write(tmp_path / "folder/file", b"")
    (tmp_path / "link").symlink_to("folder")
    links.remove_all(tmp_path / "nothing")
    links.remove_all(tmp_path / "link")
    assert (tmp_path / "folder/file").exists()
    links.remove_all(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_an_opened_folder_is_the_same_also_where_another_takes_its_place(tmp_path: Path) -> None:
    links.write(tmp_path / "folder/file", b"")
    links.write(tmp_path / "other/file", b"")
    with links.opened(tmp_path / "folder") as folder:
        (tmp_path / "folder").rename(tmp_path / "moved")
        (tmp_path / "folder").symlink_to("other")
        links.remove(folder / "file")
    assert list((tmp_path / "moved").iterdir()) == []
    assert (tmp_path / "other/file").exists()
    with pytest.raises(NotADirectoryError), links.opened(tmp_path / "folder"):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"\x00" * 100])
def test_json_that_is_no_object_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert links.read_json(tmp_path / "file") is None
    assert links.read_json(tmp_path / "nothing") is None


def test_a_lock_is_held_by_one_and_let_go_also_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path / "a/lock", "a release"):
        with pytest.raises(Busy), held(tmp_path / "a/lock", "a release"):
            pass
        raise ZeroDivisionError
    with held(tmp_path / "a/lock", "a release"):
        pass
