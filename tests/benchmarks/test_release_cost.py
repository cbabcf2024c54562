"""How benchmarks/release_cost.py counts."""

import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = Path(__file__).parents[2] / "benchmarks" / "release_cost" / "measure.py"
# as ssh's masters: it works, lets its parent go, and stays
LEAVES_A_WORKER = """
import os, time
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    while time.process_time() < 0.5:
        pass
    os.write(write, str(os.getpid()).encode())
    time.sleep(60)
print(os.read(read, 20).decode())
"""

pytestmark = pytest.mark.engine


def test_what_a_command_leaves_running_is_counted_and_ended(tmp_path: Path) -> None:
    seconds = tmp_path / "seconds"
    command = [sys.executable, str(MEASURE), str(seconds), sys.executable, "-c", LEAVES_A_WORKER]
    worker = subprocess.run(
        command, stdin=subprocess.DEVNULL, check=True, capture_output=True, text=True, timeout=120
    ).stdout.strip()
    assert float(seconds.read_text()) >= 0.5
    assert not Path("/proc", worker).exists()


def test_the_exit_code_is_the_commands(tmp_path: Path) -> None:
    command = [sys.executable, str(MEASURE), str(tmp_path / "seconds"), sys.executable, "-c", "raise SystemExit(3)"]
    assert subprocess.run(command, stdin=subprocess.DEVNULL, check=False, timeout=120).returncode == 3
