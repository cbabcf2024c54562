"""`visionfleet render gitops`: written, compared, kept apart from other files."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.projections.test_gitops import config_of
from visionfleet.cli import app


@pytest.fixture
def file(tmp_path: Path) -> Path:
    config_of(tmp_path)
    return tmp_path / "visionfleet.yaml"


def render(file: Path, *options: str):
    out = file.parent / "tree"
    return CliRunner().invoke(app, ["render", "gitops", str(file), "--out", str(out), *options])


def test_what_was_written_is_up_to_date(file: Path) -> None:
    first = render(file)
    assert first.exit_code == 0, first.output
    assert "wrote" in first.stdout
    assert "values.yaml" in first.stdout
    assert "up to date" in render(file).stdout
    assert render(file, "--check").exit_code == 0


def test_a_tree_that_was_never_written_is_found_out_and_not_written(file: Path) -> None:
    result = render(file, "--check")
    assert result.exit_code == 1
    assert not (file.parent / "tree").exists()


def test_drift_is_shown_with_the_command_that_ends_it(file: Path) -> None:
    render(file)
    file.write_text(file.read_text().replace("min: 1, max: 3", "min: 1, max: 4"))
    result = render(file, "--check")
    assert result.exit_code == 1
    assert "-        max: 3" in result.stdout
    assert "+        max: 4" in result.stdout
    assert "flux/release.yaml, values.yaml" in result.stderr
    assert f"visionfleet render gitops {file}" in result.stderr
    assert render(file).exit_code == 0
    assert render(file, "--check").exit_code == 0


def test_a_file_of_ours_that_is_needed_no_more_is_drift_and_goes(file: Path) -> None:
    render(file)
    old = file.parent / "tree/karpenter/pools.yaml"
    old.parent.mkdir()
    old.write_text((file.parent / "tree/values.yaml").read_text())
    assert render(file, "--check").exit_code == 1
    assert "removed" in render(file).stdout
    assert not old.exists()


def test_others_files_are_named_and_are_no_drift(file: Path) -> None:
    render(file)
    other = file.parent / "tree/flux/alerts.yaml"
    other.write_text("kind: Alert\n")
    result = render(file, "--check")
    assert result.exit_code == 0
    assert "alerts.yaml was not made by this command" in result.stderr
    assert render(file).exit_code == 0
    assert other.exists()


def test_a_file_in_the_way_is_bad_input(file: Path) -> None:
    (file.parent / "tree").mkdir()
    (file.parent / "tree/values.yaml").write_text("mine: true\n")
    result = render(file)
    assert result.exit_code == 2
    assert "move it away" in result.stderr
    assert (file.parent / "tree/values.yaml").read_text() == "mine: true\n"


def test_a_long_difference_is_cut(file: Path) -> None:
    result = render(file, "--check")
    assert "more lines" in result.stdout
    assert max(map(len, result.stdout.split("---"))) < 10_000


def test_a_digest_that_is_none_is_bad_input(file: Path) -> None:
    assert render(file, "--digest", "latest").exit_code == 2


def test_the_digest_of_an_option_reaches_the_values(file: Path) -> None:
    digest = f"sha256:{'1' * 64}"
    assert render(file, "--digest", digest).exit_code == 0
    assert digest in (file.parent / "tree/values.yaml").read_text()


def test_a_file_that_cannot_run_in_a_cluster_is_told_every_reason(file: Path) -> None:
    file.write_text(file.read_text().replace("enabled: false", "enabled: true"))
    result = render(file)
    assert result.exit_code == 2
    for key in ("hub.database", "hub.storage", "hub.signing_key"):
        assert f"{file}: {key}" in result.stderr


def test_a_file_without_the_section_is_told_so(file: Path) -> None:
    file.write_text("name: small\nworkspace: acme\n")
    result = render(file)
    assert result.exit_code == 2
    assert "serverless.gitops is missing" in result.stderr
