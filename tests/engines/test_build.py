"""The script that builds the engines: what it takes from where, and what it says. Nothing is built."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from engines import build

SCRIPT = Path(build.__file__)
PULUMI = build.ENGINES["pulumi"]
HOST = build.ENGINES["pulumi-language-python"]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a PATH on which there is nothing; returns the folder that is on it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("VISIONFLEET_REQUIRE_ENGINES", raising=False)
    return folder


def executable(path: Path, output: str = "") -> None:
    """A command that prints one line."""
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)


def test_without_go_it_says_what_is_missing_and_skips(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main([]) == 0
    said = capsys.readouterr().err
    assert f"SKIPPED: {', '.join(build.ENGINES)}: Go is not on PATH" in said
    assert "install Go 1." in said


def test_without_go_it_fails_where_engines_are_required(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISIONFLEET_REQUIRE_ENGINES", "1")
    assert build.main(["pulumi"]) == 1
    assert capsys.readouterr().err.startswith("error: pulumi: Go is not on PATH")


@pytest.mark.parametrize("version", ["v3.259.0", "v3.301.2"])
def test_an_engine_on_path_serves_where_its_version_fits(empty: Path, version: str) -> None:
    executable(empty / "pulumi", version)
    assert build.locate("pulumi") == empty
    assert build.locate("pulumi-language-python") is None, "it does not lie beside it"
    executable(empty / "pulumi-language-python")
    assert build.locate("pulumi-language-python") == empty


@pytest.mark.parametrize("version", ["v3.99.0", "v4.0.0", "unknown"])
def test_an_engine_on_path_of_another_version_is_left(empty: Path, version: str) -> None:
    executable(empty / "pulumi", version)
    assert build.locate("pulumi") is None


def test_a_half_built_or_outdated_engine_is_not_taken(empty: Path) -> None:
    HOST.folder.mkdir(parents=True)
    assert build.locate(HOST.name) is None
    (HOST.folder / build.MARKER).write_text("made from something else")
    assert build.locate(HOST.name) is None
    (HOST.folder / build.MARKER).write_text(build._digest(HOST))
    assert build.locate(HOST.name) == HOST.folder


def test_a_failed_build_leaves_nothing_and_shows_why(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "go").write_text("#!/bin/sh\necho 'go: no space left' >&2\nexit 1\n")
    (empty / "go").chmod(0o755)
    assert build.main(["pulumi"]) == 1
    assert "go: no space left" in capsys.readouterr().err
    assert not PULUMI.folder.exists()
    assert [path.name for path in PULUMI.folder.parent.iterdir() if path.is_dir()] == []


def test_two_builds_at_once_build_once(empty: Path, tmp_path: Path) -> None:
    """The go of this test takes its time and counts how often it is asked to install."""
    calls = tmp_path / "calls"
    sleep = "/bin/sleep" if Path("/bin/sleep").exists() else "/usr/bin/sleep"
    script = f'#!/bin/sh\nif [ "$1" = install ]; then echo x >> {calls}; {sleep} 0.5; echo > "$GOBIN/pulumi"; fi\n'
    (empty / "go").write_text(script)
    (empty / "go").chmod(0o755)
    command = [sys.executable, str(SCRIPT), "pulumi"]
    children = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, env=dict(os.environ), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [child.communicate(timeout=120)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert calls.read_text() == "x\n"
    assert any("waiting for it" in text for text in said)
    assert (PULUMI.folder / "pulumi").exists()


@pytest.mark.parametrize("says", [None, "module lookup disabled"])
def test_a_module_that_is_not_to_be_had_says_why(empty: Path, says: str | None) -> None:
    if says:
        (empty / "go").write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n")
        (empty / "go").chmod(0o755)
    with pytest.raises(build.BuildError, match=f"sigs.k8s.io/kueue is not to be had: {says or 'install Go'}"):
        build.module_folder("crds", "sigs.k8s.io/kueue")


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        build.main(["pulumy"])
    assert "no such engine: pulumy (known: pulumi, pulumi-language-python," in capsys.readouterr().err


def test_the_pinned_modules_are_those_of_the_table() -> None:
    for engine in build.ENGINES.values():
        pins = (SCRIPT.parent / engine.name / "go.mod").read_text()
        assert all(re.search(rf"^(tool |\t){re.escape(package)}$", pins, re.MULTILINE) for package in engine.packages)
        assert f" v{engine.version}" in pins
