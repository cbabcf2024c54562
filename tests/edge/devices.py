"""What tests ask of a device from inside, and how they hold its release at a step to cut the power right there."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.edge.deployment import EXAMPLE, WORKFLOW
from tests.engines.edge import EdgeHost
from tests.engines.engine import wait_until

PROGRAM = "/opt/visionfleet/bin/visionfleet-device"
SERVER = "http://127.0.0.1:9001"
SERVE_SECONDS = 360
_HELD_AT = "/run/held-at"
_POLL = 'while :; do curl -s -o /dev/null -w "%{http_code}\\n" --max-time 2 "$0"; sleep 0.1; done'

# Python tells an audit hook of each call below before it is made (PEP 578), so the program is the one that devices have
_HOLDER = """
import os, runpy, sys, time

step, sys.argv[1:] = sys.argv[1], sys.argv[2:]

def hook(event, arguments):
    if event == "os.rename":
        said = f"rename {os.path.basename(arguments[1])}"
    elif event == "os.remove":
        said = f"remove {os.path.basename(arguments[0])}"
    elif event == "subprocess.Popen":
        said = " ".join(arguments[1][:2])
    elif event == "urllib.Request":
        said = "ask " + arguments[0].rpartition("/")[2]
    elif event == "open":
        said = f"open {os.path.basename(str(arguments[0]))}"
    else:
        return
    if said == step and not os.path.exists("/run/held-at"):
        os.close(os.open("/run/held-at", os.O_CREAT))
        time.sleep(3600)

sys.path.insert(0, "/opt/visionfleet/lib")
sys.addaudithook(hook)
runpy.run_module("visionfleet_device", run_name="__main__")
"""
_HELD_UNIT = """
[Service]
ExecStart=
ExecStart=/usr/bin/python3 /run/holder.py "{step}" release %i
"""


def info(host: EdgeHost) -> dict[str, Any]:
    """What the device says runs."""
    return json.loads(host.check(PROGRAM, "info"))


def verdict(host: EdgeHost) -> dict[str, Any]:
    """What came of its last release."""
    return json.loads(host.check("cat", "/opt/visionfleet/verdict.json"))


def serves(host: EdgeHost, release: str) -> bool:
    """Whether a release is current and its server ready."""
    done = host.run("readlink", "/opt/visionfleet/current")
    return done.stdout.strip() == f"releases/{release}" and readiness(host) == "200"


def wait_for(host: EdgeHost, release: str) -> None:
    """Until it serves."""
    wait_until(lambda: serves(host, release), f"{host.name} serves {release}", SERVE_SECONDS)


def readiness(host: EdgeHost) -> str:
    """The status that its server answers; 000 where there is none."""
    return host.run("curl", "-s", "-o/dev/null", "-w%{http_code}", "--max-time", "5", f"{SERVER}/readiness").stdout


def infer(host: EdgeHost, key: str) -> tuple[int, Any]:
    """What its server sees on the golden picture."""
    return _ask(host, "/infer/object_detection", {"api_key": key, "model_id": "screws/3", "image": _picture()})


def run_workflow(host: EdgeHost, key: str) -> tuple[int, Any]:
    """What its server counts on it."""
    return _ask(host, f"/infer/workflows/acme/{WORKFLOW}", {"api_key": key, "inputs": {"image": _picture()}})


@contextmanager
def watched(host: EdgeHost, log: Path) -> Generator[list[str]]:
    """Ask for readiness time and again, ten times a second; the list has the answers at the end."""
    answers: list[str] = []
    with log.open("w") as output:
        command = ["nsenter", "--target", str(host.pid), "--all", "sh", "-c", _POLL, f"{SERVER}/readiness"]
        poll = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output)
        try:
            wait_until(lambda: log.stat().st_size, "the first answer")
            yield answers
        finally:
            poll.terminate()
            poll.wait(60)
    answers += log.read_text().split()


def shorten_waiting(host: EdgeHost) -> None:
    """Let a device give up a hub that does not answer after seconds, where it would try for minutes."""
    settings = "s/^TIMEOUT_SECONDS = .*/TIMEOUT_SECONDS = 2/; s/^ATTEMPTS = .*/ATTEMPTS = 2/"
    host.check("sed", "--in-place", settings, "/opt/visionfleet/lib/visionfleet_device/hub.py")
    host.check("systemctl", "restart", "visionfleet-platform")  # verify looks whether it runs what is installed


def hold_at(host: EdgeHost, step: str) -> None:
    """Let the next release stand still before a step: `rename current`, `remove trial.json`, `systemctl restart`, `ask
    readiness`, `open fetch.lock`. Until the next boot."""
    folder = "/run/systemd/system/visionfleet-release@.service.d"
    files = {"/run/holder.py": _HOLDER, f"{folder}/held.conf": _HELD_UNIT.format(step=step)}
    host.check("mkdir", "--parents", folder)
    for path, content in files.items():
        host.check("sh", "-c", f"cat >{path} <<'END'\n{content}\nEND")
    host.check("rm", "--force", _HELD_AT)
    host.check("systemctl", "daemon-reload")


def wait_until_held(host: EdgeHost) -> None:
    """Until it stands there."""
    wait_until(lambda: host.run("test", "-e", _HELD_AT).returncode == 0, f"{host.name}'s release is held", 360)


def start_release(host: EdgeHost, release: str) -> None:
    """As the module does it, without waiting for its end."""
    host.check("systemctl", "start", "--no-block", f"visionfleet-release@{release}.service")


def wait_for_verdict(host: EdgeHost, release: str, result: str) -> None:
    """Until the device has judged a release by itself."""
    wait_until(
        lambda: (verdict(host)["release"], verdict(host)["result"]) == (release, result),
        f"{host.name} says of {release}: {result}",
        SERVE_SECONDS,
    )


def system_state(host: EdgeHost) -> str:
    """`running`, or `degraded` where a unit has failed."""
    return host.run("systemctl", "is-system-running", "--wait", seconds=360).stdout.strip()


def assert_nothing_stays(folder: Path) -> None:
    """No process or mount of a deployment that was in this folder."""
    processes = subprocess.run(
        ["ps", "-eo", "args"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    ).stdout
    assert [line for line in processes.splitlines() if str(folder) in line] == []
    assert str(folder) not in Path("/proc/mounts").read_text()


def _picture() -> dict[str, str]:
    content = (EXAMPLE / "golden" / "screw.png").read_bytes()
    return {"type": "base64", "value": base64.b64encode(content).decode()}


def _ask(host: EdgeHost, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    command = ["curl", "-s", "--max-time", "60", "-w", "\n%{http_code}", "-H", "Content-Type: application/json"]
    said = host.check("env", *command, "-d", json.dumps(body), SERVER + path, seconds=360)
    answer, _, status = said.rpartition("\n")
    return int(status), json.loads(answer)
