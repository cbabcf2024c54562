"""What is on trial, and what came of it.

`trial.json` is there from before a switch until its verdict is written, so whoever finds it after a power cut knows
what to go back to. A verdict carries the trial's number: with it, the matter is decided, however far the rest had come.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

from visionfleet_device import links
from visionfleet_device.paths import Paths

ACCEPTED = "accepted"  # it serves
RETURNED = "returned"  # it was not healthy: back to the one before
RECOVERED = "recovered"  # it was interrupted: back to the one before
REFUSED = "refused"  # nothing was switched


class Trial(NamedTuple):
    """A switch that has begun. `before` and `previous` are what the links were, or None where there was none."""

    number: str
    to: str
    before: str | None
    previous: str | None
    started_at: int
    boot: str  # of the kernel: another one has been through a restart

    def write(self, paths: Paths) -> None:
        """From here on, a power cut leads back."""
        value = {**self._asdict(), "from": self.before}
        del value["before"]
        links.write_json(paths.trial, value)


def begin(paths: Paths, to: str, started_at: int) -> Trial:
    """A trial of the release `to`, written to the disk."""
    trial = of(paths, to, started_at)
    trial.write(paths)
    return trial


def of(paths: Paths, to: str, started_at: int) -> Trial:
    """A trial of the release `to`. Where that is current already, what it goes back to is the one before."""
    before, earlier = current(paths), previous(paths)
    if before == to:
        before, earlier = earlier, None
    return Trial(uuid.uuid4().hex, to, before, earlier, started_at, boot_id(paths))


def read(paths: Paths) -> Trial | None:
    """The trial on the disk; None where there is none, or where it cannot be read."""
    value = links.read_json(paths.trial)
    if value is None:
        return None
    trial = Trial(
        number=value.get("number", ""),
        to=value.get("to", ""),
        before=value.get("from"),
        previous=value.get("previous"),
        started_at=value.get("started_at", 0),
        boot=value.get("boot", ""),
    )
    return trial if trial.number and trial.to and _are_names(trial.to, trial.before, trial.previous) else None


def guess(paths: Paths) -> Trial:
    """What an unreadable trial must have been.

    `previous` is switched before `current`, so where `current` has been switched, `previous` is what it was. Whether it
    has been, the last verdict says, which names what served. Where it has not been, nobody knows what was to be: `to`
    is empty, and that verdict still holds.
    """
    now = current(paths)
    is_switched = now != verdict(paths).get("serving")
    before = previous(paths) if is_switched else now
    return Trial("", (now or "") if is_switched else "", before, previous(paths), 0, "")


def current(paths: Paths) -> str | None:
    """The release that `current` leads to, there or not."""
    return _name(links.target_of(paths.current))


def previous(paths: Paths) -> str | None:
    """The release that `previous` leads to, there or not."""
    return _name(links.target_of(paths.previous))


def boot_id(paths: Paths) -> str:
    """Another one after each restart of the machine."""
    try:
        return (paths.proc / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def verdict(paths: Paths) -> dict[str, Any]:
    """The last verdict; empty where there is none."""
    return links.read_json(paths.verdict) or {}


def _name(target: str | None) -> str | None:
    return target.rsplit("/", 1)[-1] if target else None


def _are_names(*names: Any) -> bool:
    return all(name is None or isinstance(name, str) for name in names)
