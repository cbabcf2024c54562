"""Stand-ins for programs that tests put first on PATH. None of them is the real thing; each says so."""

from __future__ import annotations

import sys
from pathlib import Path

STUB = Path(__file__).parents[1] / "engines" / "stub_inference.py"

# A STAND-IN for docker: no daemon, no container. `run` becomes the stub of the inference server.
DOCKER = f"""#!/bin/sh
echo "$@" >> "$STANDIN_LOG"
case "$1" in
  info) exit "${{STANDIN_INFO:-0}}" ;;
  image) exit "${{STANDIN_INSPECT:-0}}" ;;
  pull) exit "${{STANDIN_PULL:-0}}" ;;
  run)
    [ -z "$STANDIN_RUN" ] || eval "$STANDIN_RUN"
    exec "{sys.executable}" -u "{STUB}" --port "$PORT" ;;
esac
"""

# A STAND-IN for uv: `venv` makes a folder with an interpreter that does nothing, `pip sync` installs nothing.
UV = """#!/bin/sh
echo "$@" >> "$STANDIN_LOG"
case "$1" in
  venv) for folder; do :; done; mkdir -p "$folder/bin" && ln -s /bin/true "$folder/bin/python" ;;
  pip) sleep "${STANDIN_SLEEP:-0}"; echo "stand-in: no index"; exit "${STANDIN_SYNC:-0}" ;;
esac
"""


def put(folder: Path, name: str, script: str) -> Path:
    """Writes the stand-in as an executable into the folder; gives its path."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(script)
    path.chmod(0o755)
    return path
