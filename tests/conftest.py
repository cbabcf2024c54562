"""What holds for every test."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

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


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """No test writes to the log stream that another one set up, and tracebacks stay short."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()
