"""Whatever a request holds, the hub answers it: no server error, by the hub's own OpenAPI document."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation

from tests.hub.support import WORKSPACE, Api

pytestmark = pytest.mark.engine
EXAMPLES = 20


def test_no_request_brings_the_hub_down(api: Api) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", api.client.app)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        _try(api, operation)


def _try(api: Api, operation: APIOperation) -> None:
    key = _key(api, operation.path)

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy())
    def call(case: Case) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {key}"}
        if "workspace" in (case.path_parameters or {}):
            case.path_parameters["workspace"] = WORKSPACE
        case.call_and_validate(checks=(not_a_server_error,))

    call()


def _key(api: Api, path: str) -> str:
    """A key of the role that the path is for."""
    if path.startswith("/worker"):
        return api.worker_key
    if path.startswith("/fleet"):
        return api.fleet_key if path.startswith("/fleet/v1/devices") else api.device_key
    return api.client_key
