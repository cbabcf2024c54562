"""The real Helm, on charts/visionfleet.

objects = rendered(values)                        # as `helm template` has them
release = Release(cluster, "acme", namespace)
release.upgrade(values); release.rollback(); release.uninstall()
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from engines.build import locate

from tests.engines.cluster import Cluster
from tests.engines.engine import missing

CHART = Path(__file__).resolve().parents[2] / "charts" / "visionfleet"
NAMESPACE = "visionfleet"
WAIT_SECONDS = 600  # several times what the slowest release takes: the machine may be busy

Values = Mapping[str, Any]
Object = dict[str, Any]


def helm(
    *arguments: str, values: Values | str | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What Helm says, whatever its exit code. Skips the test where it is not built."""
    folder = locate("helm")
    if folder is None:
        missing("Helm", "python engines/build.py helm")
    assert folder is not None
    text = values if isinstance(values, str) else json.dumps(values or {})
    return subprocess.run(
        [str(folder / "helm"), *arguments, "--values=-"] if values is not None else [str(folder / "helm"), *arguments],
        input=text,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS + 60,
        check=False,
    )


def rendered(values: Values | str, release: str = "acme", namespace: str = NAMESPACE) -> list[Object]:
    """The objects of a release; fails with what Helm says."""
    done = helm("template", release, str(CHART), f"--namespace={namespace}", values=values)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


@dataclass(frozen=True)
class Release:
    """A release of the chart in a cluster."""

    cluster: Cluster
    name: str
    namespace: str

    def upgrade(self, values: Values | str) -> None:
        """Install it, or make it what the values say; returns when all of it is ready."""
        self._run("upgrade", "--install", self.name, str(CHART), "--wait", f"--timeout={WAIT_SECONDS}s", values=values)

    def rollback(self) -> None:
        """Back to the revision before."""
        self._run("rollback", self.name, "--wait", f"--timeout={WAIT_SECONDS}s")

    def uninstall(self) -> None:
        """All of it goes."""
        self._run("uninstall", self.name, "--wait", f"--timeout={WAIT_SECONDS}s")

    def _run(self, *arguments: str, values: Values | str | None = None) -> None:
        done = helm(*arguments, f"--namespace={self.namespace}", values=values, environment=self.cluster.environment)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{self.state()}"

    def state(self) -> str:
        """What a person would look at."""
        events = ("get", "events", f"--namespace={self.namespace}", "--sort-by=.lastTimestamp")
        pods = ("get", "pods", f"--namespace={self.namespace}", "--output=wide")
        logs = (
            "logs",
            f"--namespace={self.namespace}",
            f"--selector=app.kubernetes.io/instance={self.name}",
            "--tail=40",
        )
        commands = (pods, events, (*logs, "--all-containers"), (*logs, "--all-containers", "--previous"))
        return "\n".join(self.cluster.run_kubectl(*command).stdout[-4000:] for command in commands)
