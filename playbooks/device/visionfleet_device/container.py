"""The inference server's container: the unit that runs it, and its environment.

The image is named by its id, so nothing but what was pulled for the release ever runs, and nothing is pulled at a
start: a device starts with the network down. The key is no environment variable, since Docker writes those to its disk
and shows them: the server reads /app/.env at its start.
"""

from __future__ import annotations

from typing import Any

from visionfleet_device.errors import DeviceError
from visionfleet_device.paths import INFERENCE, PLATFORM_UNIT, RECOVER_UNIT, Paths

CACHE = "/cache"  # the server's MODEL_CACHE_DIR
KEY_FILE = "/app/.env"
RELEASE_LABEL = "visionfleet.release"  # on the container: two releases may have the same image
PLATFORM_HOST = "visionfleet-device"  # this machine, as the container knows it
STOP_SECONDS = 30

_RUNTIMES = {"cpu": [], "nvidia": ["--gpus all"], "jetson": ["--runtime nvidia"]}
_ISOLATIONS = {
    "strict": ["--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "--pids-limit 8192"],
    "privileged": ["--privileged"],
}

_UNIT = """\
[Unit]
Description=Roboflow Inference server of release {id}
Wants=docker.service {platform}
After=docker.service {platform} {recover}
RequiresMountsFor={home} {state}
# tried again for as long as it takes: what keeps it from starting may pass
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStartPre={program} server-key
ExecStartPre=-docker rm --force {name}
ExecStart=docker run {options} {image}
ExecStop=docker stop --time {stop_seconds} {name}
Restart=always
RestartSec=5
TimeoutStartSec=120
TimeoutStopSec=45

[Install]
WantedBy=multi-user.target
"""


def unit(paths: Paths, release: dict[str, Any], image_id: str) -> bytes:
    """The systemd unit of a release."""
    return _UNIT.format(
        id=release["id"],
        name=INFERENCE,
        platform=PLATFORM_UNIT,
        recover=RECOVER_UNIT,
        program=paths.program,
        home=paths.home,
        state=paths.state,
        options=" \\\n    ".join(_options(paths, release)),
        image=image_id,
        stop_seconds=STOP_SECONDS,
    ).encode()


def environment_file(release: dict[str, Any]) -> bytes:
    """What `docker run --env-file` reads: a variable a line, as it is."""
    variables: dict[str, str] = release["environment"]
    for name, value in variables.items():
        if "\n" in value or "\r" in value:
            raise DeviceError(f"the variable {name} of release {release['id']} has more than one line")
    return "".join(f"{name}={value}\n" for name, value in sorted(variables.items())).encode()


def _options(paths: Paths, release: dict[str, Any]) -> list[str]:
    port = release["port"]
    return [
        f"--name {INFERENCE} --rm --pull never --init",
        f"--label {RELEASE_LABEL}={release['id']}",
        # its output is the unit's, which the journal keeps, also when the container is gone
        "--log-driver none",
        *_known(_RUNTIMES, release, "runtime"),
        *_known(_ISOLATIONS, release, "isolation"),
        "--shm-size 1g --tmpfs /tmp:rw,exec,nosuid,nodev,mode=1777",
        f"--mount type=bind,source={paths.cache},target={CACHE}",
        f"--mount type=bind,source={paths.server_env},target={KEY_FILE},readonly",
        f"--env-file {paths.bundle(release['id']).environment}",
        f"--add-host {PLATFORM_HOST}:host-gateway",
        f"--publish {release['bind']}:{port}:{port}",
    ]


def _known(table: dict[str, list[str]], release: dict[str, Any], key: str) -> list[str]:
    if release[key] not in table:
        message = f"this device's program knows no {key} '{release[key]}'"
        raise DeviceError(message, "bring the program up to date: ansible-playbook playbooks/site.yml")
    return table[release[key]]
