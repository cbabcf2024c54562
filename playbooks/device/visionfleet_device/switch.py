"""A release on the device: switch, judge, and keep or go back.

At every moment `current` is the old release or the new one, and after a power cut at any of them `recover` leads to one
that is whole. Only who holds the lock changes the links; the lock ends with its holder.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Callable, Dict, cast

from visionfleet_device import bundle, links, packages, reserve, trial
from visionfleet_device.container import RELEASE_LABEL
from visionfleet_device.errors import Busy, DeviceError
from visionfleet_device.gate import GateFailed, Watch, judge, last_lines
from visionfleet_device.locks import held
from visionfleet_device.machine import Machine, this_machine
from visionfleet_device.paths import INFERENCE, INFERENCE_UNIT, RELEASE_UNIT, Paths
from visionfleet_device.prune import prune
from visionfleet_device.trial import ACCEPTED, RECOVERED, REFUSED, RETURNED, Trial

Judge = Callable[[Paths, Machine, "dict[str, Any]", "dict[str, Any]"], None]

_NOTHING = "Nothing serves now: there was no release before it"
_LOOK = "see `journalctl -u visionfleet-inference` and `visionfleet-device info` on the device"


class Switch:
    """The releases of one device."""

    def __init__(self, paths: Paths, machine: Machine | None = None, gate: Judge = judge) -> None:
        self._paths = paths
        self._machine = machine or this_machine(paths)
        self._gate = gate

    def release(self, release_id: str) -> dict[str, Any]:
        """Let a fetched release serve, if it is healthy. Raises DeviceError, with what serves now, where it is not."""
        self._paths.bundle(release_id)  # no id, no verdict
        with held(self._paths.lock, "a release"):
            self._recover()
            release, image = self._read(release_id)
            if trial.current(self._paths) == release_id:
                return self._keep(release, image)
            return self._try(release, image)

    def recover(self) -> dict[str, Any]:
        """Put right what a power cut left. Does not wait for the server, which waits for this at boot."""
        try:
            with held(self._paths.lock, "a release"):
                return {"changed": self._recover()}
        except Busy:
            return {"changed": False}  # whoever has begun the release is alive

    def rollback(self) -> dict[str, Any]:
        """Release the previous release, in the unit that outlives whoever asks for it."""
        previous = trial.previous(self._paths)
        if previous is None:
            raise DeviceError("there is no release before the current one", "release one by its file")
        before, unit = trial.verdict(self._paths), RELEASE_UNIT.replace("@", f"@{previous}")
        with suppress(DeviceError):  # the verdict says more
            self._machine.systemd.start(unit)
        verdict = trial.verdict(self._paths)
        if verdict == before:
            raise DeviceError(f"release {previous} was not begun", f"see `journalctl -u {unit}` on the device")
        if verdict.get("release") != previous or verdict.get("result") != ACCEPTED:
            raise DeviceError(str(verdict.get("reason")), _LOOK)
        return {"changed": True, "verdict": verdict}

    # a release

    def _read(self, release_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            return bundle.read(self._paths, release_id)
        except DeviceError as error:
            current = trial.current(self._paths)
            said = f"{error.message}. {f'Release {current} serves on' if current else 'Nothing has been switched'}"
            self._refuse(release_id, said, current)
            raise DeviceError(said, error.fix) from error

    def _keep(self, release: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
        """The release is current already: see that it serves, and start it where it does not."""
        reason = "it served already"
        if not self._is_kept(release, image):
            reason = "it was current, but did not serve: it was started anew"
            self._start_anew(release, image)
        elif self._is_accepted(release["id"]):
            return {"changed": False, "verdict": trial.verdict(self._paths)}
        self._write_verdict("", release["id"], ACCEPTED, reason, release["id"])
        return {"changed": True, "verdict": trial.verdict(self._paths)}

    def _is_kept(self, release: dict[str, Any], image: dict[str, Any]) -> bool:
        """Whether the current release serves as it is. Where nobody can tell, it is left alone."""
        try:
            self._arrange()
            return self._serves(release, image)
        except (DeviceError, OSError) as error:
            said = f"nobody can tell whether release {release['id']}, which is current already, serves: {error}"
            self._refuse(release["id"], said, release["id"])
            raise DeviceError(said, _LOOK) from error

    def _start_anew(self, release: dict[str, Any], image: dict[str, Any]) -> None:
        """Start the current release. Where it fails, the one before is the way back, as for one on trial."""
        try:
            self._start(release)
            self._gate(self._paths, self._machine, release, image)
        except Exception as error:  # whatever it is, there is a verdict
            reason = f"release {release['id']} is current already, but does not serve: {_said(error)}"
            begun = trial.of(self._paths, release["id"], self._machine.clock.date())
            if begun.before is not None and self._is_whole(begun.before):
                with suppress(OSError):  # a full disk does not keep from going back
                    begun.write(self._paths)
                self._return(begun, reason, error)
            self._refuse(release["id"], reason, None)
            raise DeviceError(reason, _LOOK) from error

    def _try(self, release: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
        reserve.keep(self._paths)  # nothing is switched where there is no room to say what came of it
        begun = trial.begin(self._paths, release["id"], self._machine.clock.date())
        try:
            self._switch(begun)
            self._start(release)
            self._gate(self._paths, self._machine, release, image)
            self._write_verdict(begun.number, begun.to, ACCEPTED, "it is healthy", begun.to)
        except (GateFailed, DeviceError, OSError) as error:
            self._return(begun, f"release {begun.to} failed: {error}", error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the device goes back
            self._return(begun, f"release {begun.to} could not be judged: {error!r}", error)
        links.remove(self._paths.trial)
        with suppress(DeviceError, OSError):  # what is left over is tidied up after the next one
            prune(self._paths, self._machine.docker)
        return {"changed": True, "verdict": trial.verdict(self._paths)}

    def _switch(self, begun: Trial) -> None:
        # `previous` first: where `current` is the new one, `previous` is the old one
        if begun.before is not None:
            links.point(self._paths.previous, f"releases/{begun.before}")
        links.point(self._paths.current, f"releases/{begun.to}")
        self._paths.bundle(begun.to).tried.touch()
        self._arrange()

    def _start(self, release: dict[str, Any]) -> None:
        try:
            self._restart()
        except DeviceError as error:
            said = f"the server of release {release['id']} cannot be started: {error}{last_lines(self._machine)}"
            raise GateFailed(said) from error

    def _return(self, begun: Trial, reason: str, error: Exception) -> None:
        """Go back to the release before. Always raises DeviceError, with what serves then."""
        back = f"going back to release {begun.before}" if begun.before else "there was no release before it"
        with suppress(OSError):  # on a full disk the links can be switched still
            self._write_verdict(begun.number, begun.to, RETURNED, f"{reason}; {back}", begun.before)
        serving = self._put_back(begun)
        said = f"{reason}. {self._start_again(serving)}"
        self._write_verdict(begun.number, begun.to, RETURNED, said, serving)
        links.remove(self._paths.trial)
        raise DeviceError(said, _LOOK) from error

    def _start_again(self, serving: str | None) -> str:
        """Start what the links lead to, and say whether it serves."""
        if serving is None:
            return _NOTHING
        release, image = bundle.read(self._paths, serving)
        try:
            self._start(release)
            Watch(self._machine, release, image).wait_ready(release["health"]["ready_seconds"])
        except (GateFailed, DeviceError) as error:
            return f"Release {serving} was started again, but does not serve either: {error}"
        return f"Release {serving} (version {release['version']}) serves again"

    # the way back

    def _recover(self) -> bool:
        """Finish or undo a trial that nobody is at any more. True where something changed."""
        if not links.exists(self._paths.trial):
            return self._mend()
        begun = trial.read(self._paths) or trial.guess(self._paths)
        verdict = trial.verdict(self._paths)
        decided = verdict if begun.number and verdict.get("trial") == begun.number else {}
        if decided.get("result") != ACCEPTED:
            self._go_back(begun, decided)
        links.remove(self._paths.trial)
        return True

    def _go_back(self, begun: Trial, decided: dict[str, Any]) -> None:
        serving = self._put_back(begun)
        is_started = self._restart_later(serving)
        if not begun.to:
            return  # it had not switched: the last verdict holds
        if decided:
            self._write_verdict(begun.number, begun.to, RETURNED, str(decided.get("reason")), serving)
            return
        reason = f"release {begun.to} was not judged to the end: {self._interruption(begun)}"
        now = f"Release {serving} {'was started again' if is_started else 'runs on'}" if serving else _NOTHING
        self._write_verdict(begun.number, begun.to, RECOVERED, f"{reason}. {now}", serving)

    def _interruption(self, begun: Trial) -> str:
        if not begun.number:
            return "its trial.json cannot be read"
        if begun.boot != trial.boot_id(self._paths):
            return "the device was restarted in the middle, by a power cut or a reboot"
        return "it was stopped in the middle, by somebody or by a reboot"

    def _mend(self) -> bool:
        """Links that lead nowhere, as after a file system's repair."""
        current, previous = trial.current(self._paths), trial.previous(self._paths)
        if current is not None and not self._is_whole(current):
            serving = self._put_back(Trial("", current, None, previous, 0, ""))
            self._restart_later(serving)
            now = f"Release {serving} was started in its place" if serving else "Nothing serves now"
            said = f"release {current} is not whole on the disk any more. {now}"
            self._write_verdict("", current, RECOVERED, said, serving)
            return True
        if previous is not None and (previous == current or not self._is_whole(previous)):
            links.remove(self._paths.previous)
            return True
        return False

    def _put_back(self, begun: Trial) -> str | None:
        """Let the links be what they were, as far as those releases are whole; gives what is current then."""
        whole = [name for name in (begun.before, begun.previous) if name and self._is_whole(name)]
        if not whole:
            self._clear()
            return None
        links.point(self._paths.current, f"releases/{whole[0]}")
        if begun.previous in whole and begun.previous != whole[0]:
            links.point(self._paths.previous, f"releases/{begun.previous}")
        else:
            links.remove(self._paths.previous)
        self._arrange()
        return whole[0]

    def _clear(self) -> None:
        """Let nothing serve."""
        with suppress(DeviceError):  # at boot, Docker may not be there yet, and nor is the container
            self._machine.systemd.stop(INFERENCE_UNIT)
        with suppress(DeviceError):
            self._machine.docker.remove_container(INFERENCE)
        for link in (self._paths.inference_wanted, self._paths.inference_unit, self._paths.previous):
            links.remove(link)
        links.remove(self._paths.current)
        self._machine.systemd.reload()

    def _restart_later(self, serving: str | None) -> bool:
        """Start what the links lead to, without waiting for it. False where it is what runs."""
        if serving is None or self._runs(serving):
            return False
        with suppress(DeviceError):  # the links are right: it starts with the next boot, if not now
            self._restart(wait=False)
        return True

    def _restart(self, *, wait: bool = True) -> None:
        """Start the server anew, by the unit that the links lead to and on a cache that is ready for it."""
        self._stop()
        self._prepare_cache()
        self._machine.systemd.reload()
        self._machine.systemd.restart(INFERENCE_UNIT, wait=wait)

    def _stop(self) -> None:
        """Stop the server before its cache is touched: until it has ended, it writes there.

        Only where it runs: at boot it is wanted already, and waits for this program.
        """
        if self._machine.systemd.show(INFERENCE_UNIT, "ActiveState")["ActiveState"] not in ("inactive", "failed"):
            self._machine.systemd.stop(INFERENCE_UNIT)

    def _prepare_cache(self) -> None:
        links.make_folder(self._paths.cache)
        packages.forget_choices(self._paths)

    # what is where

    def _arrange(self) -> None:
        """Let systemd find the current release's unit, also at the next boot."""
        wanted = {
            self._paths.inference_unit: self._paths.current / "inference.service",
            self._paths.inference_wanted: self._paths.inference_unit,
        }
        for link, target in wanted.items():
            if links.target_of(link) != str(target):
                links.point(link, str(target))

    def _runs(self, release_id: str) -> bool:
        """Whether the container is that of a release, ready or not."""
        try:
            if self._machine.systemd.show(INFERENCE_UNIT, "ActiveState")["ActiveState"] != "active":
                return False
            found = self._machine.docker.container(INFERENCE)
        except DeviceError:
            return False
        if found is None:
            return False
        labels = cast("Dict[str, str]", found["Config"].get("Labels") or {})
        return labels.get(RELEASE_LABEL) == release_id

    def _serves(self, release: dict[str, Any], image: dict[str, Any]) -> bool:
        if self._machine.systemd.show(INFERENCE_UNIT, "NeedDaemonReload")["NeedDaemonReload"] == "yes":
            return False  # its unit was written anew
        try:
            watch = Watch(self._machine, release, image)
            if not watch.is_running():
                return False
            watch.wait_ready(release["health"]["ready_seconds"])  # it loads its models still, or has much to do
        except GateFailed:
            return False
        return True

    def _is_whole(self, name: str) -> bool:
        try:
            return bundle.is_whole(self._paths, name)
        except DeviceError:
            return False  # a link that leads to no release

    def _is_accepted(self, release_id: str) -> bool:
        verdict = trial.verdict(self._paths)
        return verdict.get("release") == release_id and verdict.get("result") == ACCEPTED

    def _refuse(self, release_id: str, reason: str, serving: str | None) -> None:
        self._write_verdict("", release_id, REFUSED, reason, serving)

    def _write_verdict(self, number: str, release_id: str, result: str, reason: str, serving: str | None) -> None:
        value = {"trial": number, "release": release_id, "result": result, "reason": reason, "serving": serving}
        reserve.write_json(self._paths, self._paths.verdict, {**value, "at": self._machine.clock.date()})


def _said(error: Exception) -> str:
    if isinstance(error, (GateFailed, DeviceError, OSError)):
        return str(error)
    return repr(error)
