"""Folders of rendered files: what is ours is kept as it is to be, and nobody else's file is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from visionfleet.rendered import InTheWay, RenderedFolder

MARK = "# Made by a test"
TREE = {"values.yaml": f"{MARK}\na: 1\n", "flux/release.yaml": f"{MARK}\nb: 2\n"}


@pytest.fixture
def rendered(tmp_path: Path) -> RenderedFolder:
    return RenderedFolder(tmp_path / "tree", MARK, ("argocd", "flux"))


def files(rendered: RenderedFolder) -> dict[str, str]:
    found = (path for path in rendered.folder.rglob("*") if path.is_file())
    return {path.relative_to(rendered.folder).as_posix(): path.read_text() for path in found}


def put(rendered: RenderedFolder, name: str, text: str) -> Path:
    path = rendered.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_it_is_written_and_then_nothing_is_left_to_do(rendered: RenderedFolder) -> None:
    assert rendered.write(TREE) == ["flux/release.yaml", "values.yaml"]
    assert files(rendered) == TREE
    assert rendered.differences(TREE) == {}
    assert rendered.write(TREE) == []


def test_each_difference_is_shown(rendered: RenderedFolder) -> None:
    rendered.write(TREE)
    put(rendered, "values.yaml", f"{MARK}\na: 7\n")
    (rendered.folder / "flux/release.yaml").unlink()
    put(rendered, "argocd/application.yaml", f"{MARK}\nc: 3\n")
    differences = rendered.differences(TREE)
    assert list(differences) == ["argocd/application.yaml", "flux/release.yaml", "values.yaml"]
    assert "-c: 3" in differences["argocd/application.yaml"].splitlines()
    assert "+b: 2" in differences["flux/release.yaml"].splitlines()
    assert {"-a: 7", "+a: 1"} <= set(differences["values.yaml"].splitlines())


def test_what_is_rendered_no_more_goes_with_its_empty_folder(rendered: RenderedFolder) -> None:
    rendered.write(TREE | {"argocd/application.yaml": f"{MARK}\nc: 3\n"})
    assert rendered.write(TREE) == ["argocd/application.yaml"]
    assert files(rendered) == TREE
    assert not (rendered.folder / "argocd").exists()


def test_others_files_are_named_and_left(rendered: RenderedFolder) -> None:
    rendered.write(TREE)
    others = {"flux/alerts.yaml": "kind: Alert\n", "secrets.yaml": "kind: SealedSecret\n", "README.md": "ours\n"}
    for name, text in others.items():
        put(rendered, name, text)
    put(rendered, "apps/deep/other.yaml", "kind: Other\n")
    assert rendered.foreign(TREE) == ["flux/alerts.yaml", "secrets.yaml"]
    assert rendered.differences(TREE) == {}
    assert rendered.write({}) == ["flux/release.yaml", "values.yaml"]
    assert files(rendered) == others | {"apps/deep/other.yaml": "kind: Other\n"}


def test_a_file_in_the_way_keeps_everything_from_being_written(rendered: RenderedFolder) -> None:
    put(rendered, "values.yaml", "mine: true\n")
    with pytest.raises(InTheWay, match=r"values\.yaml was not rendered by this command: move it away"):
        rendered.write(TREE)
    assert files(rendered) == {"values.yaml": "mine: true\n"}
    assert "values.yaml" in rendered.differences(TREE)


def test_a_link_is_never_written_through(rendered: RenderedFolder, tmp_path: Path) -> None:
    rendered.write(TREE)
    target = tmp_path / "elsewhere.yaml"
    (rendered.folder / "values.yaml").rename(target)
    (rendered.folder / "values.yaml").symlink_to(target)
    with pytest.raises(InTheWay):
        rendered.write({**TREE, "values.yaml": f"{MARK}\na: 2\n"})
    assert target.read_text() == TREE["values.yaml"]


def test_a_file_that_is_no_text_is_somebody_elses(rendered: RenderedFolder) -> None:
    rendered.folder.mkdir()
    (rendered.folder / "values.yaml").write_bytes(b"\xff\xfe")
    assert rendered.foreign({}) == ["values.yaml"]
    with pytest.raises(InTheWay):
        rendered.write(TREE)
