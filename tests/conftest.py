"""What holds for every test."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import pytest
import structlog
from hypothesis import settings

# as make has it, for whoever runs pytest by hand: else each process that a test starts compiles what it imports
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

pytest_plugins = ["tests.engines.cluster.fixtures"]  # one cluster for the whole session, whoever asks for it

# `make check` is to be quick, `make test` thorough; both try the same examples each time: a red run is a change of ours
settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=100, deadline=None, derandomize=True)
settings.load_profile(os.environ.get("VISIONFLEET_HYPOTHESIS", "quick"))


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGTERM, end)
    if hasattr(config, "workerinput"):  # a worker of xdist's, which ends it by SIGINT and kills it seconds later
        signal.signal(signal.SIGINT, end)


def end(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends a run in order, as Ctrl-C does: what its fixtures have started ends with it."""
    for each in (signal.SIGTERM, signal.SIGINT):  # another one does not break off what the first one began
        signal.signal(each, lambda *_: None)
    pytest.exit(f"ended by {signal.Signals(number).name}")


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """No test writes to the log stream that another one set up, and tracebacks stay short."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()
