"""The unmodified command line of Roboflow's, against a hub."""

from __future__ import annotations

from tests.engines.engine import missing, printed
from visionfleet.local.runtime import locate

VERSION = "1.8.3"
COMMAND_SECONDS = 600


def rf_cloud(url: str, key: str, *arguments: str) -> str:
    """What `inference rf-cloud …` prints; fails with what it says."""
    runtime = locate(VERSION)
    if not runtime.is_installed:
        missing(f"the inference command line {VERSION}", "`make runtime` installs it")
    environment = {"API_BASE_URL": url, "ROBOFLOW_API_KEY": key, "COLUMNS": "200"}
    return printed([str(runtime.inference), "rf-cloud", *arguments], environment, seconds=COMMAND_SECONDS)
