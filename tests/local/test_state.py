"""local.json."""

from __future__ import annotations

from pathlib import Path

import pytest

from visionfleet.local.errors import LocalError
from visionfleet.local.processes import Process
from visionfleet.local.state import FILE_NAME, State


def test_comes_back_as_it_was_written(tmp_path: Path) -> None:
    process = Process(name="hub", pid=12, started=1.5, mark="ab", log=tmp_path / "hub.log")
    state = State(file=tmp_path / "visionfleet.yaml", runtime="native", key_ids=["k1"], processes=[process])
    state.write(tmp_path)
    assert State.read(tmp_path) == state
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_is_none_where_nothing_was_started(tmp_path: Path) -> None:
    assert State.read(tmp_path) is None
    State.remove(tmp_path)


@pytest.mark.parametrize("content", ["", "{", '{"file": 3}', '{"file": "/f", "processes": [{"pid": "x"}]}'])
def test_a_broken_one_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(LocalError, match=r"local\.json cannot be read"):
        State.read(tmp_path)
