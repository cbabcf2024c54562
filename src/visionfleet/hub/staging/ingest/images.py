"""Checks that bytes are an image that the inference server can decode, before anything else is spent on them.

Safe to call from several threads: nothing of Pillow's global state is changed.
"""

from __future__ import annotations

import io
import threading
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

MAX_IMAGE_BYTES = 20 * 1024 * 1024
"""The serverless upload limit, too."""

MAX_PIXELS = {
    "JPEG": 100_000_000,  # above the largest common camera
    "PNG": 100_000_000,
    "BMP": 100_000_000,
    "WEBP": 25_000_000,  # these two decoders hold up to 24 bytes a pixel, of files of a few kilobytes
    "JPEG2000": 25_000_000,
}
"""The formats that are taken - what the command line sends, and OpenCV decodes - and the most pixels of each."""

MAX_JPEG_SCANS = 100
"""A progressive JPEG has about 10. Each costs a pass over all pixels, and can be a few bytes long."""

DECODES_AT_ONCE = 4
"""A small file can ask for hundreds of megabytes while it is decoded, and forty uploads may come at once."""

_decoding = threading.BoundedSemaphore(DECODES_AT_ONCE)
_JPEG_SCAN = b"\xff\xda"

# Pillow warns of large images and of odd metadata. Here both end in an answer, and a filter that is set for each call
# would not be safe between threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadImage(Exception):
    """This is not an image that can be processed. `code` is stable, the message is for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image's format (one of MAX_PIXELS) and its size in pixels, as stored: EXIF rotation is not applied."""

    format: str
    width: int
    height: int


def check_image(data: bytes) -> ImageInfo:
    """Decode `data` once and tell what it is.

    Raises BadImage with `image_too_large` (over MAX_IMAGE_BYTES), `not_an_image` (of these formats),
    `image_too_many_pixels` (a decompression bomb), `image_too_many_scans` (the same for JPEG), or `image_truncated`
    (its end is missing, or it is damaged).
    """
    if len(data) > MAX_IMAGE_BYTES:
        raise BadImage("image_too_large", f"it has {len(data)} bytes, at most {MAX_IMAGE_BYTES} (20 MiB) are allowed")
    try:
        with _decoding:
            return _decode(data)
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise BadImage("not_an_image", f"it is none of {', '.join(MAX_PIXELS)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except Exception as error:  # hostile bytes make Pillow raise nearly anything
        raise BadImage("image_truncated", f"it is truncated or damaged: {str(error)[:200]}") from error


def _decode(data: bytes) -> ImageInfo:
    with Image.open(io.BytesIO(data), formats=tuple(MAX_PIXELS)) as image:
        width, height = image.size
        is_jpeg = image.format in ("JPEG", "MPO")  # MPO: a JPEG with more pictures behind it, as phones make them
        image_format = "JPEG" if is_jpeg else str(image.format)
        if width * height > MAX_PIXELS[image_format]:
            raise _too_many_pixels()
        if is_jpeg and data.count(_JPEG_SCAN) > MAX_JPEG_SCANS:
            raise BadImage("image_too_many_scans", f"it has over {MAX_JPEG_SCANS} progressive scans")
        image.draft("L", (1, 1))  # JPEG only: reads every byte, but computes an eighth of the rows and columns
        image.load()
        return ImageInfo(image_format, width, height)


def _too_many_pixels() -> BadImage:
    limits = ", ".join(f"{name} {pixels // 1_000_000}" for name, pixels in MAX_PIXELS.items())
    return BadImage("image_too_many_pixels", f"it has too many pixels, allowed are (in millions): {limits}")
