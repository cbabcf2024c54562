"""How devices get their keys, and what a device's key opens."""

from __future__ import annotations

import hashlib

import pytest

from tests.hub.fleet.support import EXPECTED, PICTURE, Device, report
from tests.hub.support import JOBS, STAGING, Api, Clock
from visionfleet.config import DeploymentConfig
from visionfleet.hub.keys import Role, create_key, list_keys, revoke_key

DEVICE_PATHS = [("POST", "/reports"), ("GET", "/client-keys"), ("GET", f"/files/{'0' * 64}")]
FLEET_PATHS = [("GET", "/devices"), ("POST", "/devices/dock-01/key")]


def test_a_device_of_the_file_gets_a_key_in_its_name(api: Api, config: DeploymentConfig) -> None:
    answer = api.fleet("POST", "/devices/dock-01/key", api.fleet_key)
    assert answer.status_code == 200
    made = next(key for key in list_keys(config) if key.id == answer.json()["key_id"])
    assert (made.name, made.role, made.revoked_at) == ("dock-01", Role.DEVICE, None)
    assert made.digest == hashlib.sha256(answer.json()["key"].encode()).hexdigest()


def test_a_new_key_takes_the_place_of_the_devices_earlier_ones_alone(api: Api, dock: Device) -> None:
    other, again = Device(api, "dock-02"), Device(api, "dock-01")
    assert dock.get("/client-keys").status_code == 401
    assert again.get("/client-keys").status_code == 200
    assert other.get("/client-keys").status_code == 200


def test_a_device_that_the_file_has_not_gets_no_key(api: Api, config: DeploymentConfig) -> None:
    before = len(list_keys(config))
    answer = api.fleet("POST", "/devices/dock-09/key", api.fleet_key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "device_unknown")
    assert answer.json()["error"]["fields"] == {"device": "dock-09"}
    assert len(list_keys(config)) == before


@pytest.mark.parametrize(("method", "path"), [*DEVICE_PATHS, *FLEET_PATHS], ids=str)
def test_no_other_role_may_call_what_is_for_devices_or_who_enrols_them(api: Api, method: str, path: str) -> None:
    own = {"fleet_key"} if (method, path) in FLEET_PATHS else {"device_key"}
    for role in {"client_key", "worker_key", "server_key", "device_key", "fleet_key"} - own:
        answer = api.fleet(method, path, getattr(api, role), json={"reports": [{}]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "role_not_allowed"), role


@pytest.mark.parametrize("role", ["device_key", "fleet_key"])
@pytest.mark.parametrize("path", [STAGING, JOBS])
def test_keys_of_devices_and_of_the_fleet_are_no_client_keys(api: Api, role: str, path: str) -> None:
    answer = api.client.get(path, params={"api_key": getattr(api, role)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "role_not_allowed")


def test_a_device_reads_workflows_as_an_inference_server_does(api: Api, dock: Device) -> None:
    assert api.client.get("/", params={"api_key": dock.key}).json() == {"workspace": "acme"}
    assert api.client.get("/acme/workflows/grey", params={"api_key": dock.key}).status_code == 200
    stat = api.client.get("/models/v1/external/stat", params={"api_key": dock.key, "modelId": "none/1"})
    assert stat.json()["error"]["code"] == "model_not_found"


def test_a_device_learns_the_digests_of_the_active_client_keys_alone(
    api: Api, dock: Device, config: DeploymentConfig
) -> None:
    _, second = create_key(config, name="second")
    revoked, _ = create_key(config, name="revoked")
    revoke_key(config, revoked)
    create_key(config.model_copy(update={"workspace": "other"}), name="of another workspace")
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in (api.client_key, second)]
    assert sorted(dock.get("/client-keys").json()["client_keys"]) == sorted(digests)


@pytest.mark.parametrize("content", [PICTURE, EXPECTED])
def test_a_device_gets_the_files_of_goldens_by_their_digest(dock: Device, content: bytes) -> None:
    answer = dock.get(f"/files/{hashlib.sha256(content).hexdigest()}")
    assert (answer.status_code, answer.content) == (200, content)


def test_a_golden_stays_what_its_digest_says_when_its_file_changes(dock: Device, config: DeploymentConfig) -> None:
    config.edge.goldens[0].image.write_bytes(b"another picture")
    assert dock.get(f"/files/{hashlib.sha256(PICTURE).hexdigest()}").content == PICTURE


def test_no_other_file_of_the_hub_is_given_out(dock: Device) -> None:
    for path in ("0" * 64, "visionfleet.yaml", "..%2Fvisionfleet.yaml"):
        answer = dock.get(f"/files/{path}")
        assert (answer.status_code, answer.json()["error"]["code"][-9:]) == (404, "not_found")


def test_a_revoked_device_is_refused(api: Api, dock: Device, config: DeploymentConfig, clock: Clock) -> None:
    key = next(key for key in list_keys(config) if key.name == "dock-01" and key.revoked_at is None)
    revoke_key(config, key.id)
    assert dock.post(report(clock)).status_code == 401
