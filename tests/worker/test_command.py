from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.hub.support import write_config
from visionfleet.cli import app
from visionfleet.worker import run as loop
from visionfleet.worker.errors import HubRefused, HubUnavailable, WorkerError
from visionfleet.worker.run import Pace, WorkerSettings

HUB, SERVER = ("--hub", "http://hub.test"), ("--inference", "http://server.test")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[WorkerSettings]:
    """The settings of workers that the command would have run."""
    settings: list[WorkerSettings] = []

    async def run_worker(given: WorkerSettings) -> bool:
        settings.append(given)
        return True

    monkeypatch.setattr(loop, "run_worker", run_worker)
    monkeypatch.setattr("visionfleet.logs.log_to_stderr", lambda: None)
    monkeypatch.setenv("VISIONFLEET_WORKER_KEY", "vf_key\n")
    monkeypatch.chdir(tmp_path)
    return settings


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["worker", "run", *arguments])


def test_with_both_urls_no_file_is_needed(started: list[WorkerSettings]) -> None:
    assert command(*HUB, *SERVER, "--machine-type", "gpu", "--once", "--request-images", "3").exit_code == 0
    [settings] = started
    assert (settings.hub_url, settings.inference_url, settings.key) == (
        "http://hub.test",
        "http://server.test",
        "vf_key",
    )
    assert (settings.machine_type, settings.once, settings.pace) == ("gpu", True, Pace(3, 4))
    assert settings.name.startswith("worker-")


def test_the_file_says_what_options_leave_open(started: list[WorkerSettings], tmp_path: Path) -> None:
    pool = {"request_images": 16, "requests_in_flight": 2}
    write_config(tmp_path, inference={"port": 9123}, batch={"workers": {"cpu": pool}})
    assert command("--requests-in-flight", "5", "--name", "w1").exit_code == 0
    [settings] = started
    assert (settings.hub_url, settings.inference_url) == ("http://127.0.0.1:9500", "http://127.0.0.1:9123")
    assert (settings.name, settings.pace) == ("w1", Pace(16, 5))


def test_without_urls_and_file_it_is_bad_input(started: list[WorkerSettings]) -> None:
    result = command(*HUB)
    assert result.exit_code == 2
    assert "visionfleet.yaml" in result.output
    assert started == []


@pytest.mark.parametrize("key", ["", " ", "schlüssel"])
def test_a_missing_or_impossible_key_is_bad_input(
    started: list[WorkerSettings], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("VISIONFLEET_WORKER_KEY", key)
    result = command(*HUB, *SERVER)
    assert result.exit_code == 2
    assert "VISIONFLEET_WORKER_KEY" in result.output
    assert started == []


def test_a_worker_that_cannot_go_on_says_why(started: list[WorkerSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    async def run_worker(_: WorkerSettings) -> bool:
        raise WorkerError("the server is not ready")

    monkeypatch.setattr(loop, "run_worker", run_worker)
    result = command(*HUB, *SERVER)
    assert result.exit_code == 1
    assert "the worker ends: the server is not ready" in result.output


@pytest.mark.parametrize(
    ("error", "code"),
    [(HubRefused(401, "key_unknown", "the key is not known"), 3), (HubUnavailable("the hub did not answer"), 4)],
)
def test_whether_another_worker_would_fare_better_is_in_the_exit_code(
    started: list[WorkerSettings], monkeypatch: pytest.MonkeyPatch, error: WorkerError, code: int
) -> None:
    async def run_worker(_: WorkerSettings) -> bool:
        raise error

    monkeypatch.setattr(loop, "run_worker", run_worker)
    result = command(*HUB, *SERVER)
    assert result.exit_code == code
    assert str(error) in result.output


@pytest.mark.parametrize(("options", "code"), [(["--once"], 143), ([], 0)])
def test_a_worker_that_is_stopped_says_so_where_it_was_to_go_on_until_nothing_is_left(
    started: list[WorkerSettings], monkeypatch: pytest.MonkeyPatch, options: list[str], code: int
) -> None:
    async def run_worker(_: WorkerSettings) -> bool:
        return False

    monkeypatch.setattr(loop, "run_worker", run_worker)
    assert command(*HUB, *SERVER, *options).exit_code == code


def test_a_pod_tells_its_worker_the_stage_and_the_name(
    started: list[WorkerSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISIONFLEET_WORKER_STAGE", "a" * 32)
    monkeypatch.setenv("VISIONFLEET_WORKER_NAME", "acme-j1-x7k2p.worker-2")
    assert command(*HUB, *SERVER, "--once").exit_code == 0
    assert (started[0].stage, started[0].name) == ("a" * 32, "acme-j1-x7k2p.worker-2")


@pytest.mark.parametrize("option", [("--stage", "first"), ("--stage", "A" * 32), ("--name", "-x"), ("--name", "a/b")])
def test_a_stage_or_a_name_that_none_can_have_is_bad_input(
    started: list[WorkerSettings], option: tuple[str, str]
) -> None:
    result = command(*HUB, *SERVER, *option)
    assert result.exit_code == 2
    assert option[0] in result.output
    assert started == []
