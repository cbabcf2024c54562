"""The gate's questions, put to the real inference server 1.8.3 with the quickstart's model, and to a real hub.

Docker and systemd stand in: what is real is what the server answers, and how it keeps its packages.
"""

from __future__ import annotations

import io
import json
import runpy
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from PIL import Image

from tests.device.device import DIGEST, NEW, Device, a_release, image_of, sha256
from tests.engines.engine import free_port, missing, running, wait_until
from visionfleet.config import load
from visionfleet.hub.keys import create_key
from visionfleet.local.runtime import locate
from visionfleet.local.servers import RuntimeKind, choose_server
from visionfleet_device import links, packages
from visionfleet_device.gate import GateFailed, judge
from visionfleet_device.server import Server

QUICKSTART = Path(__file__).parents[2] / "examples/quickstart"
MODEL = "colour-cells/1"
FILES = ("weights.onnx", "class_names.txt", "inference_config.json")
RED = [{"class": "red"}]
READY_SECONDS = 360

pytestmark = pytest.mark.engine


class Real(NamedTuple):
    """A device whose server is the real one, and the release that it runs."""

    device: Device
    release: dict[str, Any]

    def judge(self, **changes: Any) -> None:
        """As after a switch."""
        device = self.device
        judge(device.paths, device.machine, {**self.release, **changes}, {"id": image_of(NEW), "digest": DIGEST})


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    folder = tmp_path_factory.mktemp("real")
    config = load(_write_file(folder))
    if not locate(config.inference.version).is_installed:
        missing("the native runtime", "`make runtime` installs it")
    key = create_key(config, name="server", role="server")[1]
    server = choose_server(config, config.hub.public_url, RuntimeKind.NATIVE, print)
    device = Device(folder / "device")
    settings = {"PRELOAD_MODELS": MODEL, "ROBOFLOW_API_KEY": key, "MODEL_CACHE_DIR": str(device.paths.cache)}
    port = config.inference.port
    hub = [sys.executable, "-m", "visionfleet", "hub", "serve", "--file", str(folder / "visionfleet.yaml")]
    with ExitStack() as exits:
        exits.enter_context(running(hub, folder / "hub.log"))
        wait_until(lambda: _is_up(f"{config.hub.public_url}/readyz"), "the hub is ready")
        exits.enter_context(running(server.command, folder / "server.log", {**server.environment, **settings}))
        wait_until(lambda: _is_up(f"http://127.0.0.1:{port}/readiness"), "the server is ready", READY_SECONDS)
        device.machine = device.machine._replace(server=lambda port: Server(port, key))
        device.images.add(image_of(NEW))
        device.running = NEW
        yield Real(device, _release(folder, device, port))


def test_a_release_passes(real: Real) -> None:
    real.judge()


def test_the_packages_are_links_into_the_blobs(real: Real) -> None:
    [model] = real.release["models"]
    folder = packages.folder_of(real.device.paths, model["id"], model["package_id"])
    assert [(folder / name).is_symlink() for name in FILES] == [True, True, True]
    target = links.target_of(folder / FILES[0])
    assert target is not None
    assert Path(target).parent.name == packages.BLOBS


def test_another_file_is_seen(real: Real) -> None:
    [model] = real.release["models"]
    other = {**model, "files": [{"name": "weights.onnx", "sha256": "0" * 64}]}
    with pytest.raises(GateFailed, match="is not the asked one"):
        real.judge(models=[other])


def test_a_model_that_is_not_loaded_is_seen(real: Real) -> None:
    [model] = real.release["models"]
    shutil.copytree(
        packages.folder_of(real.device.paths, MODEL, model["package_id"]),
        packages.folder_of(real.device.paths, "other/1", model["package_id"]),
        symlinks=True,
    )
    with pytest.raises(GateFailed, match="the server has not loaded other/1"):
        real.judge(models=[model, {**model, "id": "other/1"}])


@pytest.mark.parametrize("asked", ["model", "workflow"])
def test_another_answer_is_seen(real: Real, asked: str) -> None:
    wrong = _object(real.device, b'{"predictions": [], "outputs": []}')
    goldens = [{**golden, "expected": wrong} for golden in real.release["goldens"] if golden[asked]]
    with pytest.raises(GateFailed, match=r"golden .* the answer.* has (1 entries, expected 0|no 'predictions')"):
        real.judge(goldens=goldens)


def test_a_key_that_the_hub_does_not_know_is_not_shown(real: Real) -> None:
    machine = real.device.machine._replace(server=lambda port: Server(port, "a-wrong-key"))
    with pytest.raises(GateFailed, match="does not say which models it has loaded: it answers 401") as failure:
        judge(real.device.paths, machine, real.release, {"id": image_of(NEW), "digest": DIGEST})
    assert "a-wrong-key" not in str(failure.value)


def _write_file(folder: Path) -> Path:
    runpy.run_path(str(QUICKSTART / "make_model.py"))["write_package"](folder / "model")
    shutil.copytree(QUICKSTART / "workflows", folder / "workflows")
    document = {
        "apiVersion": "visionfleet/v1",
        "name": "device",
        "workspace": "quickstart",
        "hub": {"port": free_port()},
        "inference": {"port": free_port()},
        "models": [{"id": MODEL, "architecture": "yolov8", "task": "object-detection", "package": "./model"}],
    }
    file = folder / "visionfleet.yaml"
    file.write_text(json.dumps(document))
    return file


def _release(folder: Path, device: Device, port: int) -> dict[str, Any]:
    """One model and one workflow, each with a golden: a red square on grey."""
    kept = (device.paths.cache / packages.MODELS / packages.slug(MODEL)).iterdir()
    [package] = [folder for folder in kept if folder.is_dir()]
    files = [{"name": name, "sha256": sha256((folder / "model" / name).read_bytes())} for name in FILES]
    golden = {"task": "object-detection", "tolerance": 0.05, "image": _object(device, _picture())}
    by_model = _object(device, json.dumps({"predictions": RED}).encode())
    by_workflow = _object(device, json.dumps({"outputs": [{"predictions": {"predictions": RED}}]}).encode())
    return a_release(
        NEW,
        workspace="quickstart",
        port=port,
        models=[{"id": MODEL, "package_id": package.name, "files": files}],
        goldens=[
            {**golden, "name": "cells", "model": MODEL, "workflow": None, "expected": by_model},
            {**golden, "name": "count", "model": None, "workflow": "count-colours", "expected": by_workflow},
        ],
    )


def _object(device: Device, content: bytes) -> str:
    links.write(device.paths.object(sha256(content)), content)
    return sha256(content)


def _picture() -> bytes:
    picture = Image.new("RGB", (320, 320), (128, 128, 128))
    picture.paste((255, 25, 25), (40, 40, 160, 160))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
