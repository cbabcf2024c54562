"""The storage as a folder of this machine."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from obstore.store import LocalStore

from visionfleet.hub.objects.keys import STAGED

ABANDONED_SECONDS = 24 * 3600
"""No write is staged for so long without a byte of it arriving."""


def open_folder(root: Path) -> LocalStore:
    """Open the folder, and make it (0700) if there is none."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_abandoned(root)
    return LocalStore(root, automatic_cleanup=True)


def _remove_abandoned(root: Path) -> None:
    """Remove what a hub that was killed had half written: the folder backend hides it for ever."""
    newest = time.time() - ABANDONED_SECONDS
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names if STAGED.fullmatch(name)):
            with suppress(FileNotFoundError):  # finished or taken back meanwhile
                if path.stat().st_mtime < newest:
                    path.unlink()
