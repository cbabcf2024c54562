"""Images for edge hosts: Debian's Python with the stub of the inference server, in the forms that a release can have.

    digest = push_image(images, "roboflow/roboflow-inference-server-cpu", "1.8.3")
    digest = push_image(images, repository, "1.9.0", NEVER_READY)

Two layers: Debian's part, made once into the cache (20 MB), and the stub with its settings. Each tag has a digest of
its own, since the stub names it as its version.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import random
import shutil
import subprocess
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.engines.debian import BUILD_SECONDS, CACHE, SUITE
from tests.engines.engine import missing
from tests.engines.image_config import image_config
from tests.engines.registry import Registry

STUB = Path(__file__).parent / "edge_server" / "inference_server_stub.py"
_PACKAGES = ("python3-minimal", "python3.11-minimal", "libpython3.11-stdlib")
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_PATH = "/opt/stub"


@dataclass(frozen=True)
class Behaviour:
    """How the stub in an image behaves; as it is, well."""

    ready: bool = True
    ready_after_seconds: float = 0.2
    answer_seconds: float = 0
    wrong_answers: bool = False  # a healthy server that sees other things
    exit_after_seconds: float | None = None  # 0: before it serves
    padding_mb: int = 0  # of the image, that does not compress


GOOD = Behaviour()
SLOW = Behaviour(ready_after_seconds=5, answer_seconds=2)
NEVER_READY = Behaviour(ready=False)
WRONG_ANSWERS = Behaviour(wrong_answers=True)
CRASHES_AT_START = Behaviour(exit_after_seconds=0)


def crashes_after(seconds: float) -> Behaviour:
    """It is ready and answers well until then."""
    return Behaviour(exit_after_seconds=seconds)


def push_image(
    images: Registry, repository: str, tag: str, behaviour: Behaviour = GOOD, architecture: str = "amd64"
) -> str:
    """The digest of the manifest, which the registry then has under the tag."""
    layers = [base_layer(architecture).read_bytes(), _stub_layer(tag, behaviour)]
    settings: dict[str, Any] = {
        "Entrypoint": ["/usr/bin/python3", f"{_PATH}/{STUB.name}"],
        "Env": ["PATH=/usr/bin", "PYTHONDONTWRITEBYTECODE=1"],
        "ExposedPorts": {"9001/tcp": {}},
        "WorkingDir": "/app",
    }
    config = image_config(settings, [_digest(gzip.decompress(layer)) for layer in layers], architecture)
    parts = [{"mediaType": _LAYER, "size": len(layer), "digest": images.upload(repository, layer)} for layer in layers]
    head = {"mediaType": _CONFIG, "size": len(config), "digest": images.upload(repository, config)}
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": head, "layers": parts}
    return images.tag(repository, tag, json.dumps(manifest).encode(), _MANIFEST)


def _stub_layer(version: str, behaviour: Behaviour) -> bytes:
    settings = {"version": version, **asdict(behaviour)}
    padding = random.Random(version).randbytes(behaviour.padding_mb * 1024 * 1024)  # noqa: S311 - no secret
    files = {STUB.name: STUB.read_bytes(), "settings.json": json.dumps(settings).encode(), "padding": padding}
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for folder in ("app", "tmp", "cache"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{_PATH.lstrip('/')}/{name}")
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(layer.getvalue(), compresslevel=1, mtime=0)


def base_layer(architecture: str) -> Path:
    """Debian's Python without the rest of Debian, made if it is not there. Skips the test where it cannot be made."""
    digest = hashlib.sha256(" ".join((SUITE, *_PACKAGES)).encode()).hexdigest()[:8]
    layer = CACHE / f"edge-image-{SUITE}-{architecture}-{digest}.tar.gz"
    if layer.is_file():
        return layer
    if shutil.which("mmdebstrap") is None:
        missing("a base for images", "apt install mmdebstrap")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{layer.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not layer.is_file():
            _make_base_layer(layer, architecture)
    return layer


def _make_base_layer(layer: Path, architecture: str) -> None:
    """Packages are unpacked and not set up: Python needs no more."""
    command = ["mmdebstrap", "--quiet", "--variant=extract", f"--architectures={architecture}", "--format=tar"]
    command += [f"--include={','.join(_PACKAGES)}", "--dpkgopt=path-exclude=/usr/share/doc/*", SUITE, "-"]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=BUILD_SECONDS, check=False)
    if made.returncode != 0:
        missing("a base for images", f"mmdebstrap failed: {made.stderr.decode(errors='replace')[-2000:]}")
    unfinished = layer.with_suffix(".unfinished")
    unfinished.write_bytes(gzip.compress(made.stdout, mtime=0))
    unfinished.rename(layer)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
