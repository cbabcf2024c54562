"""The processes that a cluster is made of, each with a log of its own in the cluster's folder."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.engines.engine import started, stop

READY_SECONDS = 360  # the machine may be busy with other tests
TAIL_BYTES = 3000


class Parts:
    """They end with the context; and with this process, however it ends. Nothing that they keep is needed later."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name in reversed(list(self._processes)):
            self.stop(name)

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start one, whose name is also its log's."""
        self._processes[name] = started(command, self.log(name))

    def stop(self, name: str) -> None:
        """End one at once."""
        stop(self._processes.pop(name), signal.SIGKILL)

    def log(self, name: str) -> Path:
        """What a part says."""
        return self.folder / f"{name}.log"

    def wait_until(self, name: str, condition: Callable[[], object], seconds: float = READY_SECONDS) -> None:
        """Wait until a part is ready; where it does not become so, or ends, fail with what it said last."""
        deadline = time.monotonic() + seconds
        while not condition():
            ended = self._processes[name].poll() is not None
            if ended or time.monotonic() > deadline:
                said = self.log(name).read_bytes()[-TAIL_BYTES:].decode(errors="replace")
                what = "ended" if ended else f"was not ready within {seconds:.0f} s"
                pytest.fail(f"{name} {what}; {self.log(name)} ends with\n{said}")
            time.sleep(0.1)
