"""AWS's API on this machine: moto's server, whose account the tests read with boto3."""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from tests.engines.aws.store import Store
from tests.engines.engine import free_port, running, wait_until

REGION = "eu-central-1"
SETTINGS = {
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",  # what roles attach
    "MOTO_ACM_VALIDATION_WAIT": "0",  # seconds until a certificate is issued
}
# what every AWS client of a test is to have; the keys are moto's own placeholders
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


class Aws:
    """An empty account, and the clients that look into it."""

    def __init__(self, url: str, store: Path) -> None:
        self.url = url
        self.store = Store(store)
        self.environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": REGION,
            "VISIONFLEET_STANDIN_STATE": str(store),
        }

    def client(self, service: str, region: str = REGION) -> Any:
        """A boto3 client of the account."""
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def reset(self) -> None:
        """Empties the account."""
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")).close()  # noqa: S310
        for token, resources in self.store.all().items():
            for identifier in resources:
                self.store.remove(token, identifier)


@contextmanager
def serving(folder: Path) -> Generator[Aws]:
    """moto's server, its log and what it cannot keep in `folder`."""
    port, log = free_port(), folder / "moto.log"
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, log, SETTINGS) as process:
        aws = Aws(f"http://127.0.0.1:{port}", folder / "kept.json")

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"{aws.url}/moto-api/data.json").close()  # noqa: S310
            except OSError:
                return False
            return True

        wait_until(answers, "moto's server answers")
        yield aws
