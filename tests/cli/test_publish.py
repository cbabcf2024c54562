"""`visionfleet hub publish` and `visionfleet hub fetch`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from visionfleet.cli import app

ACME = Path(__file__).parents[2] / "examples" / "acme"
KEY = "the-key-of-the-bucket"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example's file, with a storage in the environment."""
    shutil.copytree(ACME, tmp_path / "acme")
    monkeypatch.setenv("VISIONFLEET_STORAGE_URL", str(tmp_path / "storage"))
    return tmp_path / "acme" / "visionfleet.yaml"


def run(*arguments: str | Path):
    return CliRunner().invoke(app, ["hub", *map(str, arguments)])


def test_what_is_printed_is_what_a_pod_fetches(file: Path, tmp_path: Path) -> None:
    published = run("publish", "--file", file)
    assert published.exit_code == 0, published.output
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", published.stdout)
    assert "models/screws-3/weights.onnx" in published.stderr
    fetched = run("fetch", "--digest", published.stdout.strip(), "--to", tmp_path / "pod")
    assert fetched.exit_code == 0, fetched.output
    validated = CliRunner().invoke(app, ["validate", str(tmp_path / "pod/visionfleet.yaml")])
    assert validated.exit_code == 0, validated.output


def test_a_second_run_uploads_nothing(file: Path) -> None:
    run("publish", "--file", file)
    assert "0 of them uploaded" in run("publish", "--file", file).stderr
    assert "0 of them uploaded" not in run("publish", "--file", file, "--again").stderr


def test_without_the_variable_the_storage_is_that_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISIONFLEET_STORAGE_URL", raising=False)
    small = tmp_path / "small.yaml"
    small.write_text("name: small\nworkspace: acme\nhub: {storage: ./objects}\n")
    assert run("publish", "--file", small).exit_code == 0
    assert (tmp_path / "objects/deployments/blobs").is_dir()


def test_what_pods_would_not_find_is_bad_input(file: Path, tmp_path: Path) -> None:
    shutil.move(file.parent / "models", tmp_path / "models")
    file.write_text(file.read_text().replace("./models/", "../models/"))
    result = run("publish", "--file", file)
    assert result.exit_code == 2
    assert "models[0].package (" in result.stderr
    assert not (tmp_path / "storage").exists()


def test_a_deployment_that_nobody_published_fails(file: Path, tmp_path: Path) -> None:
    result = run("fetch", "--digest", f"sha256:{'0' * 64}", "--to", tmp_path / "pod")
    assert result.exit_code == 1
    assert "run `visionfleet hub publish`" in result.stderr
    assert not (tmp_path / "pod").exists()


@pytest.mark.parametrize("digest", ["sha256:abc", "0" * 64, "latest", f"sha256:{'0' * 64}\n"])
def test_what_is_no_digest_is_bad_input(file: Path, tmp_path: Path, digest: str) -> None:
    result = run("fetch", "--digest", digest, "--to", tmp_path / "pod")
    assert result.exit_code == 2
    assert "hexadecimal" in result.output


def test_without_a_storage_fetch_says_which_variable_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("VISIONFLEET_STORAGE_URL", raising=False)
    result = run("fetch", "--digest", f"sha256:{'0' * 64}", "--to", tmp_path / "pod")
    assert result.exit_code == 2
    assert "VISIONFLEET_STORAGE_URL is not set" in result.stderr


def test_a_wrong_storage_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VISIONFLEET_STORAGE_URL", "s\0".replace("\0", "a" * 300))
    result = run("fetch", "--digest", f"sha256:{'0' * 64}", "--to", tmp_path / "pod")
    assert result.exit_code == 2
    assert "VISIONFLEET_STORAGE_URL is not a path" in result.stderr
