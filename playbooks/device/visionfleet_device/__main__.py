"""visionfleet-device: JSON on standard output, progress on standard error; exits with 0, or 1 and {"error", "fix"}."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Callable, Dict, Optional, cast

from visionfleet_device import VERSION
from visionfleet_device.errors import DeviceError
from visionfleet_device.paths import Paths

Answer = Optional[Dict[str, Any]]
Command = Callable[[Paths, argparse.Namespace], Answer]


def main(arguments: list[str] | None = None, root: str = "/") -> int:
    """Run one command."""
    options = _parser().parse_args(arguments)
    try:
        answer = options.run(Paths(root), options)
    except DeviceError as error:
        _print({"error": error.message, "fix": error.fix})
        return 1
    except OSError as error:
        _print({"error": str(error), "fix": "see whether the disk is full or broken: `df -h`, `dmesg`"})
        return 1
    if answer is not None:
        _print(answer)
    return 0


# What each command needs is imported when it runs: the platform has no use for the gate, nor a report for the fetch.


def fetch(paths: Paths, _: argparse.Namespace) -> Answer:
    """fetch what the release on standard input needs; what serves goes on serving"""
    from visionfleet_device.fetch import fetch as run  # noqa: PLC0415

    try:
        release = json.load(sys.stdin)
    except ValueError as error:
        raise DeviceError(f"standard input is no JSON: {error}", "give a release as JSON") from error
    if not isinstance(release, dict) or not isinstance(cast("Dict[str, Any]", release).get("id"), str):
        raise DeviceError("standard input is no release", "give a release as JSON")
    asked = cast("Dict[str, Any]", release)
    return {"changed": run(paths, asked), "id": asked["id"]}


def release(paths: Paths, options: argparse.Namespace) -> Answer:
    """switch to a fetched release, judge it, and keep it or go back"""
    from visionfleet_device.switch import Switch  # noqa: PLC0415

    return Switch(paths).release(options.id)


def recover(paths: Paths, _: argparse.Namespace) -> Answer:
    """go back where a release was interrupted"""
    from visionfleet_device.switch import Switch  # noqa: PLC0415

    return Switch(paths).recover()


def rollback(paths: Paths, _: argparse.Namespace) -> Answer:
    """release the previous release"""
    from visionfleet_device.switch import Switch  # noqa: PLC0415

    return Switch(paths).rollback()


def serve(paths: Paths, _: argparse.Namespace) -> Answer:
    """answer the inference server as the platform does"""
    from visionfleet_device.platform_server import serve as run  # noqa: PLC0415

    run(paths)
    return None


def server_key(paths: Paths, _: argparse.Namespace) -> Answer:
    """make the inference server's own key, once a boot"""
    from visionfleet_device.server_key import write  # noqa: PLC0415

    write(paths)
    return None


def report(paths: Paths, _: argparse.Namespace) -> Answer:
    """tell the hub how the device is"""
    from visionfleet_device.report import report as run  # noqa: PLC0415

    run(paths)
    return None


def info(paths: Paths, _: argparse.Namespace) -> Answer:
    """say what runs"""
    from visionfleet_device.info import info as run  # noqa: PLC0415

    return run(paths)


def remove(paths: Paths, _: argparse.Namespace) -> Answer:
    """remove everything of ours from the device, but not Docker"""
    from visionfleet_device.remove import remove as run  # noqa: PLC0415

    return {"changed": run(paths)}


COMMANDS: dict[str, Command] = {
    "fetch": fetch,
    "release": release,
    "recover": recover,
    "rollback": rollback,
    "serve": serve,
    "server-key": server_key,
    "report": report,
    "info": info,
    "remove": remove,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="visionfleet-device", description="A device's releases.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, run in COMMANDS.items():
        command = commands.add_parser(name, help=run.__doc__)
        command.set_defaults(run=run)
        if name == "release":
            command.add_argument("id", help="the release, fetched before")
    return parser


def _print(answer: dict[str, Any]) -> None:
    print(json.dumps(answer, sort_keys=True, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    sys.exit(main())
