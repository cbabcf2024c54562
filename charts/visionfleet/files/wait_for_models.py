"""Waits until the hub knows the models that a server is to load, and takes its key.

A server tries to load each model once when it starts, and is ready after that whether it could or not. So it starts
when it can. This runs in the server's own image before it, with Python's standard library alone.
"""

import os
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

AGAIN_SECONDS = 2
ANSWER_SECONDS = 10
REASONS = {401: "does not know the key of this pod", 403: "refuses the key of this pod", 404: "does not know the model"}


def main() -> None:
    """Returns when the hub has all of them."""
    # the first process of a container is not ended by a signal that it does not handle
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    hub = os.environ["API_BASE_URL"]
    for model in os.environ["PRELOAD_MODELS"].split(","):
        said = None
        while problem := _problem(hub, model):
            if problem != said:
                print(f"{model}: {problem}; trying again", flush=True)
                said = problem
            time.sleep(AGAIN_SECONDS)
        print(f"{model}: {hub} has it", flush=True)


def _problem(hub: str, model: str) -> str:
    """Why the model cannot be loaded now; empty where it can."""
    query = urllib.parse.urlencode({"modelId": model})
    request = urllib.request.Request(f"{hub}/models/v1/external/stat?{query}")  # noqa: S310 - of the chart's values
    request.add_header("Authorization", f"Bearer {os.environ['ROBOFLOW_API_KEY']}")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS):  # noqa: S310 - likewise
            return ""
    except urllib.error.HTTPError as error:
        return f"{hub} {REASONS.get(error.code, f'answers {error.code}')}"
    except OSError as error:
        return f"{hub} does not answer: {error}"


if __name__ == "__main__":
    main()
