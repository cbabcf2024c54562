"""A hub that cannot start says why."""

from __future__ import annotations

import resource
import socket
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.hub.support import Api, write_config
from visionfleet.cli import app
from visionfleet.config import DeploymentConfig
from visionfleet.config.hub import Hub as Section
from visionfleet.hub.context import Hub, HubUnavailable
from visionfleet.hub.keys import list_keys, revoke_key
from visionfleet.hub.serve import _listen, raise_file_limit, serve
from visionfleet.hub.store import Store, schema


def test_a_hub_may_have_as_many_connections_as_the_system_allows() -> None:
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before, 1024), most))
    try:
        raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def test_a_signing_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    Hub.open(config).close()
    path = config.hub.state / "signing.key"
    key = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    Hub.open(config).close()
    assert path.read_text() == key


@pytest.mark.parametrize(("value", "said"), [(None, "SIGNING_KEY"), ("short", "32 bytes")])
def test_a_signing_key_that_is_missing_or_short_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
) -> None:
    write_config(tmp_path, hub={"signing_key": "env:SIGNING_KEY"})
    monkeypatch.delenv("SIGNING_KEY", raising=False)
    if value:
        monkeypatch.setenv("SIGNING_KEY", value)
    result = CliRunner().invoke(app, ["hub", "serve", "--file", str(tmp_path / "visionfleet.yaml")])
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_state_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    config = write_config(tmp_path)
    with pytest.raises(HubUnavailable, match="state"):
        Hub.open(config)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_text("no database"), "file is not a database"),
        (lambda path: path.mkdir(), "unable to open database file"),
        (lambda path: _set_revision(path, "9999"), "newer release has changed it (revision 9999"),
    ],
    ids=["damaged", "a folder", "of a newer release"],
)
@pytest.mark.parametrize("command", ["serve", "keys list", "keys create --name x", "keys revoke x"])
def test_a_database_that_cannot_be_opened_is_told_without_a_traceback(
    tmp_path: Path, command: str, damage: Callable[[Path], None], said: str
) -> None:
    path = write_config(tmp_path).hub.database_path
    path.parent.mkdir()
    damage(path)
    file = ["--file", str(tmp_path / "visionfleet.yaml")]
    result = CliRunner().invoke(app, ["hub", *command.split(), *file])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert said in result.output
    assert len(result.output.strip().splitlines()) == 1


def _set_revision(path: Path, revision: str) -> None:
    Store.open(Section(state=path.parent)).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


@pytest.mark.parametrize("name", ["", "x" * 65, "two\nlines"])
def test_a_key_has_a_name_that_can_be_shown(tmp_path: Path, name: str) -> None:
    write_config(tmp_path)
    file = ["--file", str(tmp_path / "visionfleet.yaml")]
    result = CliRunner().invoke(app, ["hub", "keys", "create", "--name", name, *file])
    assert result.exit_code == 2
    assert "1 to 64 printable" in result.output


@pytest.mark.engine
def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        config = write_config(tmp_path, hub={"port": holder.getsockname()[1]})
        with pytest.raises(HubUnavailable, match=r"hub\.port"):
            serve(config)


@pytest.mark.engine
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_answer_does_not_wait_until_its_first_part_is_acknowledged(host: str) -> None:
    with _listen(host, 0) as listener, socket.create_connection(listener.getsockname()[:2]):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.engine
@pytest.mark.parametrize("caller", ["127.0.0.1", "::1"])
def test_every_address_is_one_of_either_family(caller: str) -> None:
    with _listen("::", 0) as listener, socket.create_connection((caller, listener.getsockname()[1])):
        connection, _ = listener.accept()
        connection.close()


@pytest.mark.engine
def test_without_ipv6_every_address_is_one_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)  # as of a kernel with ipv6.disable=1
    with _listen("::", 0) as listener, socket.create_connection(("127.0.0.1", listener.getsockname()[1])):
        assert listener.family is socket.AF_INET


def test_keys_are_made_listed_and_revoked(tmp_path: Path) -> None:
    write_config(tmp_path)
    file = ["--file", str(tmp_path / "visionfleet.yaml")]
    run = CliRunner().invoke
    made = run(app, ["hub", "keys", "create", "--name", "ci", *file])
    key = made.stdout.strip()
    key_id = made.stderr.split()[1]
    assert key.startswith("vf_")
    listed = run(app, ["hub", "keys", "list", *file]).output
    assert key_id in listed
    assert key not in listed
    assert run(app, ["hub", "keys", "revoke", key_id, *file]).exit_code == 0
    assert "revoked" in run(app, ["hub", "keys", "list", *file]).output
    unknown = run(app, ["hub", "keys", "revoke", "nothing", *file])
    assert unknown.exit_code == 2
    assert "keys list" in unknown.output


def test_the_schema_is_brought_up_to_date_without_a_hub(config: DeploymentConfig, tmp_path: Path) -> None:
    for _ in range(2):
        done = CliRunner().invoke(app, ["hub", "migrate", "--file", str(tmp_path / "visionfleet.yaml")])
        assert done.exit_code == 0, done.output
        assert done.output == f"the database has revision {newest()}\n"


def newest() -> str:
    return max(path.name for path in Path(schema.MIGRATIONS / "versions").glob("0*.py"))[:4]


KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def import_key(folder: Path, key: str | None, role: str = "worker", name: str = "pods") -> tuple[int, str]:
    command = ["hub", "keys", "import", "--role", role, "--name", name, "--file", str(folder / "visionfleet.yaml")]
    done = CliRunner().invoke(app, command, env={"VISIONFLEET_KEY": key})
    assert key is None or len(key) < 8 or key not in done.output
    return done.exit_code, done.output


def test_a_key_from_a_secret_is_taken_once_however_often_it_is_brought(api: Api, tmp_path: Path) -> None:
    code, output = import_key(tmp_path, KEY)
    assert (code, "worker 'pods' is taken" in output) == (0, True)
    again = import_key(tmp_path, KEY)
    assert (again[0], "was there already" in again[1]) == (0, True)
    assert again[1].split()[1] == output.split()[1]
    lease = {"headers": {"Authorization": f"Bearer {KEY}"}, "json": {"worker": "w"}}
    assert api.client.post("/worker/v1/lease", **lease).status_code == 204


def test_a_key_that_is_there_in_another_role_or_was_revoked_is_refused(
    config: DeploymentConfig, tmp_path: Path
) -> None:
    key_id = import_key(tmp_path, KEY)[1].split()[1]
    code, output = import_key(tmp_path, KEY, role="client")
    assert (code, f"{key_id} 'pods' and is a worker's: take another one" in output) == (2, True)
    revoke_key(config, key_id)
    code, output = import_key(tmp_path, KEY)
    assert (code, "was revoked: take another one" in output) == (2, True)


@pytest.mark.parametrize("key", [None, "", "short", "x" * 31, f"{KEY}\n", f"{KEY} {KEY}", "ü" * 32])
def test_a_key_that_is_missing_or_could_be_guessed_or_not_sent_is_refused(
    config: DeploymentConfig, tmp_path: Path, key: str | None
) -> None:
    code, output = import_key(tmp_path, key)
    assert (code, "32 characters or more" in output) == (2, True)
    assert not [key for key in list_keys(config) if key.name == "pods"]
