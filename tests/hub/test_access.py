"""Who may do what: keys, roles, workspaces, signed URLs."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from tests.hub.support import EMBEDDED, JOBS, STAGING, Api, Clock, jpeg
from visionfleet.config import DeploymentConfig
from visionfleet.hub.errors import HubError
from visionfleet.hub.keys import create_key, list_keys, revoke_key
from visionfleet.hub.staging.batches import URL_SECONDS
from visionfleet.hub.store.tables import ApiKey


@pytest.mark.parametrize("path", ["/", STAGING, JOBS, "/acme/workflows/grey", "/models/v1/external/stat?modelId=a/1"])
@pytest.mark.parametrize("key", [None, "vf_wrong", ""])
def test_without_a_good_key_everything_is_401(api: Api, path: str, key: str | None) -> None:
    params = {} if key is None else {"api_key": key}
    answer = api.client.get(path, params=params)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] in ("key_missing", "key_unknown")


def test_a_key_tells_its_workspace_by_query_and_by_header(api: Api) -> None:
    assert api.get("/").json() == {"workspace": "acme"}
    header = {"Authorization": f"Bearer {api.server_key}"}
    assert api.client.get("/", headers=header).json() == {"workspace": "acme"}


def test_a_revoked_key_is_refused(api: Api, config: DeploymentConfig) -> None:
    key_id, key = create_key(config, name="short-lived")
    assert api.client.get("/", params={"api_key": key}).status_code == 200
    revoke_key(config, key_id)
    assert api.client.get("/", params={"api_key": key}).status_code == 401
    assert next(k for k in list_keys(config) if k.id == key_id).revoked_at


def test_a_key_of_another_workspace_is_not_known(api: Api, config: DeploymentConfig) -> None:
    _, key = create_key(config.model_copy(update={"workspace": "before"}), name="of the file's old workspace")
    assert api.client.get("/", params={"api_key": key}).status_code == 401


def test_revoking_a_key_that_is_not_there_says_so(config: DeploymentConfig) -> None:
    with pytest.raises(HubError, match="nothing"):
        revoke_key(config, "nothing")


def test_the_database_holds_no_key(api: Api) -> None:
    with api.hub.store.read() as session:
        stored = "".join(str(vars(key)) for key in session.scalars(select(ApiKey)))
    for key in (api.client_key, api.worker_key, api.server_key):
        assert key not in stored
        assert key[3:] not in stored


def test_another_workspace_is_refused(api: Api) -> None:
    answer = api.get("/data-staging/v1/external/other/batches")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "workspace_not_allowed")


@pytest.mark.parametrize(("role", "path"), [("worker_key", STAGING), ("server_key", STAGING), ("server_key", JOBS)])
def test_keys_of_workers_and_servers_are_no_client_keys(api: Api, role: str, path: str) -> None:
    answer = api.client.get(path, params={"api_key": getattr(api, role)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "role_not_allowed")


def test_a_clients_key_leases_no_tasks(api: Api) -> None:
    header = {"Authorization": f"Bearer {api.client_key}"}
    answer = api.client.post("/worker/v1/lease", headers=header, json={"worker": "w"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "role_not_allowed")


def signed_url(api: Api) -> str:
    api.upload("b", "one.jpg", jpeg(1))
    return api.get(f"{STAGING}/b/list").json()["filesMetadata"][0]["downloadURL"]


@EMBEDDED
def test_a_signed_url_needs_no_key_allows_head_and_ranges(api: Api) -> None:
    url = signed_url(api)
    data = api.client.get(url).content
    assert data == jpeg(1)
    head = api.client.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")
    part = api.client.get(url, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, data[2:6])
    assert part.headers["content-range"] == f"bytes 2-5/{len(data)}"
    assert api.client.get(url, headers={"Range": "bytes=-3"}).content == data[-3:]
    assert api.client.get(url, headers={"Range": "bytes=4-"}).content == data[4:]
    assert api.client.get(url, headers={"Range": f"bytes={len(data)}-"}).status_code == 416


@EMBEDDED
@pytest.mark.parametrize(
    ("asked", "status", "wanted"),
    [
        ("bytes=0-0", 206, slice(0, 1)),
        ("bytes=2-99999999", 206, slice(2, None)),
        ("bytes=-99999999", 200, slice(None)),
        ("bytes=0-99999999", 200, slice(None)),
        ("bytes=-0", 416, slice(0)),
        ("bytes=5-3", 200, slice(None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
        ("items=0-3", 200, slice(None)),
        (f"bytes=0-{'9' * 5000}", 200, slice(None)),
        ("bytes=99999999-", 416, slice(0)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_range_is_read_as_rfc_9110_has_it(api: Api, asked: str, status: int, wanted: slice) -> None:
    url = signed_url(api)
    answer = api.client.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, jpeg(1)[wanted])
    assert answer.headers["content-length"] == str(len(answer.content))


@EMBEDDED
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda url: url.replace("signature=", "signature=0"), id="signature"),
        pytest.param(lambda url: url.replace("/batches/", "/batches/0"), id="key"),
        pytest.param(lambda url: url.replace("expires=", "expires=1"), id="expiry"),
        pytest.param(lambda url: url.split("?")[0], id="bare"),
    ],
)
def test_a_signed_url_that_was_changed_is_403(api: Api, change) -> None:
    answer = api.client.get(change(signed_url(api)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "invalid_signature")


@EMBEDDED
def test_a_signed_url_of_another_method_or_past_its_time_is_403(api: Api, clock: Clock) -> None:
    url = signed_url(api)
    assert api.client.put(url, content=b"over it").status_code == 403
    put = api.post(f"{STAGING}/b/bulk-upload/image-files").json()["signedURLDetails"]["uploadURL"]
    assert api.client.get(put).status_code == 403
    clock.advance(URL_SECONDS + 1)
    assert api.client.get(url).status_code == 403
    assert api.client.put(put, content=b"late").status_code == 403


def test_errors_of_routes_have_the_same_form(api: Api) -> None:
    assert api.get("/no/such/route").json()["error"]["code"] == "route_not_found"
    assert api.client.delete("/healthz").json()["error"]["code"] == "method_not_allowed"
    answer = api.client.post(f"{JOBS}/j", params={"api_key": api.client_key}, content=b"{")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "request_invalid")


def test_health_readiness_and_metrics(api: Api) -> None:
    assert api.client.get("/healthz").json() == {"status": "ok"}
    assert api.client.get("/readyz").json() == {"status": "ready"}
    api.get(f"{STAGING}/nowhere")
    metrics = api.client.get("/metrics").text
    assert 'route="/data-staging/v1/external/{workspace}/batches/{batch_id}",status="404"' in metrics
    assert "visionfleet_hub_tasks" in metrics
    assert api.client_key not in metrics


def test_methods_that_a_client_invents_make_no_series(api: Api) -> None:
    for number in range(3):
        api.client.request(f"INVENTED{number}", "/nowhere")
    metrics = api.client.get("/metrics").text
    assert "INVENTED" not in metrics
    assert 'method="other"' in metrics
