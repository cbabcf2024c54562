from __future__ import annotations

import math
from typing import Any

import httpx
import pytest

from tests.worker.support import JPEG, KEY, Answer, FakeHub, FakeServer, run
from visionfleet.protocol import Lease
from visionfleet.worker import inference
from visionfleet.worker.errors import InferenceUnavailable, NoAnswer, RequestRejected, TaskFailed


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def lease() -> Lease:
    return FakeHub([JPEG], parameters={"threshold": 3, "image": "not this"}).lease


def refusal(status: int, message: str = "no", **more: Any) -> httpx.Response:
    return httpx.Response(status, json={"message": message, **more})


def test_a_request_carries_key_images_and_parameters(server: FakeServer, lease: Lease) -> None:
    outputs = run(server.client().run(lease, [b"one", b"four"]))
    assert [output["size"] for output in outputs] == [3, 4]
    [body] = server.bodies
    assert body["api_key"] == KEY
    assert body["inputs"]["threshold"] == 3
    assert [item["type"] for item in body["inputs"]["image"]] == ["base64", "base64"]
    assert server.requests == [[b"one", b"four"]]


# What server 1.8.3 answered when it was asked.
@pytest.mark.parametrize(
    ("answer", "error", "code", "retryable"),
    [
        (refusal(400, "Failed to assemble `image.[0]`.", error_type="RuntimeInputError",
                 context="workflow_execution | runtime_input_validation", inner_error_message="None"),
         RequestRejected, "image_rejected", None),
        (refusal(400, "Could not parse workflow definition.", error_type="WorkflowSyntaxError",
                 context="workflow_compilation | workflow_definition_parsing", inner_error_message="unknown block"),
         TaskFailed, "workflow_invalid", False),
        (refusal(401, "Unauthorized access to roboflow API"), TaskFailed, "inference_unauthorized", False),
        (refusal(403), TaskFailed, "inference_unauthorized", False),
        (refusal(404, "Requested Roboflow resource not found."), TaskFailed, "workflow_or_model_not_found", False),
        (refusal(413), RequestRejected, "image_rejected", None),
        (httpx.Response(422, json={"detail": [{"type": "json_invalid"}]}), RequestRejected, "image_rejected", None),
        (refusal(500, "'x'", error_type="StepExecutionError", context="workflow_execution | step_execution",
                 inner_error_type="KeyError"), RequestRejected, "inference_error", None),
        (httpx.Response(500, text="<html>"), RequestRejected, "inference_error", None),
        (refusal(501), TaskFailed, "workflow_not_supported", False),
        (refusal(507), TaskFailed, "model_too_large", False),
    ],
)  # fmt: skip
def test_what_an_error_stands_for(
    server: FakeServer,
    lease: Lease,
    answer: httpx.Response,
    error: type[RequestRejected | TaskFailed],
    code: str,
    retryable: bool | None,  # noqa: FBT001
) -> None:
    server.answers.append(answer)
    with pytest.raises(error, match=f"answered {answer.status_code} for workflow 'count'") as caught:
        run(server.client().run(lease, [JPEG]))
    assert caught.value.code == code
    assert getattr(caught.value, "retryable", None) is retryable
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout(""),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
        refusal(429),
        refusal(502, "Internal error. Request to Roboflow API failed."),
        refusal(503),
        refusal(504),
        refusal(500, "Could not connect to Roboflow API.", inner_error_type="RoboflowAPIConnectionError"),
    ],
)
def test_a_server_that_is_away_for_a_while_is_asked_again(server: FakeServer, lease: Lease, answer: Answer) -> None:
    server.answers += [answer, answer]
    assert len(run(server.client().run(lease, [JPEG]))) == 1
    assert len(server.requests) == 3


def test_a_server_that_stays_busy_is_given_up(server: FakeServer, lease: Lease) -> None:
    server.answers.extend(refusal(503, "Model is temporarily not ready - retry request.") for _ in range(1000))
    with pytest.raises(InferenceUnavailable, match=r"answered 503 .* Model is temporarily not ready"):
        run(server.client().run(lease, [JPEG]))


def test_a_server_that_stays_silent_is_given_up(server: FakeServer, lease: Lease) -> None:
    server.answers.extend(httpx.ConnectError("refused") for _ in range(1000))
    with pytest.raises(NoAnswer, match=r"the connection failed \(ConnectError: refused\)"):
        run(server.client().run(lease, [JPEG]))


def test_no_message_holds_the_key(server: FakeServer, lease: Lease) -> None:
    server.answers.append(refusal(500, f"could not GET http://hub/?api_key={KEY}"))
    with pytest.raises(RequestRejected, match=r"api_key=\*\*\*"):
        run(server.client().run(lease, [JPEG]))


def test_a_long_reason_is_cut(server: FakeServer, lease: Lease) -> None:
    server.answers.append(refusal(400, "short", inner_error_message="x" * 100_000))
    with pytest.raises(RequestRejected, match=r"short \(xxx") as caught:
        run(server.client().run(lease, [JPEG]))
    assert len(str(caught.value)) < 2500


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"outputs": []}),
        httpx.Response(200, json={"outputs": [{}, {}]}),
        httpx.Response(200, json={"outputs": "x"}),
        httpx.Response(200, text="<html>"),
    ],
)
def test_an_answer_that_does_not_fit_is_rejected(server: FakeServer, lease: Lease, answer: httpx.Response) -> None:
    server.answers.append(answer)
    with pytest.raises(RequestRejected) as caught:
        run(server.client().run(lease, [JPEG]))
    assert caught.value.code == "bad_answer"


def test_too_large_an_answer_is_rejected(server: FakeServer, lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "MAX_ANSWER_BYTES", 50)
    with pytest.raises(RequestRejected) as caught:
        run(server.client().run(lease, [JPEG]))
    assert caught.value.code == "answer_too_large"


def test_an_answer_may_hold_nan(server: FakeServer, lease: Lease) -> None:
    server.answers.append(httpx.Response(200, text='{"outputs": [{"x": NaN, "y": Infinity}]}'))
    [output] = run(server.client().run(lease, [JPEG]))
    assert isinstance(output["x"], float)
    assert math.isnan(output["x"])


def test_wait_ready(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "READY_POLL_SECONDS", 0.001)
    assert run(server.client().wait_ready(1))
    server.ready = False
    assert not run(server.client().wait_ready(0.01))


def test_a_server_that_cannot_be_reached_is_not_ready() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    client = httpx.AsyncClient(transport=httpx.MockTransport(refuse), base_url="http://server.test")
    assert not run(inference.InferenceServer(client, KEY).is_ready())
