from pathlib import Path

import pytest

from visionfleet.generate import GENERATED, ROOT, drifted, main


def test_the_committed_files_are_up_to_date() -> None:
    assert drifted(ROOT) == []


def test_files_are_written_then_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"], tmp_path) == 1
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {GENERATED[-1].path}"


def test_a_file_that_has_drifted_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([], tmp_path)
    capsys.readouterr()
    (tmp_path / GENERATED[1].path).write_text("edited by hand", encoding="utf-8")

    assert main(["--check"], tmp_path) == 1

    assert capsys.readouterr().out == f"{GENERATED[1].path} has drifted from the models: run `make generate`\n"
