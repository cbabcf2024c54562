import io
import runpy
import struct
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from visionfleet.hub.staging.ingest import images
from visionfleet.hub.staging.ingest.images import (
    MAX_IMAGE_BYTES,
    MAX_JPEG_SCANS,
    MAX_PIXELS,
    BadImage,
    ImageInfo,
    check_image,
)

PHOTO = Image.effect_noise((64, 48), 60).convert("RGB")


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG of these dimensions whose pixels are missing: enough to be judged by its size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))


def code_of(data: bytes) -> str:
    with pytest.raises(BadImage) as refusal:
        check_image(data)
    assert str(refusal.value)
    return refusal.value.code


@pytest.mark.parametrize("image_format", list(MAX_PIXELS))
def test_every_format_that_is_taken(image_format: str) -> None:
    assert check_image(encode(PHOTO, image_format)) == ImageInfo(image_format, 64, 48)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_jpegs_of_every_kind(mode: str) -> None:
    for progressive in (False, True):
        assert check_image(encode(PHOTO.convert(mode), "JPEG", progressive=progressive)).format == "JPEG"


def test_a_phones_jpeg_with_more_pictures_behind_it_is_a_jpeg() -> None:
    data = encode(PHOTO, "MPO", save_all=True, append_images=[PHOTO])
    assert check_image(data) == ImageInfo("JPEG", 64, 48)


@pytest.mark.parametrize("image_format", ["GIF", "TIFF", "PPM", "PDF", "ICO", "TGA"])
def test_other_formats_are_not_images_here(image_format: str) -> None:
    assert code_of(encode(PHOTO, image_format)) == "not_an_image"


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg/>", bytes(1000), b"MZ" + bytes(100)])
def test_what_is_not_an_image(data: bytes) -> None:
    assert code_of(data) == "not_an_image"


def test_an_image_over_the_size_limit() -> None:
    photo = encode(PHOTO, "JPEG")
    assert check_image(photo.ljust(MAX_IMAGE_BYTES, b"\0")).format == "JPEG"
    assert code_of(photo.ljust(MAX_IMAGE_BYTES + 1, b"\0")) == "image_too_large"


@pytest.mark.parametrize("image_format", list(MAX_PIXELS))
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_image(image_format: str, share: float) -> None:
    data = encode(PHOTO, image_format)
    assert code_of(data[: int(len(data) * share)]) == "image_truncated"


def test_a_jpeg_that_lost_its_last_bytes() -> None:
    assert code_of(encode(PHOTO, "JPEG")[:-2]) == "image_truncated"


def test_a_damaged_image() -> None:
    data = bytearray(encode(PHOTO, "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert code_of(bytes(data)) == "image_truncated"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("width", "height"), [(10_000, 10_001), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(width: int, height: int) -> None:
    assert code_of(png_header(width, height)) == "image_too_many_pixels"


def test_formats_that_need_more_memory_have_a_lower_limit() -> None:
    assert code_of(encode(Image.new("L", (5001, 5000)), "WEBP")) == "image_too_many_pixels"


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = encode(PHOTO, "JPEG", progressive=True)
    scan = data[data.rfind(b"\xff\xda") : -2]
    assert check_image(data).format == "JPEG"
    assert code_of(data[:-2] + scan * MAX_JPEG_SCANS + data[-2:]) == "image_too_many_scans"


def test_no_warning_leaks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check = runpy.run_path(images.__file__, run_name=images.__name__)["check_image"]  # sets its filter again
        with pytest.raises(Exception, match="it has too many pixels"):
            check(png_header(12_000, 12_000))


def test_many_threads_at_once() -> None:
    good, cut = encode(PHOTO, "JPEG"), encode(PHOTO, "PNG")[:500]

    def check(number: int) -> str:
        return check_image(good).format if number % 2 else code_of(cut)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(check, range(200))) == ["image_truncated", "JPEG"] * 100
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


SAMPLES = [encode(PHOTO, image_format) for image_format in MAX_PIXELS]


@pytest.mark.filterwarnings("ignore")
@given(
    st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=8)), max_size=4)
)
def test_damage_of_any_kind_is_answered(sample: bytes, patches: list[tuple[int, bytes]]) -> None:
    data = bytearray(sample)
    for position, patch in patches:
        data[position : position + len(patch)] = patch
    try:
        check_image(bytes(data))
    except BadImage as error:
        assert error.code in {"not_an_image", "image_truncated", "image_too_many_pixels"}


def test_few_images_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = [], []

    def decode(data: bytes) -> None:
        running.append(data)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()

    monkeypatch.setattr(images, "_decode", decode)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(check_image, [b"x"] * 32))
    assert max(most) == images.DECODES_AT_ONCE
