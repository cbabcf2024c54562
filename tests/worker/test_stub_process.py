"""The client against the stub's process: what sockets do that a transport in memory does not."""

from __future__ import annotations

import json
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engines.engine import running, wait_until
from tests.hub.support import jpeg
from tests.worker.support import KEY, FakeHub, run
from visionfleet.worker.errors import NoAnswer, RequestRejected, TaskFailed
from visionfleet.worker.inference import InferenceServer, Outputs
from visionfleet.worker.patience import Patience

pytestmark = pytest.mark.engine

STUB = Path(__file__).parents[1] / "engines" / "stub_inference.py"
IMAGES = [jpeg(1), jpeg(2)]
LEASE = FakeHub(IMAGES).lease


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("stub") / "stub.log"
    with running([sys.executable, "-u", str(STUB)], log, {"API_BASE_URL": ""}):
        wait_until(lambda: log.read_text().endswith("\n"), "the stub listens")
        yield f"http://127.0.0.1:{json.loads(log.read_text())['port']}"


@pytest.fixture
def ask(url: str) -> Callable[..., list[Outputs]]:
    """Runs images through a client that gives up after `seconds` of silence."""

    @asynccontextmanager
    async def server(seconds: float, key: str):
        async with httpx.AsyncClient(base_url=url, timeout=seconds) as client:
            yield InferenceServer(client, key, Patience(total=0.5, first=0.01, longest=0.1))

    def ask(images: list[bytes], faults: dict[str, Any] | None = None, seconds: float = 60, key: str = KEY):
        httpx.post(f"{url}/stub/faults", json=faults or {})

        async def go() -> list[Outputs]:
            async with server(seconds, key) as client:
                assert await client.wait_ready(5)
                return await client.run(LEASE, images)

        return run(go())

    return ask


def test_images_come_back_in_order(ask: Callable[..., list[Outputs]]) -> None:
    first, second = ask(IMAGES)
    assert first["predictions"]["image"] == {"width": 32, "height": 24}
    assert first["predictions"]["predictions"][0]["class"] != second["predictions"]["predictions"][0]["detection_id"]
    assert b64decode(first["annotated"]["value"]).startswith(b"\xff\xd8\xff")


def test_an_image_that_cannot_be_decoded_spoils_the_request(ask: Callable[..., list[Outputs]]) -> None:
    with pytest.raises(RequestRejected, match=r"Failed to assemble `image\.\[1\]`"):
        ask([IMAGES[0], IMAGES[1][:100]])


@pytest.mark.parametrize("fault", [{"status": 503, "count": 2}, {"drop": True, "count": 2}])
def test_a_server_that_recovers_is_asked_again(ask: Callable[..., list[Outputs]], fault: dict[str, Any]) -> None:
    assert len(ask(IMAGES, fault)) == 2


def test_a_server_that_hangs_is_given_up(ask: Callable[..., list[Outputs]]) -> None:
    begun = time.monotonic()
    with pytest.raises(NoAnswer, match="timed out"):
        ask(IMAGES, {"hang_seconds": 2, "count": 100}, seconds=0.2)
    assert time.monotonic() - begun < 2


def test_no_key_no_answer(ask: Callable[..., list[Outputs]]) -> None:
    with pytest.raises(TaskFailed) as caught:
        ask(IMAGES, key="")
    assert (caught.value.code, caught.value.retryable) == ("inference_unauthorized", False)
