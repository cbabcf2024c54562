"""Makes the packages of the example's models: generated samples, NOT trained models. They are the quickstart's.

They are committed, so that the example is whole in a fresh clone; this is where they come from.

    python examples/acme/make_models.py
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "quickstart"))

from make_model import write_package  # noqa: E402 - the quickstart is no package

NAMES = ("screws-3", "pallets-1")


def write_packages(folder: Path) -> None:
    """Writes a package for each model of `visionfleet.yaml` into the folder, which is made when missing."""
    for name in NAMES:
        write_package(folder / name)


if __name__ == "__main__":
    write_packages(FOLDER / "models")
