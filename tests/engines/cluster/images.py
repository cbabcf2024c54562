"""Images of tests, made without Docker and without a registry: folders of this machine are their layers.

    c.load_image(visionfleet_image())       # visionfleet:test, this checkout on Debian's Python
    c.load_image(python_image("tool:test", [(folder, "/opt/tool")], entrypoint=["/usr/bin/python3", "/opt/tool/x.py"]))

Layers are made once for the same content, into the user's cache. The tag must not be `latest`, which a kubelet pulls.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.engines.debian import CACHE, Root, root_folder
from tests.engines.engine import missing
from tests.engines.image_config import image_config

CHECKOUT = Path(__file__).resolve().parents[3]
VISIONFLEET = "visionfleet:test"
USER = 10001  # of hub and workers
INSTALL_SECONDS = 1800
_LEAN = tuple(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "info", "locale", "man"))
PYTHON = Root("python", ("python3", "ca-certificates"), _LEAN)
# what the inference server's own environment needs of Debian, where it is mounted into a pod: two libraries of OpenCV's
INFERENCE = Root("inference", (*PYTHON.packages, "libgl1", "libglib2.0-0"), _LEAN)
_MANIFEST, _CONFIG, _LAYER = (
    f"application/vnd.oci.image.{part}" for part in ("manifest.v1+json", "config.v1+json", "layer.v1.tar")
)
_PACKAGES, _SOURCE = "/opt/visionfleet/packages", "/opt/visionfleet/src"

Content = Iterable[tuple[Path, str]]  # folders or files of this machine, and where they are in the image


@dataclass(frozen=True)
class Image:
    """Its name with its tag, its layers from the lowest, and a container's settings, such as Entrypoint."""

    name: str
    layers: Sequence[Path]
    settings: Mapping[str, Any]

    def write(self, file: IO[bytes], known: Collection[str] = ()) -> None:
        """As an OCI layout, without the layers whose digests the reader knows already."""
        layers = {f"sha256:{path.with_suffix('.sha256').read_text()}": path for path in self.layers}
        config = image_config(self.settings, list(layers))
        parts = [_descriptor(_LAYER, digest, path.stat().st_size) for digest, path in layers.items()]
        head = _descriptor(_CONFIG, _digest(config), len(config))
        manifest = _json({"schemaVersion": 2, "mediaType": _MANIFEST, "config": head, "layers": parts})
        place = "docker.io" if "/" in self.name else "docker.io/library"
        name = {"io.containerd.image.name": f"{place}/{self.name}"}
        entry = {**_descriptor(_MANIFEST, _digest(manifest), len(manifest)), "annotations": name}
        with tarfile.open(fileobj=file, mode="w|") as tar:
            _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
            _add(tar, "index.json", _json({"schemaVersion": 2, "manifests": [entry]}))
            for blob in (config, manifest):
                _add(tar, _blob(_digest(blob)), blob)
            for digest in layers.keys() - set(known):
                tar.add(layers[digest], _blob(digest))


def visionfleet_image() -> Image:
    """`visionfleet` for hub and workers. The first time takes a minute, and a changed source a second."""
    layers = [base_layer(PYTHON), layer([(_packages(), _PACKAGES)]), layer([(CHECKOUT / "src", _SOURCE)])]
    environment = [
        "PATH=/usr/local/bin:/usr/bin:/bin",
        f"PYTHONPATH={_SOURCE}:{_PACKAGES}",
        "PYTHONDONTWRITEBYTECODE=1",
        "PYTHONUNBUFFERED=1",
    ]
    entrypoint = ["/usr/bin/python3", "-m", "visionfleet"]
    return Image(VISIONFLEET, layers, {"Entrypoint": entrypoint, "Env": environment, "User": f"{USER}:{USER}"})


def python_image(name: str, content: Content = (), *, entrypoint: Sequence[str], base: Root = PYTHON) -> Image:
    """Debian with Python, and some content on top."""
    content = list(content)
    layers = [base_layer(base), *([layer(content)] if content else [])]
    return Image(name, layers, {"Entrypoint": list(entrypoint), "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]})


def base_layer(root: Root) -> Path:
    """A Debian root as a layer."""
    return layer([(root_folder(root), "/")])


def layer(content: Content) -> Path:
    """A layer in the cache. It belongs to root, and anybody may read what the files' modes let them."""
    entries = sorted(_entries(content))
    stamps = json.dumps([(name, str(path), _stamp(path)) for name, path in entries])
    made = CACHE / "layers" / f"{hashlib.sha256(stamps.encode()).hexdigest()[:24]}.tar"
    if made.is_file():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    unfinished = made.with_suffix(f".{os.getpid()}")
    with tarfile.open(unfinished, "w") as tar:
        for name, path in entries:
            tar.add(path, name, recursive=False, filter=_roots)
    with unfinished.open("rb") as file:
        made.with_suffix(".sha256").write_text(hashlib.file_digest(file, "sha256").hexdigest())
    unfinished.rename(made)
    return made


def _packages() -> Path:
    """What the lock of hub and workers names, installed for Debian's Python."""
    lock = CHECKOUT / "requirements" / "image.txt"
    folder = CACHE / f"packages-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{folder.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not folder.is_dir():
            _install(lock, folder)
    return folder


def _install(lock: Path, folder: Path) -> None:
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    # as the Makefile has it
    uv = shutil.which(os.environ.get("VISIONFLEET_UV") or "uv") or str(CACHE.parent / "tools" / "uv" / "bin" / "uv")
    command = [uv, "pip", "install", "--quiet", "--python-version=3.11", "--python-platform=x86_64-manylinux_2_36"]
    command += ["--only-binary=:all:", "--require-hashes", "--compile-bytecode"]
    command += [f"--requirement={lock}", f"--target={unfinished}"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if done.returncode != 0:
        missing("the image of visionfleet", f"its packages cannot be installed: {done.stderr[-2000:]}")
    unfinished.rename(folder)


def _entries(content: Content) -> Iterator[tuple[str, Path]]:
    for place, inside in content:
        stem = inside.strip("/")
        if not place.is_dir():
            yield stem, place
            continue
        for path in place.rglob("*"):
            # of the checkout's source, the bytecode is this machine's affair: it comes and goes with each test
            if not (place.is_relative_to(CHECKOUT) and "__pycache__" in path.parts):
                yield f"{stem}/{path.relative_to(place)}".lstrip("/"), path


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.lstat()
    return status.st_mode, status.st_size, status.st_mtime_ns


def _roots(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if not (entry.isfile() or entry.isdir() or entry.issym() or entry.islnk()):
        return None  # devices of a Debian root
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest, "size": size}


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode()
