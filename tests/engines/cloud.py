"""The fixtures of the cloud, for `pytest_plugins = ("tests.engines.cloud",)` in a test module.

One server of moto serves a whole run of pytest; each test starts with an empty account.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.moto import Aws, serving
from tests.engines.pulumi import Pulumi, engine


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """moto's server, for as long as the tests run."""
    with serving(tmp_path_factory.mktemp("moto")) as aws:
        yield aws


@pytest.fixture
def aws(moto: Aws) -> Aws:
    """An empty AWS account in moto."""
    moto.reset()
    return moto


@pytest.fixture
def pulumi(tmp_path: Path, aws: Aws) -> Pulumi:
    """The real engine, on the account of `aws`."""
    return engine(tmp_path / "pulumi", aws)
