"""Makes what the example's edge needs beside the file, generated samples: a golden picture and a list of devices.

The picture is a red square on grey, NOT a photograph of screws: the sample models answer to colours. The answers that
are expected (golden/*.json) are those that the real server gave. The devices, their addresses and sites are made up.

    python examples/acme/make_samples.py
"""

import csv
from pathlib import Path

from PIL import Image, ImageDraw

FOLDER = Path(__file__).parent
SIZE = 320  # pixels, as the model's input
SQUARE = (120, 120, 199, 199)  # one cell of the model lies in it whole: one answer
DEVICES = 12
SITES = ("almere", "bleiswijk")


def write_picture(path: Path) -> None:
    """The golden picture, in PNG: no JPEG decoder may make another picture of it."""
    picture = Image.new("RGB", (SIZE, SIZE), (128, 128, 128))
    ImageDraw.Draw(picture).rectangle(SQUARE, fill=(220, 30, 30))
    picture.save(path)


def write_devices(path: Path) -> None:
    """The devices of group greenhouse: a row each, the first of every site in ring canary."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "address", "site", "models", "exposure", "label:ring"))
        for number in range(DEVICES):
            site = SITES[number * len(SITES) // DEVICES]
            ring = "canary" if number % (DEVICES // len(SITES)) == 0 else "stable"
            exposure = "localhost" if number == DEVICES - 1 else ""
            writer.writerow((f"bed-{number + 1:02}", f"10.31.0.{number + 11}", site, "pallets/1", exposure, ring))


def write_samples(folder: Path) -> None:
    """Writes both into the folder, below which golden/ and devices/ are made when missing."""
    for name in ("golden", "devices"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_picture(folder / "golden" / "screw.png")
    write_devices(folder / "devices" / "greenhouse.csv")


if __name__ == "__main__":
    write_samples(FOLDER)
