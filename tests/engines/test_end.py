"""A run of tests takes with it what it has started, however it ends."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.engines.cluster.images import CHECKOUT
from tests.engines.engine import running, wait_until
from tests.engines.postgresql import binaries

pytestmark = pytest.mark.engine

SECONDS = 400  # a run of pytest starts, with a server for each worker
TESTS = """
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.engines import postgresql
from tests.engines.engine import running

FOLDER = Path(__file__).parent
SLEEP = "import time; time.sleep(3600)"


@pytest.fixture(scope="session")
def engines(worker_id):
    with postgresql.serving(), running([sys.executable, "-c", SLEEP], FOLDER / "log"):
        yield psutil.Process().children(recursive=True)
    (FOLDER / f"{worker_id}.ended-in-order").touch()


@pytest.mark.parametrize("number", [0, 1])
def test_waits(engines, number, worker_id):
    pids = FOLDER / f"{worker_id}.unfinished"
    pids.write_text(" ".join(str(each.pid) for each in engines))
    pids.rename(pids.with_suffix(".pids"))
    time.sleep(3600)
"""


def test_a_run_that_gets_sigterm_ends_in_order(tmp_path: Path) -> None:
    assert not still_there(ended(tmp_path, 1, signal.SIGTERM))
    assert list(tmp_path.glob("*.ended-in-order"))


@pytest.mark.parametrize(("workers", "how"), [(1, signal.SIGKILL), (2, signal.SIGTERM), (2, signal.SIGKILL)])
def test_what_a_run_has_started_is_gone_with_it(tmp_path: Path, workers: int, how: signal.Signals) -> None:
    engines = ended(tmp_path, workers, how)
    wait_until(lambda: not still_there(engines), "every process of the run ends", SECONDS, lambda: str(engines))


def ended(folder: Path, workers: int, how: signal.Signals) -> list[psutil.Process]:
    """A run with engines that has got a signal; its engines' processes."""
    binaries()
    (folder / "test_waiting.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--capture=no"]
    command += [f"--rootdir={CHECKOUT}", f"--config-file={CHECKOUT / 'pyproject.toml'}"]
    command += [f"--numprocesses={workers if workers > 1 else 0}", str(folder / "test_waiting.py")]
    log = folder / "run.log"
    with (
        TemporaryDirectory(ignore_cleanup_errors=True) as left,  # by a server that is killed
        running(command, log, {"PYTHONPATH": str(CHECKOUT), "TMPDIR": left}) as run,
    ):
        Path(left).chmod(0o755)  # the server does not run as root
        wait_until(
            lambda: run.poll() is not None or len(list(folder.glob("*.pids"))) == workers, "engines run", SECONDS
        )
        assert run.poll() is None, log.read_text()
        pids = {int(pid) for file in folder.glob("*.pids") for pid in file.read_text().split()}
        engines = [each for each in psutil.process_iter() if each.pid in pids]
        assert len(still_there(engines)) > 2 * workers  # the server has processes of its own
        run.send_signal(how)
        run.wait(SECONDS)
    return engines


def still_there(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if lives(each)]


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
