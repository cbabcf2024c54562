from pathlib import Path

import pytest

from tests.config.support import problems_of, write_file
from visionfleet.config import SecretRef, SecretUnavailable, load
from visionfleet.config.secrets import MAX_SECRET_BYTES


def signing_key(folder: Path, reference: str) -> SecretRef:
    key = load(write_file(folder, f"hub: {{signing_key: '{reference}'}}\n")).hub.signing_key
    assert key is not None
    return key


def test_a_secret_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_KEY", "a secret")
    key = signing_key(tmp_path, "env:HUB_KEY")

    assert key.resolve() == "a secret"
    assert str(key) == "env:HUB_KEY"
    assert repr(key) == "SecretRef('env:HUB_KEY')"


def test_a_secret_comes_from_a_file_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a secret\n", encoding="utf-8")
    key = signing_key(tmp_path, "file:./key")

    assert key.resolve() == "a secret"
    assert str(key) == f"file:{tmp_path}/key"


def test_the_secret_is_not_in_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_KEY", "a secret")
    config = load(write_file(tmp_path, "hub: {signing_key: env:HUB_KEY}\n"))

    for printed in (repr(config), str(config), config.model_dump_json(), str(config.model_dump())):
        assert "a secret" not in printed
        assert "env:HUB_KEY" in printed


def test_references_are_equal_where_they_name_the_same(tmp_path: Path) -> None:
    assert signing_key(tmp_path, "env:A") == signing_key(tmp_path, "env:A")
    assert len({signing_key(tmp_path, "env:A"), signing_key(tmp_path, "env:A"), signing_key(tmp_path, "env:B")}) == 2


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("env:NOT_SET", "env:NOT_SET is not set"),
        ("env:EMPTY", "env:EMPTY is not set"),
        ("file:none", "none cannot be read: No such file or directory"),
        ("file:.", " cannot be read: Is a directory"),
        ("file:empty", "empty is empty"),
        ("file:binary", "binary is not UTF-8 text"),
        ("file:large", f"large is over {MAX_SECRET_BYTES} bytes"),
    ],
)
def test_a_secret_that_is_not_there(
    reference: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.setenv("EMPTY", "")
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * (MAX_SECRET_BYTES + 1))

    with pytest.raises(SecretUnavailable) as caught:
        signing_key(tmp_path, reference).resolve()

    assert message in str(caught.value)


@pytest.mark.parametrize(
    "value", ["hunter2", "env:", "env:1A", "env:A B", "file:", "vault:x", "ENV:A", "file: ", "[a]"]
)
def test_anything_else_is_refused_and_not_repeated(value: str, tmp_path: Path) -> None:
    (problem,) = problems_of(write_file(tmp_path, f'hub: {{signing_key: "{value}"}}\n'))

    assert problem.path == "hub.signing_key"
    assert problem.value is None or problem.value == "…"
    assert "hunter2" not in str(problem)
