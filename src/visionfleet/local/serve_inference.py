"""Serves the Roboflow Inference server from its wheel; run by the native runtime's Python, never by visionfleet's.

The wheel has no ASGI entry point of its own (the server's image brings one), so this script puts the public classes
together. It imports nothing of visionfleet. Its settings are the server's own environment variables, which
`visionfleet.projections.server` makes; HOST and PORT say where it listens.

The server works in a new, private folder that is removed at the end: it wants folders for its landing page there, and
it would load a `.env` file that happens to lie in the working folder. SIGTERM and SIGINT stop it after the requests in
flight, at most `GRACE_SECONDS` later.
"""

import os
import signal
import sys
import tempfile
from importlib import import_module
from pathlib import Path

GRACE_SECONDS = 5

# the server mounts these at start; its wheel does not carry them
LANDING_FOLDERS = ("inference/landing/out/static", "inference/landing/out/_next/static")


def serve() -> None:
    """Builds the server and answers until it is told to stop. Call it in the folder that it may work in."""
    for folder in LANDING_FOLDERS:
        Path(folder).mkdir(parents=True)

    # by name and only now: they are the runtime's packages, and read environment and working folder on import
    settings = import_module("inference.core.env")
    http_api = import_module("inference.core.interfaces.http.http_api")
    managers = import_module("inference.core.managers.base")
    caches = import_module("inference.core.managers.decorators.fixed_size_cache")
    registries = import_module("inference.core.registries.roboflow")
    models = import_module("inference.models.utils")

    manager = managers.ModelManager(registries.RoboflowModelRegistry(models.ROBOFLOW_MODEL_TYPES))
    manager = caches.WithFixedSizeCache(manager, max_size=settings.MAX_ACTIVE_MODELS)
    # no access log: the API takes keys in the query string
    import_module("uvicorn").run(
        http_api.HttpInterface(manager).app,
        host=settings.HOST,
        port=settings.PORT,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def main() -> None:
    """Serves in a private folder and removes it afterwards."""
    # uvicorn raises the signal again once it has stopped, and before it runs nobody else handles it
    signal.signal(signal.SIGTERM, _exit)
    with tempfile.TemporaryDirectory(prefix="visionfleet-inference-") as folder:
        os.chdir(folder)
        serve()


def _exit(*_: object) -> None:
    sys.exit()


if __name__ == "__main__":
    main()
