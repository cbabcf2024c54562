"""Builds the real engines that the tests run against, each once, from the pinned Go modules beside this file.

    python engines/build.py [NAME …]     builds what is not there yet (all of them without a name)
    python engines/build.py --where      tells where each engine lies

An engine lies in `${XDG_CACHE_HOME:-~/.cache}/visionfleet/engines/<name>-<version>/`, outside of the checkout, so that
a fresh clone finds it again. Its marker file is written last and holds a digest of what it was built from: a folder
whose marker is missing, or speaks of something else, is built again. Two builds of one engine at once wait for each
other. An engine on PATH serves instead where its version fits. Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MARKER = "built-from"
REPORT_SECONDS = 15  # between two lines of progress
SDK = "github.com/pulumi/pulumi/sdk/v3"
KUBERNETES = "k8s.io/component-base/version"


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A file that a Go module carries beside its Go code, and that an engine needs beside its executable."""

    folder: str  # the module of ours that pins it
    module: str
    path: str


@dataclass(frozen=True, slots=True)
class Engine:
    """One tool: its folder here pins the version, `packages` are the commands that `go install` makes of it."""

    name: str
    version: str
    packages: tuple[str, ...]
    ldflags: str = "-s -w"
    files: tuple[ModuleFile, ...] = ()
    version_command: tuple[str, ...] = ()  # asks the one on PATH; empty: it is never taken from there
    comes_with: str = ""  # the engine whose own distribution carries this one too

    @property
    def commands(self) -> tuple[str, ...]:
        """The names of its executables."""
        return tuple(Path(package).name for package in self.packages)

    @property
    def folder(self) -> Path:
        """Where it lies once it is built."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "visionfleet" / "engines" / f"{self.name}-{self.version}"


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            name="pulumi",
            version="3.259.0",
            packages=("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",),
            ldflags=f"-s -w -X {SDK}/go/common/version.Version=v3.259.0",
            version_command=("pulumi", "version"),
        ),
        # 3.78.0 is the last release whose language host is part of a module that can be had; its program runner is
        # taken from the CLI's own release, since that is the one that knows the SDK of today
        Engine(
            name="pulumi-language-python",
            version="3.78.0",
            packages=(f"{SDK}/python/cmd/pulumi-language-python",),
            ldflags=f"-s -w -X {SDK}/go/common/version.Version=v3.78.0",
            files=(ModuleFile("pulumi", SDK, "python/cmd/pulumi-language-python-exec"),),
            comes_with="pulumi",
        ),
        Engine(
            name="versitygw",  # a server of S3's API
            version="1.8.0",
            packages=("github.com/versity/versitygw/cmd/versitygw",),
        ),
        Engine(
            name="kubernetes",
            version="1.36.3",
            packages=tuple(
                f"k8s.io/kubernetes/cmd/{command}"
                for command in (
                    *("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"),
                    "kubectl",
                )
            ),
            ldflags=f"-s -w -X {KUBERNETES}.gitVersion=v1.36.3 -X {KUBERNETES}.gitMajor=1 -X {KUBERNETES}.gitMinor=36",
        ),
        Engine(name="helm", version="4.3.1", packages=("helm.sh/helm/v4/cmd/helm",)),
        Engine(name="kubeconform", version="0.8.0", packages=("github.com/yannh/kubeconform/cmd/kubeconform",)),
        Engine(name="kwok", version="0.8.0", packages=("sigs.k8s.io/kwok/cmd/kwok",)),  # nodes that are not there
        Engine(name="kueue", version="0.17.0", packages=("sigs.k8s.io/kueue/cmd/kueue",)),
        Engine(name="coredns", version="1.15.0", packages=("github.com/coredns/coredns",)),
        Engine(  # an agent that keeps NetworkPolicies
            name="kube-network-policies",
            version="0.8.0",
            packages=("sigs.k8s.io/kube-network-policies/cmd",),
        ),
        Engine(
            name="keda",
            version="2.21.0",
            packages=("github.com/kedacore/keda/v2/cmd/operator", "github.com/kedacore/keda/v2/cmd/adapter"),
        ),
        Engine(
            name="flux",  # its controllers have versions of their own; this is kustomize-controller's
            version="1.9.6",
            packages=tuple(f"github.com/fluxcd/{part}-controller" for part in ("source", "kustomize", "helm")),
        ),
    )
}


class BuildError(Exception):
    """An engine could not be built."""


def locate(name: str) -> Path | None:
    """The folder that holds the engine's executables: one on PATH that fits, else the built one, else None."""
    engine = ENGINES[name]
    return _on_path(engine) or (engine.folder if _is_built(engine) else None)


def build(name: str) -> Path:
    """Builds an engine unless it is there. Raises BuildError, which says what to do."""
    engine = ENGINES[name]
    if found := locate(name):
        _say(engine, f"is in {found}")
        return found
    with _lock(engine):
        if not _is_built(engine):
            _build(engine)
    return engine.folder


def module_folder(pins: str, module: str) -> Path:
    """Where Go keeps a module, at the version that the folder `pins` names; fetched if it is not there.

    Raises BuildError.
    """
    if shutil.which("go") is None:
        raise BuildError(f"{module} is not to be had: install Go, which fetches it")
    command = ["go", "mod", "download", "-json", module]
    done = subprocess.run(
        command,
        cwd=HERE / pins,
        stdin=subprocess.DEVNULL,
        env=_go_environment(HERE),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"{module} is not to be had: {done.stdout.strip()}{done.stderr.strip()}")
    return Path(json.loads(done.stdout)["Dir"])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0: all there, or skipped for want of Go; 1: a build failed, or an engine is required and missing."""
    options = _parse(arguments)
    if options.where:
        for name in ENGINES:
            print(f"{name}\t{locate(name) or 'not built'}")
        return 0
    names = [name for name in options.names or ENGINES if locate(name) is None]
    if names and shutil.which("go") is None:
        return _skip(names)
    try:
        for name in options.names or ENGINES:
            build(name)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Builds the real engines of the tests, each once, into the cache.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ENGINES))
    parser.add_argument("--where", action="store_true", help="tell where each engine lies")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(ENGINES):
        parser.error(f"no such engine: {', '.join(sorted(unknown))} (known: {', '.join(ENGINES)})")
    return options


def _skip(names: list[str]) -> int:
    required = os.environ.get("VISIONFLEET_REQUIRE_ENGINES") == "1"
    print(
        f"{'error' if required else 'SKIPPED'}: {', '.join(names)}: Go is not on PATH, and is needed to build them\n"
        f"  install Go {_go_version()} or newer; until then the tests that need them are skipped",
        file=sys.stderr,
    )
    return 1 if required else 0


def _go_version() -> str:
    """The newest Go that one of the modules asks for."""
    asked = (re.search(r"^go (\S+)$", path.read_text(), re.MULTILINE) for path in HERE.glob("*/go.mod"))
    return max((found.group(1) for found in asked if found), key=_numbers)


def _build(engine: Engine) -> None:
    started = time.monotonic()
    shutil.rmtree(engine.folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=engine.folder.parent, prefix=f".{engine.name}-") as scratch:
        folder = Path(scratch) / "engine"
        folder.mkdir()
        _say(engine, "is built from its Go module (minutes the first time)")
        _install(engine, folder)
        for file in engine.files:
            shutil.copy(module_folder(file.folder, file.module) / file.path, folder)
            (folder / Path(file.path).name).chmod(0o755)
        folder.rename(engine.folder)
    (engine.folder / MARKER).write_text(_digest(engine))
    _say(engine, f"built in {time.monotonic() - started:.0f} s: {engine.folder}")


def _install(engine: Engine, folder: Path) -> None:
    """`go install`, with a line now and then that tells how far it is. Its own words go to a log beside the engine."""
    log = engine.folder.with_name(f"{engine.folder.name}.log")
    command = ["go", "install", "-v", "-trimpath", f"-ldflags={engine.ldflags}", *engine.packages]
    started = time.monotonic()
    with (
        log.open("w") as output,
        subprocess.Popen(
            command,
            cwd=HERE / engine.name,
            env=_go_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as child,
    ):
        while True:
            try:
                code = child.wait(REPORT_SECONDS)
                break
            except subprocess.TimeoutExpired:
                packages = sum(not line.startswith("go: ") for line in log.read_text().splitlines())
                _say(engine, f"{time.monotonic() - started:4.0f} s  {packages} packages")
            except BaseException:
                child.terminate()
                raise
    if code != 0:
        raise BuildError(f"{engine.name} {engine.version} could not be built; {log} ends with\n{_tail(log)}")


def _go_environment(folder: Path) -> dict[str, str]:
    """Pinned versions only, whatever workspace surrounds the checkout; no C compiler is needed."""
    return {
        **os.environ,
        "GOBIN": str(folder),
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
    }


def _is_built(engine: Engine) -> bool:
    marker = engine.folder / MARKER
    return marker.exists() and marker.read_text() == _digest(engine)


def _digest(engine: Engine) -> str:
    """Of all that the executable is made from: the pins and the flags."""
    folders = sorted({engine.name, *(file.folder for file in engine.files)})
    pins = [(HERE / folder / name).read_bytes() for folder in folders for name in ("go.mod", "go.sum")]
    return hashlib.sha256(b"\0".join([*pins, repr(engine).encode()])).hexdigest()


def _on_path(engine: Engine) -> Path | None:
    """The folder on PATH that holds the engine at our version or a newer one of the same major version."""
    if engine.comes_with:
        folder = _on_path(ENGINES[engine.comes_with])
        return folder if folder and all((folder / command).exists() for command in engine.commands) else None
    found = shutil.which(engine.version_command[0]) if engine.version_command else None
    if found is None:
        return None
    done = subprocess.run(
        [found, *engine.version_command[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    version, wanted = _numbers(done.stdout), _numbers(engine.version)
    return Path(found).resolve().parent if version[:1] == wanted[:1] and version >= wanted else None


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"\d+(?:\.\d+)+", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


@contextmanager
def _lock(engine: Engine) -> Generator[None]:
    path = engine.folder.with_name(f"{engine.folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(engine, "another command builds it; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _tail(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-20:])


def _say(engine: Engine, what: str) -> None:
    print(f"{engine.name} {engine.version}: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
