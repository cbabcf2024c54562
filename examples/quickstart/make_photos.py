"""Makes the quickstart's 48 pictures from the photographs that scikit-image's wheel carries.

Run by the inference runtime's Python, which has scikit-image and Pillow; nothing is downloaded. Each photograph gives
six 640x480 JPEGs: crops of three zooms, each also mirrored. The names say the source and the number, and a second run
makes the same files.

    PYTHON_OF_THE_RUNTIME examples/quickstart/make_photos.py examples/quickstart/photos
"""

import sys
from pathlib import Path

import skimage
from PIL import Image, ImageOps

SIZE = (640, 480)  # pixels
QUALITY = 90  # JPEG

# photographs inside the wheel (skimage/data), not those that scikit-image would download
SOURCES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
    "rocket.jpg",
)

# the part of the photograph's largest 4:3 crop that is kept, and where: 0 is left or top, 1 right or bottom
CROPS = ((1.0, (0.5, 0.5)), (0.7, (0.2, 0.3)), (0.5, (0.6, 0.5)))


def crop(photo: Image.Image, zoom: float, centring: tuple[float, float]) -> Image.Image:
    """One 640x480 picture: the given part of the photograph, scaled."""
    scale = zoom * min(photo.width / SIZE[0], photo.height / SIZE[1])
    width, height = int(scale * SIZE[0]), int(scale * SIZE[1])
    left = int((photo.width - width) * centring[0])
    top = int((photo.height - height) * centring[1])
    return photo.resize(SIZE, Image.Resampling.LANCZOS, box=(left, top, left + width, top + height))


def write_photos(folder: Path) -> int:
    """Writes the JPEGs into the folder, which is made when missing; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for source in SOURCES:
        path = Path(skimage.__file__).parent / "data" / source
        with Image.open(path) as photo:
            pictures = [crop(photo.convert("RGB"), zoom, centring) for zoom, centring in CROPS]
        for number, picture in enumerate([*pictures, *map(ImageOps.mirror, pictures)], start=1):
            picture.save(folder / f"{path.stem}-{number}.jpg", quality=QUALITY)
            count += 1
    return count


if __name__ == "__main__":
    print(f"  {sys.argv[1]}: {write_photos(Path(sys.argv[1]))} photographs from scikit-image's wheel")
