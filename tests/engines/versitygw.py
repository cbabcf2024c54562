"""versitygw: a server of S3's API on a folder, with buckets and errors as S3 has them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
from engines.build import locate

from tests.engines.engine import free_port, missing, running, wait_until

KEY_ID, SECRET = "tests", "a secret of tests alone"
REGION = "eu-central-1"


@dataclass
class VersityGW:
    """A running server; the one account may do everything."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    _running: ExitStack = field(default_factory=ExitStack)

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://{self.host}:{self.port}"

    @property
    def client(self) -> Any:
        """AWS's own client of it."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
        )

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        found = locate("versitygw")
        if found is None:
            missing("versitygw", "run `make engines`")
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        command = [str(found / "versitygw"), "--port", f"{self.host}:{self.port}", "--region", REGION, "--quiet"]
        # without keep-alive each request is a connection of its own, and the server closes them as they are made
        command += ["--keep-alive", "posix", str(data)]
        environment = {"ROOT_ACCESS_KEY": KEY_ID, "ROOT_SECRET_KEY": SECRET}
        self._running.enter_context(running(command, self.folder / "log", environment))
        wait_until(self._answers, "versitygw answers")

    def stop(self) -> None:
        """End the server; what it holds stays."""
        self._running.pop_all().close()

    def make_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        self.client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    def unfinished(self, bucket: str) -> list[str]:
        """The keys of the multipart uploads that were begun and neither completed nor taken back."""
        return [upload["Key"] for upload in self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]

    def _answers(self) -> bool:
        try:
            return httpx.get(self.endpoint).status_code in (400, 403)
        except httpx.TransportError:
            return False


@contextmanager
def serving(folder: Path, host: str = "127.0.0.1") -> Generator[VersityGW]:
    """A server with its objects and its log in `folder`."""
    server = VersityGW(folder, host)
    server.start()
    try:
        yield server
    finally:
        server.stop()
