"""A shell that runs the commands of a page, one after the other, as its reader would."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.docs.console import Command, matches
from tests.engines.engine import running

PAGE_SECONDS = 900  # several times what a page takes: the machine may be busy
TIMED_OUT = 124  # as timeout(1) has it
MARK = "--- command"
# it ends at the first command that fails, and takes with it what the page has put into the background
START = "set -e\ntrap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT\n"


def as_written(text: str) -> str:
    """The text itself."""
    return text


@dataclass(frozen=True)
class Shell:
    """A shell in `folder`. `log` is where it writes; `translate` puts what is there in place of what a page has.

    `seconds` is what all commands together may take.
    """

    folder: Path
    log: Path
    environment: Mapping[str, str]
    translate: Callable[[str], str] = as_written
    seconds: float = PAGE_SECONDS

    def check(self, wanted: Sequence[Command]) -> None:
        """Run the commands: each ends well, and prints what is shown."""
        code, outputs = self._run(wanted)
        assert code == 0, f"{wanted[len(outputs) - 1].place} ended with {code}: {outputs[-1]}"
        for command, output in zip(wanted, outputs, strict=True):
            missed = matches(map(self.translate, command.shown), output)
            assert missed is None, f"{command.place} does not print {missed!r}, but:\n{output}"

    def _run(self, wanted: Sequence[Command]) -> tuple[int, list[str]]:
        """Run the commands until one fails; gives the exit code, and the output of each that was begun."""
        steps = (f"echo '{MARK}'\n{self.translate(command.text)}\n" for command in wanted)
        script = self.log.with_name("script.sh")
        script.write_text("".join((f"{START}cd {self.folder}\n", *steps)))
        with running(["bash", str(script)], self.log, self.environment) as bash:
            try:
                code = bash.wait(self.seconds)
            except subprocess.TimeoutExpired:
                code = TIMED_OUT
        return code, self.log.read_text().split(f"{MARK}\n")[1:]
